// Critical sizes in the browser: by the smooth law as analysis/critical/minimum.py has it, at any price of a parameter;
// where that was not fitted, the local interpolation of analysis/critical/size.py. Tests hold this file to both. At the
// report's own price a curve has what the report found.
const LEAST_SIZES = 3; // a minimum between two neighbours needs both
const FOLLOWED = 5; // the law is followed so great a factor outside of all sizes (analysis/critical/smooth_law.py)

// Where code + price·N is least. n: sizes, ascending; bits: mean code lengths; weights: seeds at each; prices: bits a
// parameter at each.
function criticalSize(n, bits, weights, prices) {
  const total = n.map((size, i) => bits[i] + prices[i] * size);
  const best = total.indexOf(Math.min(...total));
  const edge = { n: null, total: total[best], code: bits[best], best: n[best], nPooled: 0 };
  if (n.length < LEAST_SIZES) return { ...edge, status: "too few sizes" };
  if (best === 0) return { ...edge, status: "below" };
  if (best === n.length - 1) return { ...edge, status: "above" };
  const smooth = nonIncreasing(bits, weights);
  const code = interpolant(n.map(Math.log), smooth);
  const paid = parameterBits(n, prices);
  const x = minimum((at) => code(at) + paid(at), Math.log(n[best - 1]), Math.log(n[best + 1]));
  const nPooled = smooth.filter((b, i) => Math.abs(b - bits[i]) > 1e-9 * bits[i]).length;
  const size = Math.exp(x);
  return { n: size, total: code(x) + paid(x), code: code(x), best: n[best], nPooled, status: "bracketed" };
}

// N* and the ends of its interval by the smooth law at a price; null where the law does not reach.
function lawSize(law, price) {
  const [n, low, high] = [law.prices.n, law.prices.low, law.prices.high].map((prices) => atPrice(law.at, prices, price));
  if (n === null) return null;
  const code = lawCode(law, n);
  return { n, low: low ?? law.at[0], high: high ?? law.at[law.at.length - 1], code, total: code + price * n };
}

// The law's code at a size, straight in log N between its places.
function lawCode({ at, code }, n) {
  const last = at.length - 1;
  const beyond = at.findIndex((place) => place >= n);
  const i = beyond < 0 ? last : Math.max(beyond, 1);
  const t = Math.min(Math.max(Math.log(n / at[i - 1]) / Math.log(at[i] / at[i - 1]), 0), 1);
  return code[i - 1] + t * (code[i] - code[i - 1]);
}

// 1 at the shapes that the law goes by, 0 from the next shape on, a slope in log N between (analysis/critical/flatness.py).
function shareOfLaw({ window: [first, last] }, sizes) {
  const inside = sizes.map((size) => (size >= first * (1 - 1e-9) && size <= last * (1 + 1e-9) ? 1 : 0));
  return (n, i) => {
    if (i + 1 >= sizes.length) return inside[i];
    return inside[i] + (Math.log(n / sizes[i]) / Math.log(sizes[i + 1] / sizes[i])) * (inside[i + 1] - inside[i]);
  };
}

// Where prices, which do not rise with n, pass a price; null beyond.
function atPrice(n, prices, price) {
  const i = prices.findIndex((p) => p <= price);
  if (i <= 0) return null;
  const [above, below] = [Math.log(prices[i - 1]), Math.log(prices[i])];
  const t = above > below ? (above - Math.log(price)) / (above - below) : 0;
  return Math.exp(Math.log(n[i - 1]) + t * Math.log(n[i] / n[i - 1]));
}

// Bits of all parameters as a function of log N: between sizes a power law of N.
function parameterBits(n, prices) {
  const x = n.map(Math.log);
  return (at) => {
    let i = 0;
    while (i < x.length - 2 && at > x[i + 1]) i += 1;
    const [left, right] = [prices[i], prices[i + 1]];
    const slope = left > 0 && right > 0 ? Math.log(right / left) / (x[i + 1] - x[i]) : 0;
    return left * Math.exp(slope * (at - x[i])) * Math.exp(at);
  };
}

// Weighted least squares, non-increasing: neighbours that violate the order are averaged.
function nonIncreasing(bits, weights) {
  const blocks = [];
  bits.forEach((value, i) => {
    let block = { value, weight: weights[i], size: 1 };
    while (blocks.length && blocks[blocks.length - 1].value < block.value) {
      const before = blocks.pop();
      const weight = before.weight + block.weight;
      const mean = (before.value * before.weight + block.value * block.weight) / weight;
      block = { value: mean, weight, size: before.size + block.size };
    }
    blocks.push(block);
  });
  return blocks.flatMap((block) => Array(block.size).fill(block.value));
}

