// Steps, selection, search, keys, theme.

// ---- steps: what is known when

const steps = data.steps, last = Math.max(steps.length - 1, 0);
const valueAt = new Map(), gradientAt = new Map(), ranAt = new Map(), backAt = new Map();
steps.forEach((s, k) => {
  s.values.forEach((id) => valueAt.set(id, k));
  s.gradients.forEach((id) => gradientAt.set(id, k));
  if (s.op) (s.phase === "forward" ? ranAt : backAt).set(s.op, k);
});
for (const id of Object.keys(data.nodes)) {
  const p = data.nodes[id];
  if (p.kind === "tensor") continue;
  valueAt.set(id, ranAt.get(id));
  gradientAt.set(id, backAt.get(id));
}
const never = (k) => (k === undefined ? Infinity : k);
let step = last, selected = null, timer = null;
const state = {
  knowsValue: (id) => never(valueAt.get(id)) <= step,
  knowsGradient: (id) => never(gradientAt.get(id)) <= step,
  knowsAll: () => step === last,
};
const opOf = new Map(grid.lanes.map((l) => [l.id, data.nodes[l.to] && data.nodes[l.to].kind !== "tensor" ? l.to : l.from]));
const laneOp = (l) => ranAt.has(opOf.get(l.id)) ? opOf.get(l.id) : null;
const inside = new Map(Object.keys(data.scopes).map((c) => [c, new Set()]));
for (const [id, scope] of Object.entries(data.within)) for (const c of lineage(scope)) inside.get(c).add(id);
const learned = new Map([...inside].map(([c, ids]) => [c, data.parameters.filter((id) => ids.has(id) && data.nodes[id].gradient)]));
const computed = new Map([...inside].map(([c, ids]) => [c, [...ids].filter((id) => ranAt.has(id))]));

function setStep(k) {
  step = Math.min(Math.max(k, 0), last);
  const s = steps[step] || { title: "", phase: "forward", values: [], gradients: [], op: "" };
  const fresh = new Set(step < last || timer ? [...s.values, ...s.gradients] : []);
  document.body.classList.toggle("backward", s.phase === "backward");
  for (const [id, g] of nodeOf) {
    const p = data.nodes[id], ran = p.kind === "tensor" || state.knowsValue(id);
    g.classList.toggle("no-value", !state.knowsValue(id));
    g.classList.toggle("no-gradient", !state.knowsGradient(id));
    g.classList.toggle("not-yet", !ran);
    g.classList.toggle("running", step < last && id === s.op);
    g.classList.toggle("fresh", step < last && step > 0 && fresh.has(id));
  }
  for (const g of cardOf.values()) {
    const c = g.dataset.card;
    g.classList.toggle("no-gradient", !learned.get(c).every(state.knowsGradient));
    g.classList.toggle("not-yet", !computed.get(c).some(state.knowsValue));
    g.classList.toggle("running", step < last && inside.get(c).has(s.op));
  }
  for (const l of grid.lanes) {
    const g = edgeOf.get(l.id), op = laneOp(l);
    g.classList.toggle("not-yet", op !== null && never(ranAt.get(op)) > step);
    g.classList.toggle("not-back", op === null || never(backAt.get(op)) > step);
    g.classList.toggle("run", step < last && !!s.op && op === s.op);
  }
  byId("scrub").value = step;
  byId("scrub").setAttribute("aria-valuetext", s.title);
  const [head, ...rest] = s.title.split(": ");
  byId("step").replaceChildren(make("b", "", head), rest.length ? ` ${rest.join(": ")}` : "");
  byId("first").disabled = byId("back").disabled = step === 0;
  byId("next").disabled = byId("last").disabled = step === last;
  refresh();
}

function refresh() {                     // nothing selected: the panel follows what runs
  const op = steps[step] && step < last ? steps[step].op : "";
  const id = selected || (op && data.nodes[op] ? op : null);
  if (id) show(id, state); else overview(state);
}

function play(on) {
  clearInterval(timer);
  timer = null;
  byId("play").setAttribute("aria-pressed", String(on));
  byId("play").textContent = on ? "❚❚ pause" : "▶ play";
  if (!on) return;
  timer = setInterval(() => { if (step >= last - 1) play(false); setStep(step + 1); }, data.pace || 900);
  setStep(step >= last ? 0 : step + 1);
}

const go = (k) => { play(false); setStep(k); };

// ---- selection

function select(id, jump) {
  if (selected) { const g = nodeOf.get(selected); if (g) { g.classList.remove("selected"); g.setAttribute("aria-pressed", "false"); } }
  selected = id;
  const g = id && nodeOf.get(id);
  if (g) {
    if (g.hasAttribute("hidden")) reveal(id);
    g.classList.add("selected");
    g.setAttribute("aria-pressed", "true");
    rove(g);
    if (jump) bringIntoView(g);
  }
  refresh();
}

