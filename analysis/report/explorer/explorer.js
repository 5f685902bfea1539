// The page: its data and state, the answer in words and in the table, and the address, which says what is shown.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const el = (id) => document.getElementById(id);
const LEAST_FOR_LAW = 3; // any two dataset sizes have a line through them
const state = { price: data.bits_per_param, code: data.code, group: 0, budget: 0, classical: "best", cell: null, places: [] };
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const onDarkPaper = () => dark.matches && !document.documentElement.classList.contains("on-white");

// --- what the controls ask for
const group = () => data.groups[state.group];
const budget = () => group().budgets[state.budget] || group().budgets[0];
const code = () => budget().codes.find((c) => c.key === state.code) || budget().codes[0];
const price = () => (code().priced ? state.price : 0);
const pricesOf = (curve) => curve.prices || curve.n.map(price); // bits per parameter at each size
const rateOf = (curve, i) => (curve.bits[i] + pricesOf(curve)[i] * curve.n[i]) / (8 * curve.d);
const sentOf = (curve) => curve.sent || 0; // bits of a tokenizer, which are in the adjusted rate alone
const twoPart = () => code().priced || code().own_price; // own_price: that of the records, whatever the slider says

// [name, rate] of the classical coder asked for at a curve's dataset size, if there is one.
function classicalOf(curve) {
  const coders = group().classical[curve.d] || [];
  return state.classical === "best" ? coders[0] : coders.find(([name]) => name === state.classical);
}

function criticalOf(curve) {
  if (twoPart()) {
    const local = criticalSize(curve.n, curve.bits, curve.n_seeds, pricesOf(curve));
    if (local.status !== "bracketed") return local;
    const { found, law } = fitOf(curve);
    return { ...local, ...found, law };
  }
  const best = curve.bits.indexOf(Math.min(...curve.bits)); // free parameters: of the sizes that were run
  const total = curve.bits[best];
  return { n: null, total, code: total, best: curve.n[best], nPooled: 0, status: "of the sizes run" };
}

// What the report found at this price, and the law that it is of; at a price that the report has not, the first law
// followed to it. Nothing is found where that does not reach the price.
function fitOf({ fits, prices }) {
  const own = fits && fits.find(({ found, bits }) => found && (prices || isPrice(bits)));
  if (own || !fits || !fits.length) return own || { found: null, law: null };
  const [{ law }] = fits;
  return { found: law && law.prices ? lawSize(law, price()) : null, law };
}

// An address has six digits of a price.
const isPrice = (bits) => Math.abs(price() / bits - 1) < 1e-5;

function render() {
  const found = code().curves.map((curve) => ({ curve, ...criticalOf(curve) }));
  const points = found.filter((f) => f.n !== null).map((f) => ({ d: f.curve.d, n: f.n }));
  const law = points.length < LEAST_FOR_LAW ? null : powerLaw(points);
  el("curves-title").textContent = `${twoPart() ? "Adjusted rate" : "Rate"} against model size`;
  setText(el("answer"), answerText(found, points, law));
  showTable(found);
  drawCurves(found);
  drawSizes(found, points, law);
  showCell();
}

// --- the answer
function answerText(found, points, law) {
  if (!twoPart()) return "Parameters cost nothing in this code: no critical size follows from a price.";
  const at = code().priced ? `At ${formatBits(price())} bits per parameter` : `At ${code().own_price}`;
  if (law === null && found.length === 1 && points.length === 1) {
    const [{ curve, low, high }] = found;
    const ends = low < high ? ` (95 %: ${formatCount(low)} to ${formatCount(high)})` : "";
    return `${at} the critical size of ${formatBytes(curve.d)} is ${knownCount(found[0])} parameters${ends}. A law of its growth needs three dataset sizes.`;
  }
  if (law === null) {
    const inside = ["no dataset size has its", "one dataset size has its", "two dataset sizes have their"][points.length];
    return `${at} ${inside} minimum inside the grid; a law needs three.`;
  }
  return `${at} the critical size grows as D^γ with γ = ${lawText(points, law)}.`;
}

// The report's own interval where this is what the report is about; else the line alone, whose residuals are no uncertainty.
function lawText(points, law) {
  const { cost, is_number: isNumber, gamma, low, high } = group().law;
  const reported = state.budget === 0 && (isNumber ? code().key === "two-part" && isPrice(data.fitted_bits) : code().key === cost);
  const over = `${points.length} dataset sizes`;
  if (reported && low !== null && high !== null) return `${gamma.toFixed(2)} (95 %: ${low.toFixed(2)} to ${high.toFixed(2)}, ${over})`;
  return `${law.gamma.toFixed(2)} (a line through ${over})`;
}

