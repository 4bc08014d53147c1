// One conversation's sound: both sides on one time line, what happened on it, and a cursor.

const LANE = 58;
const GAP = 22;
const RULER = 22;
const PAD = 10;
const players = new Set();

function stopPlayers() {
  for (const player of players) player.close();
  players.clear();
}

class Player {
  constructor(conversation, name, length) {
    this.told = conversation;
    this.sound = conversation.audio;
    this.lanes = this.sound.is_stereo ? ["user", "agent"] : ["agent"];
    this.end = Math.max(this.sound.duration_s, 0.001);
    this.length = Math.max(length, this.end);
    this.audio = new Audio();
    this.audio.preload = "metadata";
    this.audio.addEventListener("error", () => this.failed());
    for (const event of ["play", "pause", "ended"]) {
      this.audio.addEventListener(event, () => this.follow());
    }
    this.audio.addEventListener("seeked", () => this.place());
    const inside = byId(`s-${name}`);
    this.audio.src = inside ? `data:audio/ogg;base64,${inside.textContent.trim()}` : this.sound.url;
    this.element = this.build();
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.stage);
    players.add(this);
  }

  build() {
    this.button = el("button", { type: "button", class: "play", "aria-label": "Play",
      onclick: () => this.toggle() }, this.icon());
    this.time = el("span", { class: "time" }, clock(0));
    this.speed = el("select", { "aria-label": "Speed", onchange: () => {
      this.audio.playbackRate = Number(this.speed.value);
    } }, [0.5, 0.75, 1, 1.25, 1.5, 2].map((rate) =>
      el("option", { value: rate, selected: rate === 1 }, `${rate}×`)));
    this.stage = el("div", { class: "stage", role: "slider", tabindex: 0,
      "aria-label": "Position in the conversation", "aria-valuemin": 0,
      "aria-valuemax": this.end.toFixed(1),
      onkeydown: (event) => this.key(event), onpointerdown: (event) => this.grab(event) });
    this.problem = el("p", { class: "warning", hidden: true, role: "alert" });
    return el("div", { class: "player card" },
      el("div", { class: "controls" }, this.button,
        el("span", { class: "times" }, this.time, el("span", { class: "quiet" },
          ` / ${clock(this.end)}`)),
        this.speed, this.legend()),
      this.stage, this.problem, this.audio);
  }

  legend() {
    const kinds = new Set(this.told.marks.map((mark) => mark.kind));
    const entry = (kind, text) =>
      el("span", { class: "entry" }, el("i", { class: `key ${kind}` }), text);
    return el("span", { class: "legend" },
      this.lanes.includes("user") && entry("user", "user"), entry("agent", "agent"),
      this.waits().length > 0 && entry("wait", "waiting"),
      kinds.has("tool_call") && entry("tool_call", "tool call"),
      kinds.has("interrupted") && entry("interrupted", "interrupted"),
      kinds.has("error") && entry("error", "error"));
  }

  icon() {
    return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
      svg("path", { class: "to-play", d: "M8 5v14l11-7z" }),
      svg("path", { class: "to-pause", d: "M7 5h4v14H7zM13 5h4v14h-4z" }));
  }

  /* What the recording says */

  spans(first, last) {
    const found = [];
    for (const mark of this.told.marks) {
      if (mark.kind === first) found.push({ turn: mark.turn, from: mark.at_s, to: this.end });
      const open = found.find((span) => span.turn === mark.turn);
      if (mark.kind === last && open) open.to = mark.at_s;
    }
    return found;
  }

  waits() {
    const answers = new Map(this.spans("answer", "answer_end").map((span) => [span.turn, span]));
    return this.spans("question", "question_end")
      .map((span) => ({ turn: span.turn, from: span.to, to: answers.get(span.turn)?.from }))
      .filter((wait) => wait.to > wait.from);
  }

  envelope(lane) {
    const bytes = atob(this.sound.waveform.lanes[lane] || "");
    return Int8Array.from(bytes, (byte) => byte.charCodeAt(0));
  }

  /* Drawing */

  draw() {
    const width = Math.floor(this.stage.clientWidth);
    if (!width || width === this.width) return;
    this.width = width;
    const height = RULER + this.lanes.length * LANE + (this.lanes.length - 1) * GAP + PAD;
    const x = (seconds) => Math.min(1, Math.max(0, seconds / this.length)) * width;
    this.cursor = svg("g", { class: "cursor" }, svg("line", { y1: 0, y2: height }),
      svg("circle", { r: 4, cy: 4 }));
    const drawing = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`,
      "aria-hidden": "true" },
      this.ruler(x, height), this.turns(x, height),
      this.lanes.map((side, lane) => this.wave(side, lane, x)),
      this.gaps(x), this.events(x, height), this.cursor);
    this.stage.replaceChildren(drawing);
    this.place();
  }

  ruler(x, height) {
    const wanted = this.length / Math.max(2, this.width / 90);
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600]
      .find((each) => each >= wanted) || 7200;
    const marks = [];
    for (let at = 0; at <= this.length; at += step) {
      const place = x(at);
      marks.push(svg("line", { class: "grid", x1: place, x2: place, y1: RULER - 6, y2: height }));
      if (place < this.width - 34) {
        marks.push(svg("text", { class: "ruler", x: place + 6, y: 11 },
          step < 1 ? clock(at) : clock(at).replace(/\.0$/, "")));
      }
    }
    return svg("g", {}, marks);
  }

  turns(x, height) {
    const starts = this.spans("question", "question_end").map((span) => span.from);
    if (starts.length < 2) return null;
    return svg("g", {}, starts.map((from, number) => svg("rect", {
      class: number % 2 ? "turn odd" : "turn", x: x(from), y: RULER - 4,
      width: Math.max(0, x(starts[number + 1] ?? this.end) - x(from)), height: height - RULER + 4 },
      svg("title", {}, `Turn ${number + 1}`))));
  }

  top(lane) {
    return RULER + lane * (LANE + GAP);
  }

  wave(side, lane, x) {
    const points = this.envelope(lane);
    const middle = this.top(lane) + LANE / 2;
    const scale = (LANE / 2 - 1) / 127;
    const step = this.sound.waveform.bucket_s;
    const upper = [];
    const lower = [];
    for (let index = 0; index < points.length; index += 2) {
      const place = x((index / 2 + 0.5) * step).toFixed(1);
      upper.push(`${place} ${(middle - Math.max(points[index + 1] * scale, 0.5)).toFixed(1)}`);
      lower.push(`${place} ${(middle - Math.min(points[index] * scale, -0.5)).toFixed(1)}`);
    }
    const outline = upper.concat(lower.reverse());
    return svg("g", { class: `lane ${side}` },
      svg("line", { class: "axis", x1: 0, x2: x(this.end), y1: middle, y2: middle }),
      outline.length ? svg("path", { d: `M${outline.join("L")}Z` }) : null);
  }

  gaps(x) {
    if (this.lanes.length < 2) return null;
    const y = this.top(0) + LANE + GAP / 2;
    return svg("g", { class: "waits" }, this.waits().map((wait) => {
      const [from, to] = [x(wait.from), x(wait.to)];
      const told = this.told.turns[wait.turn - 1]?.latency.voice_to_voice_ms;
      const text = number(told ?? (wait.to - wait.from) * 1000, "ms");
      const room = to + 60 < this.width;
      return svg("g", {}, svg("title", {}, `Turn ${wait.turn}: ${text} of waiting`),
        svg("rect", { x: from, y: y - 3, width: Math.max(2, to - from), height: 6, rx: 3 }),
        svg("text", { x: room ? to + 5 : from - 5, y: y + 4,
          "text-anchor": room ? "start" : "end" }, text));
    }));
  }

  events(x, height) {
    const shown = this.told.marks.filter((mark) =>
      ["tool_call", "interrupted", "error"].includes(mark.kind));
    return svg("g", {}, shown.map((mark) => {
      const place = x(mark.at_s);
      const what = mark.kind.replace("_", " ");
      return svg("g", { class: `event ${mark.kind}` },
        svg("title", {}, `${clock(mark.at_s)} ${what}${mark.text ? `: ${mark.text}` : ""}`),
        svg("line", { x1: place, x2: place, y1: RULER - 4, y2: height }),
        svg("path", { d: `M${place - 5} ${RULER - 9}h10l-5 8z` }));
    }));
  }

  /* Playing */

  toggle() {
    if (!this.audio.paused) {
      this.audio.pause();
      return;
    }
    for (const other of players) if (other !== this) other.audio.pause();
    // Its refusal is an error event of the element's, or was asked for by pausing it.
    this.audio.play().catch(() => undefined);
  }

  seek(seconds) {
    this.wanted = Math.min(this.end, Math.max(0, seconds));
    this.audio.currentTime = this.wanted;
    this.place(this.wanted);
  }

  playFrom(seconds) {
    this.seek(seconds);
    if (this.audio.paused) this.toggle();
    this.element.scrollIntoView({ block: "nearest" });
  }

  follow() {
    const playing = !this.audio.paused && !this.audio.ended;
    this.button.classList.toggle("playing", playing);
    this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
    cancelAnimationFrame(this.frame);
    const step = () => {
      this.place();
      if (!this.audio.paused) this.frame = requestAnimationFrame(step);
    };
    step();
  }

  place(seconds = this.audio.currentTime) {
    const at = Math.min(seconds, this.end);
    this.time.textContent = clock(at);
    this.stage.setAttribute("aria-valuenow", at.toFixed(1));
    this.stage.setAttribute("aria-valuetext", `${at.toFixed(1)} seconds of ${this.end.toFixed(1)}`);
    if (this.cursor) {
      this.cursor.setAttribute("transform", `translate(${(at / this.length) * this.width} 0)`);
    }
  }

  key(event) {
    const now = this.audio.currentTime;
    const places = { ArrowLeft: now - 1, ArrowRight: now + 1, ArrowDown: now - 1, ArrowUp: now + 1,
      PageDown: now - 10, PageUp: now + 10, Home: 0, End: this.end };
    if (event.key in places) this.seek(places[event.key]);
    else if (event.key === " " || event.key === "Enter") this.toggle();
    else return;
    event.preventDefault();
  }

  grab(event) {
    const box = this.stage.getBoundingClientRect();
    const seek = (moved) => this.seek(((moved.clientX - box.left) / box.width) * this.length);
    this.stage.setPointerCapture(event.pointerId);
    this.stage.addEventListener("pointermove", seek);
    this.stage.addEventListener("lostpointercapture", () =>
      this.stage.removeEventListener("pointermove", seek), { once: true });
    seek(event);
  }

  failed() {
    this.problem.hidden = false;
    this.problem.textContent = this.sound.url
      ? "The recording cannot be played. It lies beside this page and has to be moved with it."
      : "This browser cannot play the recording (Ogg Opus).";
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.sizes.disconnect();
    this.audio.pause();
    this.audio.removeAttribute("src");
  }
}