const stops = () => all(".node:not([hidden]),.chip:not([hidden]),.fold").filter((g) => !g.closest("[hidden]"));

function rove(g) {                       // one stop of the tab key in the picture
  for (const other of svg.querySelectorAll('[tabindex="0"]')) other.setAttribute("tabindex", "-1");
  g.setAttribute("tabindex", "0");
}

function activate(g) {
  if (g.dataset.id) select(g.dataset.id);
  else if (g.dataset.chip !== undefined) { const id = grid.chips[g.dataset.chip]; if (nodeOf.has(id)) { select(id, true); nodeOf.get(id).focus({ preventScroll: true }); } }
  else if (g.dataset.card) toggle(g.dataset.card, false);
  else if (g.matches(".fold")) toggle(g.parentNode.dataset.scope, true);
}

function toggle(scope, fold) {
  setFolded(scope, fold);
  const g = fold ? all(`.folded:not([hidden])`).find((c) => c.dataset.card === scope) : all(".scope:not([hidden])").find((c) => c.dataset.scope === scope);
  const target = fold ? g : g && g.querySelector(".fold");
  if (target) { rove(target); target.focus({ preventScroll: true }); bringIntoView(target); }
}

svg.addEventListener("click", (e) => {
  if (moved > 4) return;
  const g = e.target.closest(".node,.chip,.fold");
  if (g) activate(g); else select(null);
});

// ---- search

const search = byId("search");
const words = new Map([...nodeOf.keys()].map((id) => {
  const p = data.nodes[id], scope = data.within[id];
  return [id, [p.title, ...p.chips, scope ? data.scopes[scope].path : ""].join("\n").toLowerCase()];
}));
let hits = [], hit = -1;

function find() {
  const text = search.value.trim().toLowerCase();
  hits = text ? [...words].filter(([, w]) => w.includes(text)).map(([id]) => id) : [];
  const exact = hits.findIndex((id) => data.nodes[id].title.toLowerCase() === text);
  if (exact > 0) hits.unshift(...hits.splice(exact, 1));
  hit = -1;
  svg.classList.toggle("searching", !!text);
  for (const [id, g] of nodeOf) g.classList.toggle("hit", hits.includes(id));
  byId("hits").textContent = text ? `${hits.length}` : "";
}

search.addEventListener("input", find);
search.addEventListener("keydown", (e) => {
  if (e.key === "Enter" && hits.length) {
    hit = (hit + (e.shiftKey ? hits.length - 1 : 1)) % hits.length;
    select(hits[hit], true);
    byId("hits").textContent = `${hit + 1}/${hits.length}`;
  } else if (e.key === "Escape") {
    search.value = "";
    find();
    search.blur();
  }
});

// ---- keys

const keys = {
  ArrowRight: () => go(step + 1), ArrowLeft: () => go(step - 1), Home: () => go(0), End: () => go(last),
  " ": () => play(!timer), 0: () => fit(), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8),
  t: () => turn(), f: () => foldAll(), "/": () => search.focus(), Escape: () => select(null),
};

addEventListener("keydown", (e) => {
  const el = e.target, here = el.closest && el.closest("#picture [role=button]");
  if (e.ctrlKey || e.metaKey || e.altKey || el === search) return;
  if (here && (e.key === "Enter" || e.key === " ")) { e.preventDefault(); activate(here); return; }
  if (here && (e.key === "ArrowDown" || e.key === "ArrowUp")) {
    e.preventDefault();
    const list = stops(), next = list[(list.indexOf(here) + (e.key === "ArrowDown" ? 1 : list.length - 1)) % list.length];
    rove(next);
    next.focus({ preventScroll: true });
    bringIntoView(next);
    return;
  }
  if (el === byId("scrub") && e.key !== " ") return;
  if (e.key === " " && el.closest && el.closest("button,summary")) return;
  const act = keys[e.key];
  if (act) { e.preventDefault(); act(); }
});

// ---- theme

const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");

function turn() {
  const now = root.dataset.theme || (dark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  byId("theme").setAttribute("aria-label", `theme: ${root.dataset.theme}`);
}

byId("theme").addEventListener("click", turn);
byId("fit").addEventListener("click", () => fit());
byId("fold").addEventListener("click", foldAll);
byId("first").addEventListener("click", () => go(0));
byId("back").addEventListener("click", () => go(step - 1));
byId("next").addEventListener("click", () => go(step + 1));
byId("last").addEventListener("click", () => go(last));
byId("play").addEventListener("click", () => play(!timer));
byId("scrub").addEventListener("input", () => go(+byId("scrub").value));
new ResizeObserver(() => look()).observe(canvas);

svg.classList.toggle("large", nodeOf.size > 150);     // where every frame is dear, nothing moves
reflow();
foldButton();
fit(0.5);
setStep(last);
