// The picture of rates against model size: a curve per dataset size, its critical size, the classical coders.
"use strict";

const BAND = 0.15; // of the axis, left of the curves, for the classical coders' marks

// The same axes at every price, so that it is the curves that move: the minima at both ends of the slider fit in.
function ranges() {
  const { curves, priced } = code();
  const paid = (c, i, bits) => (c.prices ? c.prices[i] : bits) * c.n[i];
  const minima = (bits) => curves.map((c) => Math.min(...c.bits.map((b, i) => (b + paid(c, i, bits)) / (8 * c.d))));
  const sizes = curves.flatMap((c) => c.n);
  const classical = curves.map(classicalOf).filter(Boolean).map(([, rate]) => rate);
  const [low, high] = [minima(priced ? 0.5 : 0), minima(priced ? 32 : 0)].map((m) => [...m, ...classical]);
  return { x: [Math.min(...sizes) / 1.35, Math.max(...sizes) * 1.35], y: [0.85 * Math.min(...low), 1.9 * Math.max(...high)] };
}

function drawCurves(found) {
  const svg = el("curves");
  const { x: [least, most], y: ys } = ranges();
  const banded = found.some(({ curve }) => classicalOf(curve));
  const xs = [banded ? least * (least / most) ** (BAND / (1 - BAND)) : least, most];
  const names = { x: formatCount, y: (v) => Number((100 * v).toPrecision(3)), xTitle: "model size N, parameters",
    yTitle: twoPart() ? "(code + parameters) / raw, %" : "code / raw, %" };
  const margin = { top: 26, right: 56 };
  const height = svg.clientWidth < 500 ? 380 : 460;
  const ticks = logTicks([least, most], (1 - (banded ? BAND : 0)) * (svg.clientWidth - 58 - margin.right), X_APART);
  const frame = axes(svg, { height, margin, xs, ys, names, ticks });
  drawClassical(svg, frame, found);
  const ends = found.map((one) => drawCurve(frame, one));
  state.places = found.flatMap(({ curve }, i) => drawCells(frame, curve, i));
  nameCurves(svg, frame.box, ends);
  found.forEach((one) => {
    const at = frame.y(one.total / (8 * one.curve.d));
    drawMinimum(frame.inside, [frame.x(one.n || one.best), at], one, { below: [UP, LEFTWARDS], above: [DOWN, LEFTWARDS] });
    if (one.low < one.high) drawInterval(frame.inside, [frame.x(one.low), at], [frame.x(one.high), at]);
  });
  state.ring = add(svg, "circle", { r: 9, class: "ring", visibility: "hidden" });
}

function drawCurve({ x, y, inside }, one) {
  const { curve } = one;
  const { color, dash } = look(curve.d);
  const points = pointsOf(one, x, y);
  const d = `M${points.map((p) => p.map((v) => v.toFixed(2)).join(" ")).join("L")}`;
  add(inside, "path", { d, fill: "none", stroke: color, "stroke-width": 1.8, "stroke-dasharray": dash });
  return { points, color, text: formatBytes(curve.d) };
}

// Marks at what was run; returns their places, for pointer and keys.
function drawCells({ x, y, box, inside }, curve, i) {
  const { color, mark } = look(curve.d);
  const places = curve.n.map((n, j) => ({ px: x(n), py: y(rateOf(curve, j)), curve: i, cell: j }));
  return places.filter(({ py }) => py >= box.top + 4).map((at) => {
    add(inside, "path", { d: mark(3.8), transform: `translate(${at.px} ${at.py})`, fill: color, class: "mark" });
    return at;
  });
}

