// A conversation's own part of the page, made when somebody looks at it.

function facts(entries) {
  const shown = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return shown.length === 0 ? null : el("dl", { class: "facts" }, shown.map(([title, value]) =>
    el("div", {}, el("dt", {}, title), el("dd", {}, value))));
}

const ms = (value) => (value === null || value === undefined ? null : number(value, "ms"));
const percent = (rate) => (rate === null || rate === undefined ? null : number(100 * rate, "%"));

function pretty(text) {
  try {
    const value = JSON.parse(text);
    const line = JSON.stringify(value);
    return line.length < 72 ? line : JSON.stringify(value, null, 2);
  } catch {
    return text;
  }
}

function words(text) {
  return text.split(/\s+/).filter(Boolean);
}

const bare = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

// The alignment with the fewest word errors (Levenshtein), as runs of words.
function alignment(expected, said) {
  const [a, b] = [words(expected), words(said)];
  if (a.length * b.length > 1e6) return null;
  const cost = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = 0; i <= a.length; i += 1) {
    for (let j = 0; j <= b.length; j += 1) {
      if (i === 0 || j === 0) cost[i][j] = i + j;
      else {
        const change = bare(a[i - 1]) === bare(b[j - 1]) ? 0 : 1;
        cost[i][j] = Math.min(cost[i - 1][j - 1] + change, cost[i - 1][j] + 1, cost[i][j - 1] + 1);
      }
    }
  }
  const pieces = [];
  for (let [i, j] = [a.length, b.length]; i || j; ) {
    const same = i && j && bare(a[i - 1]) === bare(b[j - 1]);
    if (same && cost[i][j] === cost[i - 1][j - 1]) {
      pieces.push(["same", b[j - 1]]);
      [i, j] = [i - 1, j - 1];
    } else if (j && cost[i][j] === cost[i][j - 1] + 1) {
      pieces.push(["more", b[j - 1]]);
      j -= 1;
    } else if (i && cost[i][j] === cost[i - 1][j] + 1) {
      pieces.push(["less", a[i - 1]]);
      i -= 1;
    } else {
      pieces.push(["more", b[j - 1]], ["less", a[i - 1]]);
      [i, j] = [i - 1, j - 1];
    }
  }
  return pieces.reverse();
}

function difference(expected, said) {
  const pieces = alignment(expected, said);
  if (!pieces) return el("p", { class: "expected", dir: "auto" }, `expected: ${expected}`);
  return el("p", { class: "expected", dir: "auto" }, "against the expected: ", pieces.map(([kind, word]) => [
    kind === "same" ? word
      : el(kind === "less" ? "del" : "ins",
        { title: kind === "less" ? "expected, not said" : "said, not expected" }, word), " "]));
}

function utterance(side, text, expected, rate, at, player) {
  if (!text && !expected && at === undefined) return null;
  const who = side === "user" ? "User" : "Agent";
  return el("div", { class: `utterance ${side}` },
    el("p", { class: "who" }, who,
      at !== undefined && player ? el("button", { type: "button", class: "jump",
        "aria-label": `Play from ${clock(at)}`, onclick: () => player.playFrom(at) },
      `▶ ${clock(at)}`) : null,
      rate === null || rate === undefined ? null
        : el("span", { class: `rate ${rate > 0 ? "some" : "none"}` }, `WER ${percent(rate)}`)),
    el("p", { class: "text", dir: "auto" }, text || el("i", { class: "quiet" }, "no transcript")),
    !expected || rate === 0 ? null : text ? difference(expected, text)
      : el("p", { class: "expected", dir: "auto" }, `expected: ${expected}`));
}

function toolCall(call) {
  return el("details", { class: "tool", open: true },
    el("summary", {}, "called ", el("code", {}, call.name)),
    el("pre", { dir: "auto" }, pretty(call.arguments)),
    call.output === null ? el("p", { class: "quiet" }, "not answered")
      : [el("p", { class: "quiet" }, "was told"), el("pre", { dir: "auto" }, pretty(call.output))]);
}

function turnPart(told, turn, number_, player) {
  const at = (kind) =>
    told.marks.find((mark) => mark.turn === number_ && mark.kind === kind)?.at_s;
  const latency = turn.latency;
  return el("li", { class: "turn-part" },
    el("div", { class: "turn-head" }, el("h4", {}, `Turn ${number_}`),
      el("span", { class: "quiet file" }, turn.question),
      facts([
        ["voice to voice", ms(latency.voice_to_voice_ms)],
        ["first audio", ms(latency.first_audio_ms)],
        ["interruption to silence", ms(latency.interruption_to_silence_ms)],
        ["truncation error", ms(latency.truncation_error_ms)],
        ["loop lag p95", ms(latency.loop_lag_p95_ms)],
        ["question", turn.question_s === null ? null : number(turn.question_s, "s")],
        ["answer", turn.answer_s === null ? null : number(turn.answer_s, "s")],
      ])),
    utterance("user", turn.question_transcript, turn.said, turn.question_word_error_rate,
      at("question"), player),
    turn.tool_calls.map(toolCall),
    utterance("agent", turn.answer_transcript, turn.expected, turn.word_error_rate, at("answer"),
      player));
}

