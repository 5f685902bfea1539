// The two pictures of the page, as SVG. What they show is in `state`, `code()` and `price()` of explorer.js.
"use strict";

// Dark to light with the dataset size (light to bright on dark paper); marker and line differ too
const SVG = "http://www.w3.org/2000/svg";
const INKS = { light: ["#35125e", "#2a5f9e", "#1c8577", "#6f9a1c", "#b98a00"], dark: ["#b79cff", "#6fb4f5", "#4fd0b4", "#a9dc5f", "#ffd84d"] };
const DASHES = ["", "7 2.5", "2.5 2", "9 3 2 3"];
const MARKS = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  (r) => `M${-r} ${-r}H${r}V${r}H${-r}Z`,
  (r) => `M0 ${-1.2 * r}L${1.15 * r} ${r}H${-1.15 * r}Z`,
  (r) => `M0 ${-1.35 * r}L${1.35 * r} 0L0 ${1.35 * r}L${-1.35 * r} 0Z`,
  (r) => `M0 ${1.2 * r}L${1.15 * r} ${-r}H${-1.15 * r}Z`,
];

function ink(i, count) {
  const inks = INKS[dark.matches ? "dark" : "light"];
  const at = count > 1 ? (i / (count - 1)) * (inks.length - 1) : 0;
  const k = Math.min(Math.floor(at), inks.length - 2);
  const channel = (hex, c) => parseInt(hex.slice(1 + 2 * c, 3 + 2 * c), 16);
  const mix = [0, 1, 2].map((c) => Math.round(channel(inks[k], c) + (at - k) * (channel(inks[k + 1], c) - channel(inks[k], c))));
  return `rgb(${mix.join(" ")})`;
}
const look = (i, count) => ({ color: ink(i, count), dash: DASHES[i % DASHES.length], mark: MARKS[i % MARKS.length] });

