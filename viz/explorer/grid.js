// The picture: its grid, in which folding closes gaps; pan and zoom.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const svg = byId("picture"), canvas = byId("canvas");
const grid = data.grid;
const all = (selector) => [...svg.querySelectorAll(selector)];
const nodeOf = new Map(all(".node[data-id]").map((g) => [g.dataset.id, g]));
const chipOf = new Map(all(".chip").map((g) => [g.dataset.chip, g]));
const edgeOf = new Map(all(".edge").map((g) => [g.dataset.edge, g]));
const at = (scope, row) => `${scope} ${row}`;
const cardOf = new Map(all(".folded").map((g) => [at(g.dataset.card, g.dataset.row), g]));
const scopeOf = new Map(all(".scope").map((g) => [at(g.dataset.scope, g.dataset.row), g]));
const element = (id) => nodeOf.get(id) || chipOf.get(id);
const round = (x) => String(+x.toFixed(1));

// ---- folding

const folded = new Set(data.folded);
const box = ([x, y, w, h, row, column]) => ({ x, y, w, h, row, column });
const boxes = new Map(Object.entries(grid.boxes).map(([id, b]) => [id, box(b)]));
const segments = grid.segments.map((s) => ({ ...s, card: box(s.card) }));
const segmentsAround = new Map([...boxes.keys()].map((id) => [id, []]));
for (const s of segments) for (const id of s.members) segmentsAround.get(id).push(s);
let size = { w: 0, h: 0 };

const lineage = (scope) => (scope ? [...lineage(data.scopes[scope].parent), scope] : []);
const foldedAround = (scope) => lineage(scope).find((c) => folded.has(c));
const segmentHiding = (id) => segmentsAround.get(id).find((s) => folded.has(s.scope));   // outer ones come first
const isCard = (s) => folded.has(s.scope) && foldedAround(data.scopes[s.scope].parent) === undefined;

function place() {                       // where everything stands, given what is folded; as `placing.py` has it
  const now = new Map();
  const visible = [...boxes].filter(([id]) => !segmentHiding(id));
  const cards = segments.filter(isCard);
  const open = segments.filter((s) => foldedAround(s.scope) === undefined);
  const shown = new Map(), moves = [];       // of what was drawn, a row moves as a whole
  let top = 0;
  grid.columns.forEach((columns, row) => {
    const here = visible.filter(([, b]) => b.row === row);
    const folds = cards.filter((s) => s.row === row);
    if (!here.length && !folds.length) return;
    let left = columns[0][0], before = null;
    const middle = columns.map(([a, b], k) => {
      const widths = folds.filter((s) => s.card.column === k).map((s) => s.card.w);
      const used = here.some(([, n]) => n.column === k);
      if (!used && !widths.length) return left;
      if (before !== null) left += before + 1 === k ? a - columns[before][1] : grid.gap;
      const width = Math.max(used ? b - a : 0, ...widths);
      left += width;
      before = k;
      return left - width / 2;
    });
    for (const [id, b] of here) now.set(id, { ...b, x: middle[b.column] });
    for (const s of folds) now.set(s, { ...s.card, x: middle[s.card.column] });
    const frames = new Map();
    for (const s of open.filter((s) => s.row === row).reverse()) {       // inner ones first
      const inside = [...s.members.filter((id) => now.has(id)).map((id) => edges(now.get(id))),
        ...[...frames].filter(([c]) => data.scopes[c.scope].parent === s.scope).map(([, f]) => f),
        ...folds.filter((c) => lineage(data.scopes[c.scope].parent).includes(s.scope)).map((c) => edges(now.get(c)))];
      const f = around(inside);
      frames.set(s, { l: f.l - grid.pad, r: f.r + grid.pad, t: f.t - grid.head, b: f.b + grid.pad });
    }
    const whole = around([...here.map(([id]) => edges(now.get(id))), ...folds.map((s) => edges(now.get(s))), ...frames.values()]);
    const down = top - whole.t;
    for (const key of [...here.map(([id]) => id), ...folds]) now.get(key).y += down;
    for (const [s, f] of frames) shown.set(s, { l: f.l, r: f.r, t: f.t + down, b: f.b + down });
    top += whole.b - whole.t + grid.rows;
    moves[row] = { down, middle };
  });
  return { now, frames: shown, moves };
}