function connecting(told) {
  const phases = Object.entries(told.connect_ms);
  const total = phases.reduce((sum, [, each]) => sum + each, 0);
  if (!total) return null;
  let x = 0;
  return el("div", { class: "part" }, el("h4", {}, `Connecting, ${ms(total)}`),
    svg("svg", { class: "phases", viewBox: "0 0 400 12", preserveAspectRatio: "none",
      "aria-hidden": "true" }, phases.map(([name, each], index) => {
      const width = (400 * each) / total;
      x += width;
      return svg("rect", { class: `phase-${index % 8}`, x: x - width, y: 0,
        width: Math.max(0, width - 1), height: 12 }, svg("title", {}, `${name} ${ms(each)}`));
    })),
    el("ul", { class: "phase-list" }, phases.map(([name, each], index) =>
      el("li", {}, el("i", { class: `key phase-${index % 8}` }), `${name} `, el("b", {}, ms(each))))));
}

function figures(told) {
  const packets = told.packets || {};
  return el("div", { class: "figures card" }, connecting(told),
    el("div", { class: "part" }, el("h4", {}, "Figures"), facts([
      ["began", told.started_at.replace("T", " ").replace(/\.\d+/, "").replace(/(\+00:00|Z)$/, " UTC")],
      ["took", number(told.duration_s, "s")],
      ["attempts", told.attempts > 1 ? String(told.attempts) : null],
      ["tokens in", told.usage.input_tokens ? number(told.usage.input_tokens, "") : null],
      ["tokens out", told.usage.output_tokens ? number(told.usage.output_tokens, "") : null],
      ["packets sent", packets.sent ?? null],
      ["packets received", packets.received ?? null],
      ["packets lost", packets.lost ?? null],
      ["jitter", ms(packets.jitter_ms)],
      ["round trip", ms(packets.round_trip_ms)],
      ["audio left late", ms(told.media_lateness_ms)],
      ["worker", told.worker],
    ].map(([title, value]) => [title, value === null ? null : String(value)]))));
}

function failure(error) {
  if (!error) return null;
  const said = [error.status && `HTTP ${error.status}`, error.code].filter(Boolean).join(", ");
  return el("div", { class: "failure card", role: "note" },
    el("p", {}, el("b", {}, error.stage === "turn" ? "Failed" : `Failed at ${error.stage}`),
      error.turn ? ` in turn ${error.turn}` : "", said ? ` (${said})` : "",
      el("span", { class: "quiet" }, ` ${error.kind}${error.is_retryable ? ", worth another attempt" : ""}`)),
    el("p", { dir: "auto" }, error.message));
}

function onePanel(run, place, heading, length) {
  const told = conversationOf(run, place);
  const player = told.audio ? new Player(told, `${"ab"[run]}-${place}`, length) : null;
  return el("section", { class: "panel",
    "aria-label": heading ? `${"AB"[run]}: ${heading}` : told.id },
    heading ? el("h3", {}, el("span", { class: `run run-${"ab"[run]}` }, "AB"[run]), " ",
      el("bdi", {}, heading), " ", chip(told.status)) : null,
    failure(told.error),
    player ? player.element : el("p", { class: "quiet card no-audio" },
      told.audio_problem || "There is no recording."),
    el("ol", { class: "turn-list" }, told.turns.map((turn, index) =>
      turnPart(told, turn, index + 1, player))),
    figures(told));
}

function conversationPart(row, data, before, after) {
  const link = (target, text, label) => (target
    ? el("a", { class: "button", href: `#/${encodeURIComponent(target.id)}`, "aria-label": label }, text)
    : el("span", { class: "button", "aria-disabled": "true" }, text));
  // Both runs on the same scale, so that what is longer looks longer.
  const length = Math.max(0, ...row.places.map((place, run) =>
    (place === null ? 0 : conversationOf(run, place).audio?.duration_s || 0)));
  const single = data.rows.length === 1 && data.runs.length === 1;
  return [
    single ? null : el("nav", { class: "bar steps", "aria-label": "Conversations" },
      el("a", { class: "button", href: "#/", id: "back" }, "← All conversations"),
      el("span", { class: "choice" }, link(before, "↑ Previous", "Previous conversation"),
        link(after, "↓ Next", "Next conversation"))),
    el("h2", { class: "conversation-title", tabindex: -1, id: "conversation-title" },
      el("bdi", {}, row.id), " ", chip(row.status)),
    row.places.map((place, run) => (place === null ? null
      : onePanel(run, place, data.runs.length > 1 ? data.runs[run] : "", length))),
  ];
}