// The curve whose least N* is: about the minimum the smooth law, where N* is read from it; else the interpolation of
// the measured cells; straight from cell to cell where nothing is read from either.
function pointsOf({ curve, law, low, nPooled, status }, x, y) {
  const prices = pricesOf(curve);
  const place = (n, bits) => [x(n), y(bits / (8 * curve.d))];
  if (curve.n.length < LEAST_SIZES || status === "of the sizes run") {
    return curve.n.map((n, i) => place(n, curve.bits[i] + prices[i] * n));
  }
  const smooth = low !== undefined || nPooled ? nonIncreasing(curve.bits, curve.n_seeds) : curve.bits;
  const falls = smooth.every((b, i) => i === 0 || b <= smooth[i - 1]);
  const [local, paid] = [interpolant(curve.n.map(Math.log), smooth), parameterBits(curve.n, prices)];
  const share = low === undefined ? () => 0 : shareOfLaw(law, curve.n);
  const totalAt = (n, i) => {
    const [own, price] = [local(Math.log(n)), paid(Math.log(n))];
    const s = share(n, i);
    return s ? Math.exp(s * Math.log(lawCode(law, n) + price) + (1 - s) * Math.log(own + price)) : own + price;
  };
  return curve.n.flatMap((n, i) => {
    const steps = falls && i + 1 < curve.n.length ? 16 : 1;
    return Array.from({ length: steps }, (_, k) => n * (curve.n[i + 1] / n || 1) ** (k / steps)).map((m) => place(m, totalAt(m, i)));
  });
}

// Each curve's name at the right, above where it leaves through the top, or at its end where that is far from both.
function nameCurves(svg, box, ends) {
  const last = ({ points }) => points[points.length - 1];
  const over = ends.filter((end) => last(end)[1] < box.top);
  const leaves = over.map(({ points }) => {
    const i = points.findLastIndex(([, py], k) => k === 0 || points[k - 1][1] >= box.top);
    if (i === 0) return points[0][0];
    const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
    return x0 + ((box.top - y0) / (y1 - y0)) * (x1 - x0);
  });
  const tops = apart(leaves, 74, box.left + 20, box.right + 20);
  over.forEach(({ color, text }, k) =>
    add(svg, "text", { x: tops[k], y: box.top - 7, "text-anchor": "middle", style: `fill:${color}`, class: "name" }, `${text} ↑`));
  const inside = ends.filter((end) => last(end)[1] >= box.top);
  const short = (end) => last(end)[0] < box.left + 0.6 * (box.right - box.left);
  inside.filter(short).forEach((end) => {
    const [px, py] = last(end);
    add(svg, "text", { x: px + 7, y: py - 5, style: `fill:${end.color}`, class: "name halo" }, end.text);
  });
  const right = inside.filter((end) => !short(end));
  const heights = apart(right.map((end) => last(end)[1]), 15, box.top + 4, box.bottom - 4);
  right.forEach((end, k) => {
    const [px, py] = last(end);
    add(svg, "path", { d: `M${px + 5} ${py}L${box.right + 2} ${heights[k]}`, class: "leader" });
    add(svg, "text", { x: box.right + 5, y: heights[k] + 4, style: `fill:${end.color}`, class: "name" }, end.text);
  });
}

// Thin lines across, with an open mark in the band at the left; the coders' names over them.
function drawClassical(svg, { y, box, inside }, found) {
  const lines = found.map(({ curve }) => [curve, classicalOf(curve)]).filter(([, coder]) => coder);
  if (!lines.length) return;
  lines.forEach(([curve, [, rate]], i) => {
    const { color, mark } = look(curve.d);
    const px = box.left + ((i + 1) / (lines.length + 1)) * 0.8 * BAND * (box.right - box.left);
    add(inside, "line", { x1: box.left, x2: box.right, y1: y(rate), y2: y(rate), stroke: color, class: "classical" });
    add(inside, "path", { d: mark(3.4), transform: `translate(${px} ${y(rate)})`, stroke: color, class: "open" });
  });
  const top = y(Math.max(...lines.map(([, [, rate]]) => rate)));
  const said = [...new Set(lines.map(([, [name]]) => name))];
  ["classical:", ...said].forEach((text, i, all) =>
    add(svg, "text", { x: box.left + 4, y: top - 9 - 13 * (all.length - 1 - i), class: "halo soft" }, text));
}
