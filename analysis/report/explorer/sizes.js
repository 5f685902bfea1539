// The picture of critical sizes against dataset sizes, with their intervals and the law through them.
"use strict";

function drawSizes(found, points, law) {
  const svg = el("sizes");
  const ds = found.map((f) => f.curve.d);
  const xs = [Math.min(...ds) / 1.8, Math.max(...ds) * 1.8];
  const names = { x: formatBytes, y: formatCount, xTitle: "dataset size D", yTitle: "critical size N*, parameters" };
  const margin = { top: 14, right: 14 };
  const frame = axes(svg, { height: svg.clientWidth < 500 ? 300 : 340, margin, xs, ys: ranges().x, names, ticks: ds });
  if (law !== null) drawLaw(frame, points, law);
  found.forEach((one) => {
    const [px, py] = [frame.x(one.curve.d), frame.y(one.n || one.best)];
    drawMinimum(frame.inside, [px, py], one, { below: [DOWN, ""], above: [UP, ""] });
    if (one.low < one.high) drawInterval(frame.inside, [px, frame.y(one.low)], [px, frame.y(one.high)]);
    nameSize(svg, frame, one, [px, py], law);
  });
}

function drawLaw({ x, y, inside }, points, law) {
  const ends = [points[0].d, points[points.length - 1].d];
  add(inside, "path", { d: `M${ends.map((d) => `${x(d)} ${y(law.k * d ** law.gamma)}`).join("L")}`, class: "law" });
}

// On the side of the law's line on which the star lies; the first of all to the right, where there is room.
function nameSize(svg, { x, y, box }, one, [px, py], law) {
  const text = (one.status === "below" ? "≤ " : one.status === "above" ? "≥ " : "") +
    (one.n === null ? formatCount(one.best) : knownCount(one));
  const under = px - box.left < 80 || (law !== null && one.n !== null && one.n < law.k * one.curve.d ** law.gamma && box.right - px > 80);
  const place = under ? { x: px + 11, y: py + 15, "text-anchor": "start" } : { x: px - 11, y: py - 7, "text-anchor": "end" };
  add(svg, "text", { ...place, class: "halo" }, text);
}
