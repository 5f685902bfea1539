// What both pictures share: SVG elements, looks, logarithmic axes with plain numbers, names kept apart.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["", "7 2.5", "2.5 2", "9 3 2 3"];
const MARKS = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  (r) => `M${-r} ${-r}H${r}V${r}H${-r}Z`,
  (r) => `M0 ${-1.2 * r}L${1.15 * r} ${r}H${-1.15 * r}Z`,
  (r) => `M0 ${-1.35 * r}L${1.35 * r} 0L0 ${1.35 * r}L${-1.35 * r} 0Z`,
  (r) => `M0 ${1.2 * r}L${1.15 * r} ${-r}H${-1.15 * r}Z`,
  (r) => `M${-r / 2.4} ${-1.2 * r}H${r / 2.4}V${-r / 2.4}H${1.2 * r}V${r / 2.4}H${r / 2.4}V${1.2 * r}H${-r / 2.4}V${r / 2.4}H${-1.2 * r}V${-r / 2.4}H${-r / 2.4}Z`,
];
const [X_APART, Y_APART] = [46, 18]; // pixels from the middle of a label to that of the next
const [LEFTWARDS, UP, DOWN] = ["rotate(-90)", 2, 4]; // a triangle turned, and the marks that point up and down

// The look of a dataset size, which is the same whichever code is shown: color, line and mark differ.
function look(d) {
  const sizes = Object.keys(group().colors).map(Number).sort((a, b) => a - b);
  const i = sizes.indexOf(d);
  const [light, onDark] = group().colors[d];
  return { color: onDarkPaper() ? onDark : light, dash: DASHES[i % DASHES.length], mark: MARKS[i % MARKS.length] };
}

function add(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

// Empties the picture and draws its frame; returns the two scales, the box, and a group that is cut off at it.
function axes(svg, { height, margin, xs, ys, names, ticks }) {
  const width = Math.max(svg.clientWidth, 280);
  const box = { left: 58, right: width - margin.right, top: margin.top, bottom: height - 44 };
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const scale = ([low, high], from, to) => (v) => from + ((Math.log(v) - Math.log(low)) / Math.log(high / low)) * (to - from);
  const [x, y] = [scale(xs, box.left, box.right), scale(ys, box.bottom, box.top)];
  drawTicks(svg, { x, y, box, xs, ys, names, ticks });
  const middle = (box.top + box.bottom) / 2;
  add(svg, "text", { x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle" }, names.xTitle);
  add(svg, "text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, names.yTitle);
  const clip = `${svg.id}-inside`;
  const frame = { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top };
  add(add(svg, "clipPath", { id: clip }), "rect", frame);
  return { x, y, box, inside: add(svg, "g", { "clip-path": `url(#${clip})` }) };
}

function drawTicks(svg, { x, y, box, xs, ys, names, ticks }) {
  let free = -Infinity;
  (ticks || logTicks(xs, box.right - box.left, X_APART)).forEach((t) => {
    add(svg, "line", { x1: x(t), x2: x(t), y1: box.top, y2: box.bottom, class: "grid" });
    if (x(t) - free < X_APART) return; // a label that would touch its neighbor
    add(svg, "text", { x: x(t), y: box.bottom + 16, "text-anchor": "middle" }, names.x(t));
    free = x(t);
  });
  logTicks(ys, box.bottom - box.top, Y_APART).forEach((t) => {
    add(svg, "line", { x1: box.left, x2: box.right, y1: y(t), y2: y(t), class: "grid" });
    add(svg, "text", { x: box.left - 6, y: y(t) + 4, "text-anchor": "end" }, names.y(t));
  });
}

// As many as have labels that do not touch; `length`: of the axis, `least`: between two labels, pixels.
function logTicks([low, high], length, least) {
  const decades = [];
  for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k += 1) decades.push(k);
  const choices = [[1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 3, 5], [1, 3], [1]];
  const made = choices.map((c) => decades.flatMap((k) => c.map((m) => Number(`${m}e${k}`))).filter((t) => t >= low && t <= high));
  const decade = length / Math.log10(high / low);
  const isApart = (ticks) => ticks.every((t, i) => i === 0 || Math.log10(t / ticks[i - 1]) * decade >= least);
  return made.find(isApart) || made[3].filter((_, i) => i % Math.ceil(least / decade) === 0);
}

// The places in the same order, at least so far apart, moved as little as it takes (analysis/plots/style.py).
function apart(places, least, low, high) {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]);
  const step = Math.min(least, (high - low) / Math.max(1, places.length - 1));
  const free = nonIncreasing(order.map((i, k) => k * step - places[i]), places.map(() => 1));
  const moved = [];
  const last = high - step * (places.length - 1);
  order.forEach((i, k) => { moved[i] = Math.min(Math.max(-free[k], low), last) + k * step; });
  return moved;
}

// A critical size; a minimum at the grid's edge is an open triangle that points outwards, another an open circle.
function drawMinimum(parent, [px, py], { n, status }, outwards) {
  const at = `translate(${px} ${py})`;
  if (n !== null) return star(parent, at);
  const pointed = outwards[status];
  const [mark, turn] = pointed || [0, ""];
  return add(parent, "path", { d: MARKS[mark](6), transform: `${at} ${turn}`, class: "edge" });
}

function star(parent, transform) {
  const corners = Array.from({ length: 10 }, (_, i) => {
    const [r, a] = [i % 2 ? 3.2 : 7.5, (Math.PI * i) / 5 - Math.PI / 2];
    return `${(r * Math.cos(a)).toFixed(2)} ${(r * Math.sin(a)).toFixed(2)}`;
  });
  return add(parent, "path", { d: `M${corners.join("L")}Z`, transform, class: "star" });
}

// An interval as a bar with a short line across at either end.
function drawInterval(parent, [x1, y1], [x2, y2]) {
  const [dx, dy] = x1 === x2 ? [4, 0] : [0, 4];
  const ends = [[x1, y1], [x2, y2]].map(([px, py]) => `M${px - dx} ${py - dy}L${px + dx} ${py + dy}`);
  add(parent, "path", { d: `M${x1} ${y1}L${x2} ${y2}${ends.join("")}`, class: "interval" });
}
