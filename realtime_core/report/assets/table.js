// The table: sorted, filtered, and only as many rows as somebody looks at.

const PAGE = 100;

class Table {
  constructor(data) {
    this.data = data;
    this.compares = data.runs.length > 1;
    this.sort = { column: -1, down: false };
    this.query = "";
    this.status = "";
    this.cause = "";
    this.shown = PAGE;
    this.texts = new Map();
    this.element = byId("table");
    this.element.classList.toggle("compares", this.compares);
    this.body = el("tbody");
    this.buildFilters();
    this.element.append(el("caption", { class: "hidden" }, "All conversations; heads sort"),
      this.head(), this.body);
    byId("more").addEventListener("click", () => {
      this.shown += PAGE;
      this.draw();
    });
    this.update();
  }

  buildFilters() {
    const counts = new Map();
    for (const row of this.data.rows) counts.set(row.status, (counts.get(row.status) || 0) + 1);
    this.search = el("input", { type: "search", id: "search", autocomplete: "off",
      placeholder: "Search ids, transcripts, errors",
      "aria-label": "Search ids, transcripts and errors", oninput: () => {
        this.query = this.search.value.trim().toLowerCase();
        this.update();
      } });
    const choices = [["", `all ${number(this.data.rows.length, "")}`]].concat(
      Object.keys(STATUS).filter((each) => counts.has(each))
        .map((each) => [each, `${STATUS[each]} ${number(counts.get(each), "")}`]));
    this.choices = choices.map(([status, text]) => el("button", { type: "button",
      "data-status": status, onclick: () => this.choose(status) }, text));
    this.causeChip = el("button", { type: "button", class: "chip cause-chip", hidden: true,
      onclick: () => this.chooseCause("") });
    fill(byId("filters"), {}, [this.search,
      choices.length > 2 ? el("div", { class: "choice", role: "group", "aria-label": "Show" },
        this.choices) : null, this.causeChip]);
    for (const button of document.querySelectorAll("[data-cause]")) {
      button.addEventListener("click", () => {
        this.chooseCause(button.dataset.cause);
        byId("conversations-title").scrollIntoView();
      });
    }
  }

  head() {
    const cell = (column, title, about, numeric) => {
      const button = el("button", { type: "button", title: about || null,
        onclick: () => this.sortBy(column) }, title, el("i", { "aria-hidden": "true" }));
      return el("th", { scope: "col", class: numeric ? "num" : null, "data-column": column }, button);
    };
    return el("thead", {}, el("tr", {}, cell(-1, "Conversation"), cell(-2, "Status"),
      el("th", { scope: "col", class: "said-head" }, "What was said"),
      this.data.columns.map((column, index) => cell(index, column.title, column.about, true))));
  }

  choose(status) {
    this.status = status;
    this.update();
  }

  chooseCause(cause) {
    this.cause = cause;
    this.causeChip.hidden = !cause;
    this.causeChip.textContent = `${cause} ✕`;
    this.causeChip.setAttribute("aria-label", `Show all, not only ${cause}`);
    this.update();
  }

  sortBy(column) {
    const again = this.sort.column === column;
    // The worst is what people look for: figures begin with the highest.
    this.sort = { column, down: again ? !this.sort.down : column >= 0 };
    this.update();
  }

  key(row) {
    const { column } = this.sort;
    if (column === -1) return row.id;
    if (column === -2) return STATUS[row.status];
    const values = row.values[column];
    if (!this.compares) return values[0];
    return values[0] === null || values[1] === null ? null : values[1] - values[0];
  }

  compare(a, b) {
    const [first, second] = [this.key(a), this.key(b)];
    if (first === null || second === null) return (first === null) - (second === null);
    const order = typeof first === "string"
      ? first.localeCompare(second, undefined, { numeric: true }) : first - second;
    return this.sort.down ? -order : order;
  }

  text(row) {
    if (!this.texts.has(row.id)) {
      const parts = [row.id];
      row.places.forEach((place, run) => {
        if (place === null) return;
        const told = conversationOf(run, place);
        for (const turn of told.turns) {
          parts.push(turn.question_transcript, turn.said, turn.answer_transcript, turn.question);
          for (const call of turn.tool_calls) parts.push(call.name, call.arguments);
        }
        if (told.error) parts.push(told.error.message, told.error.kind, told.error.stage);
      });
      this.texts.set(row.id, parts.filter(Boolean).join("\n").toLowerCase());
    }
    return this.texts.get(row.id);
  }

  matches(row) {
    return (!this.status || row.status === this.status)
      && (!this.cause || row.cause === this.cause)
      && (!this.query || this.text(row).includes(this.query));
  }

  update() {
    this.shown = PAGE;
    this.rows = this.data.rows.filter((row) => this.matches(row)).sort((a, b) => this.compare(a, b));
    for (const button of this.choices) {
      button.setAttribute("aria-pressed", String(button.dataset.status === this.status));
    }
    for (const head of this.element.querySelectorAll("th[data-column]")) {
      const sorted = Number(head.dataset.column) === this.sort.column;
      if (sorted) head.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    this.draw();
  }

  draw() {
    const rows = this.rows.slice(0, this.shown);
    const width = 3 + this.data.columns.length;
    this.body.replaceChildren(...(rows.length ? rows.map((row) => this.line(row))
      : [el("tr", {}, el("td", { colspan: width, class: "none" }, "No conversation is like that."))]));
    const all = this.data.rows.length;
    byId("count").textContent = this.rows.length === all ? number(all, "")
      : `${number(this.rows.length, "")} of ${number(all, "")}`;
    const left = this.rows.length - rows.length;
    byId("more").hidden = left === 0;
    byId("more").textContent = `Show ${Math.min(PAGE, left)} more of ${number(left, "")}`;
  }

  line(row) {
    const [asked, answered] = row.said;
    const href = `#/${encodeURIComponent(row.id)}`;
    return el("tr", { onclick: (event) => {
      if (!event.target.closest("a") && !String(getSelection())) location.hash = href;
    } },
      el("th", { scope: "row" }, el("a", { href, title: row.id.length > 40 ? row.id : null }, el("bdi", {}, row.id))),
      el("td", {}, chip(row.status)),
      el("td", { class: "said" }, el("span", { dir: "auto" }, asked),
        el("span", { dir: "auto" }, answered),
        row.cause ? el("span", { class: "why" }, row.cause) : null),
      row.values.map((values, index) => this.cell(values, this.data.columns[index])));
  }

  cell(values, column) {
    const { unit } = column;
    if (!this.compares) return el("td", { class: "num" }, number(values[0], unit));
    const [before, after] = values;
    if (before === null && after === null) return el("td", { class: "num" }, "–");
    let change = null;
    if (before !== null && after !== null) {
      const by = after - before;
      const good = by < 0 === column.less_is_better;
      const text = signed(by, unit);
      const same = text.startsWith("±");
      const state = same ? "same" : column.less_is_better === null ? "" : good ? "good" : "bad";
      change = el("span", { class: `change ${state}` }, same ? "same" : text);
    }
    const short = Math.max(before, after) < 10000 ? number(before, unit).split(NARROW + unit)[0]
      : number(before, unit);
    return el("td", { class: "num" }, change, el("span", { class: "quiet pair" },
      `${short} → ${number(after, unit)}`));
  }
}
