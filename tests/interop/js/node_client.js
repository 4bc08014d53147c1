// node node_client.js TRANSPORT URL QUESTION: a conversation over "websocket" or "webrtc"; prints a
// report as JSON. QUESTION is a file of int16 mono samples at 24 kHz (websocket) or 48 kHz (webrtc).

import fs from "node:fs";
import { OpenAIRealtimeWebRTC, OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import wrtc from "@roamhq/wrtc";
import { z } from "zod";
import { converse } from "./conversation.js";

const [kind, url, question] = process.argv.slice(2);
const bytes = fs.readFileSync(question);
const samples = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Calls `send` with every block of `length` samples, at the pace of speech.
async function pace(length, blockMs, send) {
  const began = performance.now();
  for (let at = 0, block = 0; at < samples.length; at += length, block += 1) {
    await pause(began + block * blockMs - performance.now());
    const chunk = new Int16Array(length);
    chunk.set(samples.subarray(at, at + length));
    send(chunk);
  }
}

function peak(chunks) {
  return Math.max(0, ...chunks.map((chunk) => chunk.reduce((most, x) => Math.max(most, Math.abs(x)), 0))) / 32768;
}

function overWebSocket() {
  const transport = new OpenAIRealtimeWebSocket({ url });
  const heard = [];
  transport.on("audio", (audio) => heard.push(new Int16Array(audio.data)));
  const loudness = async () => {
    heard.length = 0;
    await pause(300);
    return peak(heard);
  };
  const silence = new ArrayBuffer(24_000 * 2);
  const speak = async () => {
    await pace(480, 20, (chunk) => transport.sendAudio(chunk.buffer));
    transport.sendAudio(silence);
  };
  const media = {
    speak,
    loudness,
    voiceBegins: (events) => events.next("response.output_audio.delta"),
    voiceEnds: async () => {},
    settle: () => pause(100),
  };
  return { transport, media, finish: () => {} };
}

function overWebRTC() {
  Object.assign(globalThis, {
    RTCPeerConnection: wrtc.RTCPeerConnection,
    MediaStream: wrtc.MediaStream,
  });
  const source = new wrtc.nonstandard.RTCAudioSource();
  const track = source.createTrack();
  const mediaStream = new wrtc.MediaStream([track]);
  const heard = [];
  let sink;
  const changePeerConnection = (connection) => {
    connection.addEventListener("track", (event) => {
      sink = new wrtc.nonstandard.RTCAudioSink(event.track);
      sink.ondata = ({ samples: chunk }) => heard.push(Int16Array.from(chunk));
    });
    return connection;
  };
  const transport = new OpenAIRealtimeWebRTC({
    baseUrl: `${url}/realtime/calls`,
    mediaStream,
    audioElement: {},
    changePeerConnection,
    useInsecureApiKey: true,
  });
  let isSpeaking = false;
  const quiet = new Int16Array(480);
  const deliver = (chunk) =>
    source.onData({ samples: chunk, sampleRate: 48_000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480 });
  const microphone = setInterval(() => isSpeaking || deliver(quiet), 10);
  const media = {
    speak: async () => {
      isSpeaking = true;
      await pace(480, 10, deliver);
      isSpeaking = false;
    },
    loudness: async () => {
      heard.length = 0;
      await pause(300);
      return peak(heard);
    },
    voiceBegins: (events) => events.next("output_audio_buffer.started"),
    voiceEnds: (events) => events.next("output_audio_buffer.stopped"),
    settle: () => pause(700),
  };
  const finish = () => {
    clearInterval(microphone);
    sink?.stop();
    track.stop();
  };
  return { transport, media, finish };
}

const calls = [];
const weather = tool({
  name: "get_weather",
  description: "The weather in a city",
  parameters: z.object({ city: z.string() }),
  execute: async (given) => {
    calls.push(given);
    return `It is sunny in ${given.city}`;
  },
});
const agent = new RealtimeAgent({ name: "Interop", instructions: "Be brief", tools: [weather] });
const { transport, media, finish } = kind === "webrtc" ? overWebRTC() : overWebSocket();
const config = { audio: { input: { turnDetection: { type: "server_vad" } } } };
const session = new RealtimeSession(agent, { transport, model: "gpt-realtime", config });
const options = { apiKey: "sk-interop", url: kind === "webrtc" ? undefined : url };
try {
  console.log(JSON.stringify(await converse(session, options, media, calls)));
} finally {
  finish();
}
process.exit(0);