const edges = (b) => ({ l: b.x - b.w / 2, r: b.x + b.w / 2, t: b.y - b.h / 2, b: b.y + b.h / 2 });
const around = (parts) => ({
  l: Math.min(...parts.map((p) => p.l)), r: Math.max(...parts.map((p) => p.r)),
  t: Math.min(...parts.map((p) => p.t)), b: Math.max(...parts.map((p) => p.b)),
});

function line(points, upright, aside) {   // as `shapes.path` has it
  const [[x0, y0], [x1, y1]] = [points[0], points[points.length - 1]];
  const dx = upright ? -aside * (y1 > y0 ? 1 : -1) : 0, dy = upright ? 0 : aside * (x1 > x0 ? 1 : -1);
  const moved = points.map(([x, y]) => [x + dx, y + dy]);
  let d = `M${round(moved[0][0])} ${round(moved[0][1])}`;
  for (let i = 1; i < moved.length; i++) {
    const [[xa, ya], [xb, yb]] = [moved[i - 1], moved[i]], middle = round((xa + xb) / 2 - aside * (yb > ya ? 1 : -1));
    d += upright || Math.abs(ya - yb) < 0.05 ? `L${round(xb)} ${round(yb)}`
      : `C${middle} ${round(ya)} ${middle} ${round(yb)} ${round(xb)} ${round(yb)}`;
  }
  return d;
}

function reflow() {
  const { now, frames, moves } = place();
  const move = (g, b) => {
    g.toggleAttribute("hidden", !b);
    if (b) g.setAttribute("transform", `translate(${round(b.x)} ${round(b.y)})`);
  };
  for (const id of boxes.keys()) move(element(id), now.get(id));
  for (const s of segments) {
    move(cardOf.get(at(s.scope, s.row)), now.get(s));
    const g = scopeOf.get(at(s.scope, s.row)), f = frames.get(s);
    g.toggleAttribute("hidden", !f);
    if (!f) continue;
    const rect = g.firstElementChild;
    for (const [key, v] of Object.entries({ x: f.l, y: f.t, width: f.r - f.l, height: f.b - f.t })) rect.setAttribute(key, v.toFixed(1));
    g.lastElementChild.setAttribute("transform", `translate(${(f.l + 11).toFixed(1)} ${(f.t + 16).toFixed(1)})`);
  }
  for (const lane of grid.lanes) {
    const g = edgeOf.get(lane.id);
    const ends = [lane.from, lane.to].map((id) => segmentHiding(id) || id);
    g.toggleAttribute("hidden", ends[0] === ends[1]);
    if (ends[0] === ends[1]) continue;
    const [a, b] = ends.map((end) => now.get(end));
    const whole = ends.every((end) => typeof end === "string"), upright = lane.upright && whole;
    const sign = b.y > a.y ? 1 : -1;
    const from = boxes.get(lane.from), { down, middle } = moves[from.row];
    const moved = whole ? lane.bends.map(([, y], i) => [middle[from.column + 1 + i], y + down]) : [];
    const points = upright ? [[a.x, a.y + sign * a.h / 2], [b.x, b.y - sign * b.h / 2]]
      : [[a.x + a.w / 2, a.y], ...moved, [b.x - b.w / 2, b.y]];
    const [there, back] = g.children;
    there.setAttribute("d", line(points, upright, back ? 1.7 : 0));
    if (back) back.setAttribute("d", line(points.slice().reverse(), upright, 1.7));
  }
  const outer = around([...[...now.values()].map(edges), ...frames.values()]);
  size = { l: outer.l - grid.margin, t: outer.t - grid.margin, w: outer.r - outer.l + 2 * grid.margin, h: outer.b - outer.t + 2 * grid.margin };
}

