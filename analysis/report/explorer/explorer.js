// The page: reads the data and follows the controls. Sizes come from explorer_critical.js, pictures from explorer_draw.js.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const el = (id) => document.getElementById(id);
const state = { price: data.bits_per_param, code: data.code, group: 0, cell: null };
const dark = window.matchMedia("(prefers-color-scheme: dark)");

// --- numbers as people read them (analysis/formatting.py)
const UNITS = [["T", 1e12], ["G", 1e9], ["M", 1e6], ["K", 1e3], ["", 1]];
const scaled = (value) => {
  const [unit, factor] = UNITS.find(([, f]) => value >= 0.9995 * f) || ["", 1];
  return [Number((value / factor).toPrecision(3)), unit];
};
const formatCount = (n) => scaled(n).join(" ").trim();
// As many digits as the interval supports, two at the least.
const knownCount = ({ n, low, high }) => {
  const digits = Math.min(Math.max(2, 1 - Math.floor(Math.log10((high - low) / (2 * n)))), 6);
  return formatCount(Number(n.toPrecision(digits)));
};
const formatBytes = (n) => `${scaled(n).join(" ")}B`;
const formatPercent = (rate) => `${(100 * rate).toLocaleString("en", rate < 10
  ? { minimumFractionDigits: 1, maximumFractionDigits: 1 } : { maximumSignificantDigits: 3 })} %`;

// --- what the controls ask for
const group = () => data.groups[state.group];
const code = () => group().codes.find((c) => c.key === state.code) || group().codes[0];
const price = () => (code().priced ? state.price : 0);
const pricesOf = (curve) => curve.prices || curve.n.map(price); // bits per parameter at each size
const rateOf = (curve, i) => (curve.bits[i] + pricesOf(curve)[i] * curve.n[i]) / (8 * curve.d);
const twoPart = () => code().priced || code().own_price; // own_price: that of the records, whatever the slider says

function criticalOf(curve) {
  if (twoPart()) {
    const local = criticalSize(curve.n, curve.bits, curve.n_seeds, pricesOf(curve));
    if (local.status !== "bracketed") return local;
    return { ...local, ...(curve.found || (curve.law && lawSize(curve.law, price())) || {}) };
  }
  const best = curve.bits.indexOf(Math.min(...curve.bits)); // free parameters: of the sizes that were run
  const total = curve.bits[best];
  return { n: null, total, code: total, best: curve.n[best], nPooled: 0, status: "of the sizes run" };
}

function render() {
  const found = code().curves.map((curve) => ({ curve, ...criticalOf(curve) }));
  const points = found.filter((f) => f.n !== null).map((f) => ({ d: f.curve.d, n: f.n }));
  const law = powerLaw(points);
  showControls();
  el("answer").textContent = answerText(found, points, law);
  showTable(found);
  drawCurves(found);
  drawSizes(found, points, law);
  showCell();
}

function showControls() {
  const { priced, note } = code();
  const named = Object.entries(data.prices).find(([, bits]) => bits === state.price);
  const text = `${Number(state.price.toPrecision(3))}${named ? ` (${named[0]})` : ""}`;
  el("price").disabled = !priced;
  el("price").value = Math.log2(state.price);
  el("price").setAttribute("aria-valuetext", `${text} bits per parameter`);
  el("price-text").textContent = priced ? text : code().own_price || "not counted";
  el("price-note").textContent = note;
  el("curves-title").textContent = `${twoPart() ? "Adjusted rate" : "Rate"} against model size`;
}

function answerText(found, points, law) {
  const inside = points.length ? `least inside the grid at ${points.length} of ${found.length} dataset sizes` : "";
  if (!twoPart()) return "Parameters cost nothing in this code: no critical size follows from a price.";
  const at = code().priced ? `At ${Number(price().toPrecision(3))} bits per parameter` : `At ${code().own_price}`;
  if (law === null) {
    return `${at} ${inside || "no rate is least inside the grid"}: ` +
      "no law can be given.";
  }
  const error = law.se === null ? "through two points" : `standard error ${law.se.toPrecision(2)}, ${points.length} dataset sizes`;
  return `${at} the critical size grows as D^γ with γ = ` +
    `${law.gamma.toFixed(2)} (${error}).`;
}

function sizeText(f) {
  if (f.n !== null && f.low) return `${knownCount(f)} (${formatCount(f.low)} to ${formatCount(f.high)})`;
  if (f.n !== null) return Math.round(f.n).toLocaleString("en") + (f.nPooled ? " *" : "");
  const signs = { below: "≤ ", above: "≥ " };
  return `${signs[f.status] || ""}${formatCount(f.best)}, ${signs[f.status] ? "not bracketed" : f.status}`;
}

function showTable(found) {
  const head = ["dataset", "critical size N*", twoPart() ? "adjusted rate" : "rate", "raw rate"];
  const table = el("table");
  table.replaceChildren();
  const pooled = found.some((f) => f.nPooled && !f.low);
  table.createCaption().textContent = "The least of a smooth law through each curve, with its 95 % interval." +
    (pooled ? " * The code length rose with N somewhere; there neighbours were averaged." : "");
  const row = table.createTHead().insertRow();
  head.forEach((text) => row.append(Object.assign(document.createElement("th"), { textContent: text, scope: "col" })));
  const body = table.createTBody();
  found.forEach((f) => {
    const cells = body.insertRow();
    cells.dataset.subsetBytes = f.curve.d;
    cells.dataset.nParams = f.n === null ? "" : f.n;
    cells.dataset.status = f.status;
    const rates = [f.total, f.code].map((bits) => formatPercent(bits / (8 * f.curve.d)));
    [formatBytes(f.curve.d), sizeText(f), ...rates].forEach((text) => { cells.insertCell().textContent = text; });
  });
}