// The cubic Hermite curve through (x, y) with the slopes below, as a function of x.
function interpolant(x, y) {
  const d = slopes(x, y);
  return (at) => {
    let i = 0;
    while (i < x.length - 2 && at > x[i + 1]) i += 1;
    const h = x[i + 1] - x[i];
    const t = (at - x[i]) / h;
    const u = 1 - t;
    return u * u * ((1 + 2 * t) * y[i] + t * h * d[i]) + t * t * ((3 - 2 * t) * y[i + 1] - u * h * d[i + 1]);
  };
}

// Slopes of E + A·exp(−a·x) through each node and its neighbours, else PCHIP's; limited after Fritsch & Carlson 1980.
function slopes(x, y) {
  const last = x.length - 1;
  const secants = x.slice(1).map((right, i) => (y[i + 1] - y[i]) / (right - x[i]));
  const usual = pchipSlopes(x, secants);
  return x.map((at, j) => {
    const i = Math.min(Math.max(j, 1), last - 1);
    const local = flooredPowerSlope(x.slice(i - 1, i + 2), y.slice(i - 1, i + 2), at);
    const steepest = 3 * Math.max(secants[Math.min(j, last - 1)], secants[Math.max(j - 1, 0)]);
    return Math.min(Math.max(local === null ? usual[j] : local, steepest), 0);
  });
}

// E + A·exp(−a·x) through three points; null where there is none with a in [−5, 20].
function flooredPowerSlope(x, y, at) {
  const [h1, h2] = [x[1] - x[0], x[2] - x[1]];
  const [drop1, drop2] = [y[0] - y[1], y[1] - y[2]];
  if (drop1 <= 0 || drop2 <= 0) return null;
  const exprel = (v) => (Math.abs(v) < 1e-12 ? 1 : Math.expm1(v) / v);
  const share = (a) => (Math.exp(-a * h1) * h2 * exprel(-a * h2)) / (h1 * exprel(-a * h1)) - drop2 / drop1;
  let [low, high] = [-5, 20];
  const sign = Math.sign(share(low));
  if (sign * share(high) > 0) return null;
  for (let i = 0; i < 60; i += 1) {
    const middle = (low + high) / 2;
    if (Math.sign(share(middle)) === sign) low = middle;
    else high = middle;
  }
  const a = (low + high) / 2;
  return (-drop1 / (h1 * exprel(-a * h1))) * Math.exp(-a * (at - x[0]));
}

// Fritsch & Butland's harmonic means inside, three-point slopes that keep the shape at the ends.
function pchipSlopes(x, secants) {
  const h = x.slice(1).map((right, i) => right - x[i]);
  const end = (h0, h1, m0, m1) => {
    const slope = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1);
    if (Math.sign(slope) !== Math.sign(m0)) return 0;
    return Math.sign(m0) !== Math.sign(m1) && Math.abs(slope) > 3 * Math.abs(m0) ? 3 * m0 : slope;
  };
  return x.map((_, j) => {
    if (j === 0) return end(h[0], h[1], secants[0], secants[1]);
    const k = h.length - 1;
    if (j > k) return end(h[k], h[k - 1], secants[k], secants[k - 1]);
    const [left, right] = [secants[j - 1], secants[j]];
    if (left * right <= 0) return 0;
    const [w1, w2] = [2 * h[j] + h[j - 1], h[j] + 2 * h[j - 1]];
    return (w1 + w2) / (w1 / left + w2 / right);
  });
}

// A fine grid, then the golden section within its best step.
function minimum(f, low, high) {
  const step = (high - low) / 2000;
  let k = 0;
  for (let i = 1; i <= 2000; i += 1) if (f(low + i * step) < f(low + k * step)) k = i;
  let [a, b] = [low + Math.max(k - 1, 0) * step, low + Math.min(k + 1, 2000) * step];
  const golden = (Math.sqrt(5) - 1) / 2;
  for (let i = 0; i < 40; i += 1) {
    const [left, right] = [b - golden * (b - a), a + golden * (b - a)];
    if (f(left) <= f(right)) b = right;
    else a = left;
  }
  const found = (a + b) / 2;
  return f(found) < f(low + k * step) ? found : low + k * step;
}

// Least squares of log N* on log D: { k, gamma }; null for fewer than two points.
function powerLaw(points) {
  const [x, y] = [points.map((p) => Math.log(p.d)), points.map((p) => Math.log(p.n))];
  if (points.length < 2) return null;
  const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
  const [mx, my] = [mean(x), mean(y)];
  const sxx = x.reduce((sum, v) => sum + (v - mx) ** 2, 0);
  const gamma = x.reduce((sum, v, i) => sum + (v - mx) * (y[i] - my), 0) / sxx;
  const k = Math.exp(my - gamma * mx);
  return { k, gamma };
}
