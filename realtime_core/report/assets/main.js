// What is shown follows the part of the address behind "#", so that views can be linked to.

const data = stored("data");
const table = new Table(data);
const pageTitle = document.title;
let scrolledTo = 0;

function asked() {
  if (data.rows.length === 1 && data.runs.length === 1) return data.rows[0].id;
  if (!location.hash.startsWith("#/")) return "";
  try {
    return decodeURIComponent(location.hash.slice(2));
  } catch {
    return "";
  }
}

function show() {
  stopPlayers();
  const id = asked();
  const row = data.rows.find((each) => each.id === id);
  const [overview, part] = [byId("overview"), byId("conversation")];
  if (row && !overview.hidden) scrolledTo = scrollY;
  overview.hidden = Boolean(row);
  part.hidden = !row;
  part.replaceChildren();
  document.title = row ? `${row.id} – ${pageTitle}` : pageTitle;
  if (!row) {
    scrollTo(0, scrolledTo);
    return;
  }
  const index = table.rows.indexOf(row);
  fill(part, {}, conversationPart(row, data, table.rows[index - 1], table.rows[index + 1]));
  scrollTo(0, 0);
  if (location.hash) byId("conversation-title").focus({ preventScroll: true });
}

addEventListener("hashchange", (event) => {
  // The link that skips to the content is no view.
  if (new URL(event.newURL).hash !== "#main") show();
});

addEventListener("keydown", (event) => {
  if (byId("conversation").hidden) return;
  const isElsewhere = !event.target.closest("a, button, input, select, summary, [role=slider]");
  const [player] = players;
  if (event.key === "Escape" && byId("back")) location.hash = "#/";
  else if (event.key === " " && isElsewhere && player) {
    event.preventDefault();
    player.toggle();
  }
});

for (const button of document.querySelectorAll("[data-chart]")) {
  button.addEventListener("click", () => {
    byId("charts").className = `as-${button.dataset.chart}`;
    for (const each of document.querySelectorAll("[data-chart]")) {
      each.setAttribute("aria-pressed", String(each === button));
    }
  });
}

// On paper nothing can be opened, and nothing asked for.
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details:not([open])")) {
    each.dataset.closed = "";
    each.open = true;
  }
  table.shown = Infinity;
  table.draw();
});

addEventListener("afterprint", () => {
  for (const each of document.querySelectorAll("details[data-closed]")) {
    delete each.dataset.closed;
    each.open = false;
  }
  table.shown = PAGE;
  table.draw();
});

show();
