// Making elements. Texts go in as text nodes only; nothing here is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const NARROW = "\u202f";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child || child === 0) element.append(child);
  }
  return element;
}

const el = (name, attributes, ...children) =>
  fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);
const byId = (id) => document.getElementById(id);

function stored(id) {
  const element = byId(id);
  return element ? JSON.parse(element.textContent) : null;
}

const conversations = new Map();
function conversationOf(run, place) {
  const name = `${"ab"[run]}-${place}`;
  if (!conversations.has(name)) conversations.set(name, stored(`c-${name}`));
  return conversations.get(name);
}

function digits(value, unit) {
  if (unit === "") return 0;
  if (unit === "ms") return Math.abs(value) < 10 ? 1 : 0;
  return Math.abs(value) < 100 ? 1 : 0;
}

function number(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "ms" && Math.abs(value) >= 10000) [value, unit] = [value / 1000, "s"];
  const text = value.toFixed(digits(value, unit)).replace(/\B(?=(\d{3})+(?!\d))/g, NARROW);
  return unit ? text + NARROW + unit : text;
}

function signed(value, unit) {
  const text = number(Math.abs(value), unit).replace("%", "pp");
  if (!/[1-9]/.test(text)) return "±" + text;
  return (value > 0 ? "+" : "−") + text;
}

function clock(seconds) {
  const tenths = Math.max(0, Math.round(seconds * 10));
  const minutes = Math.floor(tenths / 600);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return `${minutes}:${rest}`;
}

const STATUS = {
  ok: "ok",
  failed: "failed",
  appeared: "fails now",
  vanished: "fails no more",
  only_before: "only in A",
  only_after: "only in B",
};

const chip = (status) => el("span", { class: `chip ${status}` }, STATUS[status]);
