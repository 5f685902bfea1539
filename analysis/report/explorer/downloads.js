// What is shown, as a file: either picture as SVG or PNG, on white paper, and its numbers as CSV.
"use strict";

const PNG_SCALE = 3;
const KEPT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "paint-order", "opacity", "font-size", "font-weight"];

async function download(picture, format) {
  const made = { svg: () => new Blob([svgText(picture)], { type: "image/svg+xml" }), png: () => pngOf(picture),
    csv: () => new Blob([csvText(picture)], { type: "text/csv" }) };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await made[format]());
  link.download = `${data.name}-${picture}.${format}`.replace(/[^\w.-]+/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  el("downloaded").textContent = `${link.download} was made.`;
}

// A file has no style sheet beside it, so every element is given its own style, that of light paper.
function svgText(picture) {
  document.documentElement.classList.add("on-white");
  render();
  const [shown, copy] = [el(picture), el(picture).cloneNode(true)];
  const [from, to] = [shown, copy].map((svg) => [...svg.querySelectorAll("*")]);
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    to[i].removeAttribute("class");
    to[i].setAttribute("style", KEPT.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  ["tabindex", "role", "aria-labelledby", "aria-describedby", "aria-roledescription"].forEach((name) => copy.removeAttribute(name));
  const { width, height } = shown.viewBox.baseVal;
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", width);
  copy.setAttribute("font-family", "DejaVu Sans, Helvetica, Arial, sans-serif");
  copy.prepend(add(copy, "title", {}, `${data.name}: ${el(`${picture}-title`).textContent}. ${el("answer").textContent}`));
  copy.firstChild.after(add(copy, "rect", { width, height, fill: "#fff" }));
  document.documentElement.classList.remove("on-white");
  render();
  return new XMLSerializer().serializeToString(copy);
}

async function pngOf(picture) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(picture))}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: PNG_SCALE * image.width, height: PNG_SCALE * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

// Bytes, bits and fractions, nothing rounded.
function csvText(picture) {
  const rows = picture === "curves" ? cellRows() : sizeRows();
  const quoted = (value) => (/[",\n]/.test(String(value ?? "")) ? `"${String(value).replace(/"/g, '""')}"` : value ?? "");
  return rows.map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

function cellRows() {
  const head = ["corpus", "code", "subset_bytes", "size", "n_params", "code_bits", "bits_per_param", "adjusted_rate", "heldout_rate", "n_seeds"];
  const rows = code().curves.flatMap((c) => c.n.map((n, j) => [group().name, code().key, c.d, c.size[j], n, c.bits[j] - sentOf(c), pricesOf(c)[j],
    rateOf(c, j), c.heldout_rate ? c.heldout_rate[j] : null, c.n_seeds[j]]));
  return [head, ...rows];
}

function sizeRows() {
  const head = ["corpus", "code", "subset_bytes", "status", "n_params", "low", "high", "adjusted_rate", "raw_rate", "coder", "classical_rate"];
  const rows = code().curves.map((c) => {
    const f = criticalOf(c);
    return [group().name, code().key, c.d, f.status, f.n, f.low, f.high, f.total / (8 * c.d), (f.code - sentOf(c)) / (8 * c.d), ...(classicalOf(c) || [null, null])];
  });
  return [head, ...rows];
}
