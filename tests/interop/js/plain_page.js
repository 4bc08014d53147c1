// A page without any SDK, as the API's own guide has it: getUserMedia, an offer, one POST.

import { Events, within } from "./conversation.js";
import { listenTo, pause } from "./listening.js";

async function run(baseUrl, key) {
  const audioElement = document.querySelector("audio");
  const connection = new RTCPeerConnection();
  connection.ontrack = (event) => {
    audioElement.srcObject = event.streams[0];
  };
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const track = microphone.getAudioTracks()[0];
  track.enabled = false;
  connection.addTrack(track);
  const channel = connection.createDataChannel("oai-events");
  const events = new Events();
  channel.onmessage = (message) => events.add(JSON.parse(message.data));
  const send = (event) => channel.send(JSON.stringify(event));

  await connection.setLocalDescription(await connection.createOffer());
  const answer = await fetch(`${baseUrl}/realtime/calls`, {
    method: "POST",
    body: connection.localDescription.sdp,
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/sdp" },
  });
  const report = { status: answer.status, location: answer.headers.get("Location") };
  await connection.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  report.session = (await events.next("session.created")).session.object;

  send({
    type: "session.update",
    session: { type: "realtime", audio: { input: { turn_detection: { type: "server_vad" } } } },
  });
  await events.next("session.updated");

  track.enabled = true;
  await events.next("input_audio_buffer.committed");
  track.enabled = false; // the browser plays its recording again and again
  await events.next("output_audio_buffer.started");
  report.loudness = await listenTo(audioElement);
  await events.next("output_audio_buffer.stopped");

  const item = {
    type: "message",
    role: "user",
    content: [{ type: "input_text", text: "Tell me a long story" }],
  };
  send({ type: "conversation.item.create", item });
  send({ type: "response.create" });
  await events.next("output_audio_buffer.started");
  send({ type: "response.cancel" });
  send({ type: "output_audio_buffer.clear" });
  await events.next("output_audio_buffer.cleared");
  await pause(700);
  report.loudnessAfter = await listenTo(audioElement);

  const closed = new Promise((resolve) => (channel.onclose = resolve));
  connection.close();
  await within(closed, "close");
  report.eventTypes = [...new Set(events.seen.map((event) => event.type))];
  return report;
}

window.run = run;
