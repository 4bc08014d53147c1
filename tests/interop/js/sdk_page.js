// A voice agent in a page, through the SDK's browser build: `run(baseUrl, key)` holds a conversation
// and resolves to its report. The microphone is the browser's own.

import { RealtimeAgent, RealtimeSession, OpenAIRealtimeWebRTC, tool } from "/sdk/openai-realtime-agents.mjs";
import { converse } from "./conversation.js";
import { listenTo, pause } from "./listening.js";

async function run(baseUrl, key) {
  const calls = [];
  const weather = tool({
    name: "get_weather",
    description: "The weather in a city",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
    execute: async (given) => {
      calls.push(given);
      return `It is sunny in ${given.city}`;
    },
  });
  const agent = new RealtimeAgent({ name: "Interop", instructions: "Be brief", tools: [weather] });
  const mediaStream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const [microphone] = mediaStream.getAudioTracks();
  microphone.enabled = false; // it speaks when its turn has come
  const audioElement = document.querySelector("audio");
  const transport = new OpenAIRealtimeWebRTC({
    baseUrl: `${baseUrl}/realtime/calls`,
    mediaStream,
    audioElement,
  });
  // The browser plays its recording again and again.
  transport.on("input_audio_buffer.committed", () => {
    microphone.enabled = false;
  });
  const config = { audio: { input: { turnDetection: { type: "server_vad" } } } };
  const session = new RealtimeSession(agent, { transport, model: "gpt-realtime", config });
  const media = {
    speak: async () => {
      microphone.enabled = true;
    },
    loudness: () => listenTo(audioElement),
    voiceBegins: (events) => events.next("output_audio_buffer.started"),
    voiceEnds: (events) => events.next("output_audio_buffer.stopped"),
    settle: () => pause(700),
  };
  return converse(session, { apiKey: key }, media, calls);
}

window.run = run;
