// One cell at a time: by pointer, tap or arrow keys; said in words below the picture.
"use strict";

function showCell() {
  const place = state.places.find((p) => state.cell && p.curve === state.cell.curve && p.cell === state.cell.cell);
  state.ring.setAttribute("visibility", place ? "visible" : "hidden");
  if (!place) {
    el("cell").textContent = "Point at a mark, or tap it, to see its model.";
    return;
  }
  state.ring.setAttribute("cx", place.px);
  state.ring.setAttribute("cy", place.py);
  el("cell").textContent = cellText(code().curves[place.curve], place.cell);
}

function cellText(curve, j) {
  const parts = [`${curve.size[j]}, ${curve.n[j].toLocaleString("en")} parameters on ${formatBytes(curve.d)}`];
  const bits = curve.bits[j] - sentOf(curve);
  parts.push(`code ${Math.round(bits / 8).toLocaleString("en")} bytes, ${formatPercent(bits / (8 * curve.d))}`);
  if (twoPart()) parts.push(`with parameters ${formatPercent(rateOf(curve, j))}`);
  if (curve.heldout_rate && curve.heldout_rate[j] !== null) parts.push(`held out ${formatPercent(curve.heldout_rate[j])}`);
  const spread = curve.sd[j] === null ? "" : `, standard deviation ${(100 * curve.sd[j] / (8 * curve.d)).toPrecision(2)} points`;
  parts.push(`${curve.n_seeds[j]} seed${curve.n_seeds[j] > 1 ? "s" : ""}${spread}`);
  return `${parts.join("; ")}.`;
}

function choose(place) {
  state.cell = place ? { curve: place.curve, cell: place.cell } : null;
  keepInAddress();
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
