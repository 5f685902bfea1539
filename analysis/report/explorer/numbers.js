// Numbers as people read them (analysis/formatting.py), and powers as they are set.
"use strict";

const UNITS = [["T", 1e12], ["G", 1e9], ["M", 1e6], ["K", 1e3], ["", 1]];
const scaled = (value) => {
  const [unit, factor] = UNITS.find(([, f]) => value >= 0.9995 * f) || ["", 1];
  return [significant(value / factor, 3), unit];
};

// Rounded as Python does it: what lies just in the middle between two numbers, such as 2.125, goes to the even one.
const goesDown = (digits, kept) => /^50*$/.test(digits.slice(kept)) && digits[kept - 1] % 2 === 0;
function significant(value, digits) {
  const nearest = Number(value.toPrecision(digits));
  const down = goesDown(value.toExponential(60).replace(/\.|e.*/g, ""), digits);
  return down ? Number((2 * value - nearest).toPrecision(digits)) : nearest;
}
function fixed(value, decimals) {
  const [whole, part] = value.toFixed(60).split(".");
  const down = goesDown(whole + part, whole.length + decimals);
  return down ? `${whole}.${part.slice(0, decimals)}` : value.toFixed(decimals);
}
const formatCount = (n) => scaled(n).join("\u00a0").trim();
const formatBytes = (n) => `${scaled(n).join("\u00a0")}B`;
const formatBits = (bits) => String(Number(bits.toPrecision(3)));
const formatPercent = (rate) => `${100 * rate < 999.95 ? fixed(100 * rate, 1)
  : significant(100 * rate, 3).toLocaleString("en", { maximumFractionDigits: 0 })}\u00a0%`;

// As many digits as the interval supports, two at the least; a size at one end of it is not rounded out of it.
function knownCount({ n, low, high }) {
  if (!(low < high)) return formatCount(n);
  const digits = Math.min(Math.max(2, 1 - Math.floor(Math.log10((high - low) / (2 * n)))), 6);
  const rounded = [0, 1, 2, 3, 4].map((more) => significant(n, digits + more));
  return formatCount(rounded.find((each) => low <= each && each <= high) ?? n);
}

// "D^γ" with the γ raised: text and superscripts in turn.
function setText(node, text) {
  node.replaceChildren(...text.split(/\^([αβγδ])/).map((part, i) =>
    i % 2 ? Object.assign(document.createElement("sup"), { textContent: part }) : part));
}