// With ≤ or ≥ where the sizes that were looked at end there (analysis/report/sections/answer_table.py).
function intervalText({ low, high, curve: { n } }) {
  const [first, last] = [n[0], n[n.length - 1]];
  const isBeyond = low < 0.99 * first || high > 1.01 * last;
  const [least, most] = isBeyond ? [(1.01 * first) / FOLLOWED, (last * FOLLOWED) / 1.01] : [first, last];
  return [low, high].map((end) => `${end <= least ? "≤ " : end >= most ? "≥ " : ""}${formatCount(end)}`).join(" to ");
}

function sizeText(f) {
  if (f.n !== null) return knownCount(f) + (f.isMarked ? " *" : "");
  const signs = { below: "≤ ", above: "≥ " };
  return `${signs[f.status] || ""}${formatCount(f.best)}${twoPart() && !signs[f.status] ? `, ${f.status}` : ""}`;
}

// Where some sizes are read from the law and others are not, these are marked.
function aboutSizes(found) {
  if (!twoPart()) return "The best of the sizes run.";
  const inside = found.filter((f) => f.n !== null);
  const local = inside.filter((f) => f.low === undefined);
  const isMixed = local.length > 0 && local.length < inside.length;
  local.forEach((f) => { f.isMarked = isMixed; });
  const through = "a curve through the models that were run, and has no interval";
  const said = [local.length && !isMixed ? `N* is the minimum of ${through};` : "N* is the minimum of a smooth law through each curve;"];
  said.push("≤ and ≥: the smallest or the largest model was best.");
  if (isMixed) said.push(`* The smooth law does not reach this price: N* is the minimum of ${through}.`);
  if (local.some((f) => f.nPooled)) said.push("Where the code length rose with N, neighbors were averaged.");
  return said.join(" ");
}

function showTable(found) {
  const rated = twoPart() ? ["adjusted rate", "raw rate"] : ["rate"];
  const head = ["dataset", twoPart() ? "critical size N*" : "best size", ...(twoPart() ? ["95 % interval"] : []), ...rated, "classical coder"];
  const table = el("table");
  table.replaceChildren();
  table.createCaption().textContent = aboutSizes(found);
  const row = table.createTHead().insertRow();
  head.forEach((text) => row.append(Object.assign(document.createElement("th"), { textContent: text, scope: "col" })));
  const body = table.createTBody();
  found.forEach((f) => {
    const cells = body.insertRow();
    Object.assign(cells.dataset, { subsetBytes: f.curve.d, nParams: f.n === null ? "" : f.n, status: f.status });
    cells.append(Object.assign(document.createElement("th"), { textContent: formatBytes(f.curve.d), scope: "row" }));
    const rates = [f.total, f.code - sentOf(f.curve)].slice(0, rated.length).map((bits) => formatPercent(bits / (8 * f.curve.d)));
    const coder = classicalOf(f.curve);
    const interval = f.low < f.high ? intervalText(f) : "–";
    const texts = [sizeText(f), ...(twoPart() ? [interval] : []), ...rates, coder ? `${coder[0]} ${formatPercent(coder[1])}` : "–"];
    texts.forEach((text) => { cells.insertCell().textContent = text; });
  });
}

// --- the address says what to show, and follows
function show() {
  state.code = code().key;
  showControls();
  render();
}

function keepInAddress() {
  const { code: key, group: corpus, budget: training, classical, cell } = state;
  const query = new URLSearchParams({ price: Number(state.price.toPrecision(6)), code: key, group: corpus, budget: training, classical });
  if (cell) query.set("cell", `${cell.curve}.${cell.cell}`);
  history.replaceState(null, "", `#${query}`);
}

function changed() {
  show();
  keepInAddress();
}

function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const index = (name, list) => (/^\d+$/.test(asked.get(name)) && list[Number(asked.get(name))] ? Number(asked.get(name)) : 0);
  const bits = Number(asked.get("price"));
  if (bits >= 0.5 && bits <= 32) state.price = bits;
  state.group = index("group", data.groups);
  state.budget = index("budget", group().budgets);
  state.code = asked.get("code") || data.code;
  state.classical = asked.get("classical") || "best";
  const cell = /^(\d+)\.(\d+)$/.exec(asked.get("cell"));
  state.cell = cell && { curve: Number(cell[1]), cell: Number(cell[2]) };
  show();
}

function start() {
  el("subtitle").textContent = data.subtitle;
  if (!data.groups.length) {
    el("answer").textContent = data.nothing;
    document.querySelectorAll("form, .panels").forEach((node) => node.remove());
    return;
  }
  el("group-control").hidden = data.groups.length < 2;
  listen();
  dark.addEventListener("change", show);
  window.addEventListener("resize", render);
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
}
start();
