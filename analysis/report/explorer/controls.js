// The controls: what they offer, what they say, and what becomes of the state when one is moved.
"use strict";

const BY_SLIDER = "slider";

function options(select, names, value) {
  select.replaceChildren(...names.map(([key, text]) => new Option(text, key)));
  select.value = value;
}

function showControls() {
  const { codes } = budget();
  const { priced, note, own_price: ownPrice } = code();
  const own = codes.filter((c) => c.own_price);
  const numbers = Object.entries(data.prices).map(([name, bits]) => [name, `${name}: ${formatBits(bits)} bits`]);
  const named = Object.entries(data.prices).find(([, bits]) => bits === state.price);
  const chosen = ownPrice ? code().key : named ? named[0] : BY_SLIDER;
  options(el("cost"), [...numbers, ...own.map((c) => [c.key, c.own_name]), [BY_SLIDER, "set by the slider"]], chosen);
  options(el("code"), codes.filter((c) => !c.own_price).map((c) => [c.key, c.name]), ownPrice ? "two-part" : code().key);
  options(el("group"), data.groups.map((g, i) => [i, g.name]), state.group);
  el("cost").disabled = !priced && !ownPrice;
  showPrice(priced, ownPrice);
  showBudget();
  showCoders();
  setText(el("price-note"), note);
}

function showPrice(priced, ownPrice) {
  const text = `${formatBits(state.price)} bits per parameter`;
  el("price").disabled = !priced;
  el("price").value = Math.log2(state.price);
  el("price").setAttribute("aria-valuetext", text);
  el("price-text").textContent = priced ? formatBits(state.price) : ownPrice || "not counted";
}

function showBudget() {
  const { budgets } = group();
  el("budget-control").hidden = budgets.length < 2;
  el("budget").max = budgets.length - 1;
  el("budget").value = budgets.length - 1 - state.budget;
  el("budget").setAttribute("aria-valuetext", budget().name);
  el("budget-text").textContent = budget().name;
}

function showCoders() {
  const names = [...new Set(Object.values(group().classical).flatMap((coders) => coders.map(([name]) => name)))].sort();
  el("classical-control").hidden = !names.length;
  const every = [["best", "the best at each size"], ...names.map((name) => [name, name]), ["none", "none"]];
  if (!every.some(([key]) => key === state.classical)) state.classical = "best";
  options(el("classical"), every, state.classical);
}

function onCost(value) {
  if (value in data.prices) state.price = data.prices[value];
  if (budget().codes.some((c) => c.key === value && c.own_price)) state.code = value;
  else if (code().own_price) state.code = "two-part";
  if (value === BY_SLIDER) el("price").focus();
}

function listen() {
  const on = (id, event, act) => el(id).addEventListener(event, (e) => { act(e.target.value); changed(); });
  on("price", "input", (value) => { state.price = 2 ** Number(value); });
  on("cost", "change", onCost);
  on("budget", "input", (value) => { state.budget = group().budgets.length - 1 - Number(value); });
  on("classical", "change", (value) => { state.classical = value; });
  on("code", "change", (value) => { Object.assign(state, { code: value, cell: null }); });
  on("group", "change", (value) => { Object.assign(state, { group: Number(value), budget: 0, cell: null }); });
  document.querySelectorAll("button[data-picture]").forEach((button) =>
    button.addEventListener("click", () => download(button.dataset.picture, button.dataset.format)));
  el("curves").addEventListener("pointermove", near);
  el("curves").addEventListener("pointerdown", near);
  el("curves").addEventListener("keydown", step);
  el("controls").addEventListener("submit", (e) => e.preventDefault());
}