function add(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

// Logarithmic axes with plain ticks; returns the two scales.
function axes(svg, height, xs, ys, names, ticks) {
  const width = Math.max(svg.clientWidth, 280);
  const box = { left: 64, right: width - 14, top: 16, bottom: height - 44 };
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const scale = ([low, high], from, to) => (v) => from + ((Math.log(v) - Math.log(low)) / Math.log(high / low)) * (to - from);
  const [x, y] = [scale(xs, box.left, box.right), scale(ys, box.bottom, box.top)];
  let free = -Infinity;
  (ticks || logTicks(xs, (box.right - box.left) / 52)).forEach((t) => {
    add(svg, "line", { x1: x(t), x2: x(t), y1: box.top, y2: box.bottom, class: "grid" });
    if (x(t) - free < 46) return; // a label that would touch its neighbour
    add(svg, "text", { x: x(t), y: box.bottom + 16, "text-anchor": "middle" }, names.x(t));
    free = x(t);
  });
  logTicks(ys, (box.bottom - box.top) / 26).forEach((t) => {
    add(svg, "line", { x1: box.left, x2: box.right, y1: y(t), y2: y(t), class: "grid" });
    add(svg, "text", { x: box.left - 6, y: y(t) + 4, "text-anchor": "end" }, names.y(t));
  });
  add(svg, "text", { x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle" }, names.xTitle);
  add(svg, "text", { x: 12, y: (box.top + box.bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(box.top + box.bottom) / 2})` }, names.yTitle);
  const clip = `${svg.id}-inside`;
  const frame = { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top };
  add(add(svg, "clipPath", { id: clip }), "rect", frame);
  return { x, y, box, clip: `url(#${clip})` };
}

function logTicks([low, high], most) {
  const decades = [];
  for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k += 1) decades.push(k);
  const choices = [[1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 3, 5], [1, 3], [1]];
  const made = choices.map((c) => decades.flatMap((k) => c.map((m) => Number(`${m}e${k}`))).filter((t) => t >= low && t <= high));
  return made.find((ticks) => ticks.length <= most) || made[3].filter((_, i, all) => i % Math.ceil(all.length / most) === 0);
}

// The same axes at every price, so that it is the curves that move: the minima at both ends of the slider fit in.
function ranges() {
  const { curves, priced } = code();
  const paid = (c, i, bits) => (c.prices ? c.prices[i] : bits) * c.n[i];
  const minima = (bits) => curves.map((c) => Math.min(...c.bits.map((b, i) => (b + paid(c, i, bits)) / (8 * c.d))));
  const sizes = curves.flatMap((c) => c.n);
  return { x: [Math.min(...sizes) / 1.35, Math.max(...sizes) * 1.35],
    y: [0.85 * Math.min(...minima(priced ? 0.5 : 0)), 1.9 * Math.max(...minima(priced ? 32 : 0))] };
}

function drawCurves(found) {
  const svg = el("curves");
  const { x: xs, y: ys } = ranges();
  const names = { x: formatCount, y: (v) => Number((100 * v).toPrecision(3)), xTitle: "model size N, parameters",
    yTitle: twoPart() ? "(code + parameters) / raw, %" : "code / raw, %" };
  const { x, y, clip, box } = axes(svg, svg.clientWidth < 500 ? 360 : 440, xs, ys, names);
  const inside = add(svg, "g", { "clip-path": clip });
  state.places = [];
  found.forEach(({ curve, nPooled, status }, i) => {
    const { color, dash, mark } = look(i, found.length);
    const line = { d: path(curve, x, y, status === "bracketed" && !nPooled), fill: "none", stroke: color, "stroke-width": 1.8, "stroke-dasharray": dash };
    add(inside, "path", line);
    curve.n.forEach((n, j) => {
      const at = { px: x(n), py: y(rateOf(curve, j)), curve: i, cell: j };
      if (at.py < box.top) return;
      add(inside, "path", { d: mark(3.8), transform: `translate(${at.px} ${at.py})`, fill: color, class: "mark" });
      state.places.push(at);
    });
  });
  found.forEach((f) => {
    const at = `translate(${x(f.n || f.best)} ${y(f.total / (8 * f.curve.d))})`;
    if (f.n !== null) star(inside, at);
    else add(inside, "path", { d: MARKS[{ below: 2, above: 4 }[f.status] ?? 0](7), transform: `${at}${f.status === "below" || f.status === "above" ? " rotate(-90)" : ""}`, fill: "none", stroke: "var(--ink)", "stroke-width": 1.4 });
  });
  state.ring = add(svg, "circle", { r: 9, fill: "none", stroke: "var(--accent)", "stroke-width": 3, visibility: "hidden" });
}

// Through the measured cells; where the code length falls throughout, along the interpolation that N* is read from.
function path(curve, x, y, smooth) {
  const bits = interpolant(curve.n.map(Math.log), curve.bits);
  const paid = parameterBits(curve.n, pricesOf(curve));
  const falls = smooth && curve.bits.every((b, i) => i === 0 || b <= curve.bits[i - 1]);
  const points = curve.n.flatMap((n, i) => {
    const steps = falls && i + 1 < curve.n.length ? 16 : 1;
    return Array.from({ length: steps }, (_, s) => n * (curve.n[i + 1] / n || 1) ** (s / steps)).map((m, s) =>
      [x(m), y(((s ? bits(Math.log(m)) : curve.bits[i]) + (curve.n.length > 1 ? paid(Math.log(m)) : pricesOf(curve)[i] * m)) / (8 * curve.d))]);
  });
  return `M${points.map((p) => p.map((v) => v.toFixed(2)).join(" ")).join("L")}`;
}

function star(parent, transform) {
  const corners = Array.from({ length: 10 }, (_, i) => {
    const [r, a] = [i % 2 ? 3.6 : 8.5, (Math.PI * i) / 5 - Math.PI / 2];
    return `${(r * Math.cos(a)).toFixed(2)} ${(r * Math.sin(a)).toFixed(2)}`;
  });
  add(parent, "path", { d: `M${corners.join("L")}Z`, transform, fill: "var(--paper)", stroke: "var(--ink)", "stroke-width": 1.4 });
}

function drawSizes(found, points, law) {
  const svg = el("sizes");
  const ds = found.map((f) => f.curve.d);
  const wide = [Math.min(...ds) / 1.8, Math.max(...ds) * 1.8];
  const names = { x: formatBytes, y: formatCount, xTitle: "dataset size D", yTitle: "critical size N*, parameters" };
  const { x, y, clip, box } = axes(svg, svg.clientWidth < 500 ? 300 : 340, wide, ranges().x, names, ds);
  const inside = add(svg, "g", { "clip-path": clip });
  if (law !== null) {
    const ends = [points[0].d, points[points.length - 1].d];
    add(inside, "path", { d: `M${ends.map((d) => `${x(d)} ${y(law.k * d ** law.gamma)}`).join("L")}`, class: "law" });
  }
  found.forEach((f) => {
    const [px, py] = [x(f.curve.d), y(f.n || f.best)];
    if (f.n !== null) star(inside, `translate(${px} ${py})`);
    else add(inside, "path", { d: MARKS[{ below: 4, above: 2 }[f.status] ?? 0](5), transform: `translate(${px} ${py})`, fill: "none", stroke: "var(--ink)" });
    const text = (f.status === "below" ? "≤ " : f.status === "above" ? "≥ " : "") + formatCount(f.n || f.best);
    const place = px - box.left < 70 ? { x: px + 11, y: py + 14, "text-anchor": "start" } : { x: px - 11, y: py - 7, "text-anchor": "end" };
    add(svg, "text", { ...place, class: "halo" }, text);
  });
}
