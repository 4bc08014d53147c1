// One conversation through RealtimeSession, with every turn a voice agent has. Runs in Node and in a
// page; `media` says how to speak and how loud it was lately.
//
// media.speak(): the user asks a spoken question, once
// media.loudness(): resolves to the largest sample (0 to 1) of the next 300 ms of the model's voice

const DEADLINE_MS = 20_000;

export function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Remembers every server event, so that none is missed between two waits.
export class Events {
  constructor() {
    this.seen = [];
    this.waiting = [];
    this.mark = 0;
  }

  add(event) {
    this.seen.push(event);
    this.waiting.splice(0).forEach((wake) => wake());
  }

  // The first event after the last mark that fits; the mark moves behind it.
  async next(type, fits = () => true) {
    const found = async () => {
      for (let at = this.mark; ; at += 1) {
        while (at >= this.seen.length) await new Promise((wake) => this.waiting.push(wake));
        if (this.seen[at].type === type && fits(this.seen[at])) {
          this.mark = at + 1;
          return this.seen[at];
        }
      }
    };
    return within(found(), `${type} (saw ${this.seen.slice(this.mark).map((e) => e.type)})`);
  }
}

const textOf = (item) =>
  (item.content ?? []).map((part) => part.text ?? part.transcript ?? "").join(" ");

export async function converse(session, connectOptions, media, callsOfTool) {
  const events = new Events();
  const errors = [];
  session.transport.on("*", (event) => events.add(event));
  session.on("error", (error) => errors.push(JSON.stringify(error)));
  const report = { errors };

  await within(session.connect(connectOptions), "connect");
  report.connected = session.transport.status;

  session.sendMessage("Good morning to you");
  const written = await events.next("response.done");
  report.text = { status: written.response.status, usage: written.response.usage?.total_tokens };
  await media.voiceEnds(events);
  report.historyAfterText = session.history.map((item) => [item.role, textOf(item)]);

  const speech = media.speak();
  await events.next("input_audio_buffer.committed");
  const spoken = await events.next("response.done");
  await speech;
  await media.voiceEnds(events);
  report.speech = { status: spoken.response.status };
  report.historyAfterSpeech = session.history.map((item) => [item.role, textOf(item)]);

  session.sendMessage("Please use get_weather for Paris");
  await events.next("response.function_call_arguments.done");
  await events.next("response.done");
  const answered = await events.next("response.done");
  await media.voiceEnds(events);
  report.tool = { calls: callsOfTool, status: answered.response.status };
  report.historyAfterTool = session.history.map((item) => [item.type, item.name ?? textOf(item)]);

  session.sendMessage("Tell me a long story");
  await media.voiceBegins(events);
  report.loudnessBefore = await media.loudness();
  session.interrupt();
  const interrupted = await events.next("response.done");
  report.interrupted = interrupted.response.status;
  await media.settle();
  report.loudnessAfter = await media.loudness();

  const first = session.history[0].itemId;
  session.updateHistory((history) => history.filter((item) => item.itemId !== first));
  const deleted = await events.next("conversation.item.deleted");
  report.deleted = deleted.item_id === first;
  report.isGone = !session.history.some((item) => item.itemId === first);

  session.close();
  report.closed = session.transport.status;
  report.eventTypes = [...new Set(events.seen.map((event) => event.type))];
  return report;
}