// --- one cell at a time: pointer, tap, arrow keys
function showCell() {
  const place = state.places.find((p) => state.cell && p.curve === state.cell.curve && p.cell === state.cell.cell);
  state.ring.setAttribute("visibility", place ? "visible" : "hidden");
  if (!place) {
    el("cell").textContent = "No cell chosen.";
    return;
  }
  state.ring.setAttribute("cx", place.px);
  state.ring.setAttribute("cy", place.py);
  const curve = code().curves[place.curve];
  const j = place.cell;
  const parts = [`${curve.size[j]}, ${curve.n[j].toLocaleString("en")} parameters on ${formatBytes(curve.d)}`];
  parts.push(`code ${Math.round(curve.bits[j] / 8).toLocaleString("en")} bytes, ${formatPercent(curve.bits[j] / (8 * curve.d))}`);
  if (twoPart()) parts.push(`with parameters ${formatPercent(rateOf(curve, j))}`);
  if (curve.heldout_rate && curve.heldout_rate[j] !== null) parts.push(`held out ${formatPercent(curve.heldout_rate[j])}`);
  const spread = curve.sd[j] === null ? "" : `, standard deviation ${(100 * curve.sd[j] / (8 * curve.d)).toPrecision(2)} points`;
  parts.push(`${curve.n_seeds[j]} seed${curve.n_seeds[j] > 1 ? "s" : ""}${spread}`);
  el("cell").textContent = `${parts.join("; ")}.`.replace(/(\d) (?=%|[KMGT]?B\b)/g, "$1\u00a0");
}

function choose(place) {
  state.cell = place ? { curve: place.curve, cell: place.cell } : null;
  showCell();
}

function near(event) {
  const box = el("curves").getBoundingClientRect();
  const [px, py] = [event.clientX - box.left, event.clientY - box.top];
  const by = (p) => Math.hypot(p.px - px, p.py - py);
  const best = state.places.reduce((a, b) => (a && by(a) <= by(b) ? a : b), null);
  if (best && by(best) < 40) choose(best);
}

function step(event) {
  const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 0], ArrowDown: [-1, 0] };
  if (event.key === "Escape") choose(null);
  if (!(event.key in moves)) return;
  event.preventDefault();
  const { curve, cell } = state.cell || { curve: 0, cell: -moves[event.key][1] };
  const wanted = [curve + moves[event.key][0], cell + moves[event.key][1]];
  const same = (p) => p.curve === wanted[0] && (p.cell === wanted[1] || moves[event.key][0] !== 0);
  const close = (p) => Math.abs(p.cell - wanted[1]);
  const next = state.places.filter(same).sort((a, b) => close(a) - close(b))[0];
  if (next || !state.cell) choose(next || state.places[0]);
}

// --- start: the address says what to show, and follows
function legend() {
  const { curves } = code();
  el("legend").replaceChildren(...curves.map((curve, i) => {
    const { color, dash, mark } = look(i, curves.length);
    const item = document.createElement("li");
    const svg = add(item, "svg", { width: 34, height: 12, viewBox: "-17 -6 34 12", style: "width:34px", "aria-hidden": "true" });
    add(svg, "line", { x1: -17, x2: 17, y1: 0, y2: 0, stroke: color, "stroke-width": 1.8, "stroke-dasharray": dash });
    add(svg, "path", { d: mark(3.8), fill: color });
    item.append(formatBytes(curve.d));
    return item;
  }));
}

function options(select, names) {
  select.replaceChildren(...names.map(([value, text]) => new Option(text, value)));
}

function show() {
  options(el("code"), group().codes.map((c) => [c.key, c.name]));
  state.code = code().key;
  el("code").value = state.code;
  el("group").value = state.group;
  legend();
  render();
}

function changed() {
  const query = new URLSearchParams({ price: Number(state.price.toPrecision(6)), code: state.code, group: state.group });
  history.replaceState(null, "", `#${query}`);
  show();
}

function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const bits = Number(asked.get("price"));
  if (bits >= 0.5 && bits <= 32) state.price = bits;
  if (asked.get("group") in data.groups) state.group = Number(asked.get("group"));
  state.code = asked.get("code") || state.code;
  show();
}

function start() {
  el("subtitle").textContent = data.subtitle;
  if (!data.groups.length) {
    el("answer").textContent = data.nothing;
    document.querySelectorAll("form, .panels").forEach((node) => node.remove());
    return;
  }
  options(el("group"), data.groups.map((g, i) => [i, g.name]));
  el("group-control").hidden = data.groups.length < 2;
  el("price").addEventListener("input", (e) => { state.price = 2 ** Number(e.target.value); changed(); });
  el("code").addEventListener("change", (e) => { state.code = e.target.value; state.cell = null; changed(); });
  el("group").addEventListener("change", (e) => { state.group = Number(e.target.value); state.cell = null; changed(); });
  el("curves").addEventListener("pointermove", near);
  el("curves").addEventListener("pointerdown", near);
  el("curves").addEventListener("keydown", step);
  el("controls").addEventListener("submit", (e) => e.preventDefault());
  dark.addEventListener("change", show);
  window.addEventListener("resize", render);
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
}
start();