function setFolded(scope, fold) {
  if (fold) folded.add(scope); else folded.delete(scope);
  reflow();
  foldButton();
}

function reveal(id) {                    // open what hides a node
  for (const c of lineage(data.within[id] || "")) folded.delete(c);
  reflow();
  foldButton();
}

const outermost = Object.keys(data.scopes).filter((c) => !data.scopes[c].parent);

function foldButton() {
  byId("fold").hidden = !outermost.length;
  byId("fold").textContent = outermost.every((c) => folded.has(c)) ? "unfold layers" : "fold layers";
}

function foldAll() {
  const fold = !outermost.every((c) => folded.has(c));
  for (const c of outermost) if (fold) folded.add(c); else folded.delete(c);
  reflow();
  foldButton();
  fit();
}

// ---- pan and zoom

const view = { x: 0, y: 0, scale: 1 };   // the upper left corner, and pixels per unit

function look() {
  const { width, height } = canvas.getBoundingClientRect();
  svg.setAttribute("viewBox", `${view.x} ${view.y} ${Math.max(width, 1) / view.scale} ${Math.max(height, 1) / view.scale}`);
}

function fit(least = 0) {
  const keys = canvas.querySelector(".keys").offsetHeight, { width, height: whole } = canvas.getBoundingClientRect();
  const height = whole - keys;
  view.scale = Math.max(Math.min(width / size.w, height / size.h, 1.25), least);
  view.x = size.l + Math.min((size.w - width / view.scale) / 2, width < size.w * view.scale ? 0 : Infinity);
  view.y = size.t + Math.min((size.h - height / view.scale) / 2, height < size.h * view.scale ? 0 : Infinity);
  look();
}

function zoom(factor, px, py) {
  const r = canvas.getBoundingClientRect();
  const x = px === undefined ? r.width / 2 : px - r.left, y = py === undefined ? r.height / 2 : py - r.top;
  const scale = Math.min(Math.max(view.scale * factor, 0.05), 8);
  view.x += x / view.scale - x / scale;
  view.y += y / view.scale - y / scale;
  view.scale = scale;
  look();
}

function bringIntoView(g) {
  const r = g.getBoundingClientRect(), c = canvas.getBoundingClientRect(), edge = 24;
  const dx = r.left < c.left + edge ? r.left - c.left - edge : r.right > c.right - edge ? r.right - c.right + edge : 0;
  const dy = r.top < c.top + edge ? r.top - c.top - edge : r.bottom > c.bottom - edge ? r.bottom - c.bottom + edge : 0;
  view.x += dx / view.scale;
  view.y += dy / view.scale;
  if (dx || dy) look();
}

const pointers = new Map();
let moved = 0;
canvas.addEventListener("wheel", (e) => {
  e.preventDefault();
  zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0016)), e.clientX, e.clientY);
}, { passive: false });
canvas.addEventListener("pointerdown", (e) => {
  pointers.set(e.pointerId, e);
  if (pointers.size === 1) moved = 0;
});
addEventListener("pointermove", (e) => {
  const before = pointers.get(e.pointerId);
  if (!before) return;
  const others = [...pointers.values()].filter((p) => p.pointerId !== e.pointerId);
  if (others.length) {
    const distance = (p) => Math.hypot(p.clientX - others[0].clientX, p.clientY - others[0].clientY) || 1;
    zoom(distance(e) / distance(before), (e.clientX + others[0].clientX) / 2, (e.clientY + others[0].clientY) / 2);
  } else {
    view.x -= (e.clientX - before.clientX) / view.scale;
    view.y -= (e.clientY - before.clientY) / view.scale;
    look();
  }
  moved += Math.abs(e.clientX - before.clientX) + Math.abs(e.clientY - before.clientY);
  canvas.classList.toggle("drag", moved > 4);
  pointers.set(e.pointerId, e);
});
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, (e) => {
  pointers.delete(e.pointerId);
  canvas.classList.remove("drag");
});
