// The panel: what is told of a node, and nothing of its gradient before that is known.

const panel = byId("panel");

function make(tag, kind, ...inside) {
  const e = document.createElement(tag);
  if (kind) e.className = kind;
  e.append(...inside.filter((x) => x !== null && x !== undefined));
  return e;
}

function math(markup, kind = "math") {   // our own MathML, in which every name is escaped
  const e = make("div", kind);
  e.innerHTML = markup;
  return e;
}

function format(v) {                     // as `viz.values.number` does, with four decimals
  if (typeof v !== "number") return String(v);
  if (v === 0 || (Number.isInteger(v) && Math.abs(v) < 1e6)) return String(v || 0).replace("-", "−");
  const text = Math.abs(v) >= 1e-3 && Math.abs(v) < 1e5 ? v.toFixed(Math.abs(v) >= 1000 ? 1 : 4) : v.toExponential(2).replace("e+", "e");
  return text.replace("-", "−").replace("e-", "e−");
}

const heading = (text, kind) => make("h3", kind, text);
const STRONGEST = 36;                    // percent of the hue behind the largest number: text on it stays readable

function tableOf(t, worst) {
  const rows = t.rows, body = make("tbody");
  const depth = rows.length && t.flat ? rows[0].length : 0;
  rows.forEach((row, i) => {
    const tr = make("tr");
    row.forEach((v, k) => {
      const td = make("td", "", format(v));
      td.title = String(v);
      if (typeof v === "number" && t.largest) {
        const part = Math.round(STRONGEST * Math.min(Math.abs(v) / t.largest, 1));
        if (part) td.style.backgroundColor = `color-mix(in srgb, var(--${v > 0 ? "positive" : "negative"}) ${part}%, transparent)`;
      } else if (/nan|inf/i.test(v)) td.className = "bad";
      if (worst !== undefined && worst === i * (row.length) + k && !t.cut) td.classList.add("worst");
      tr.append(td);
    });
    if (t.cut) tr.append(make("td", "more", "…"));
    body.append(tr);
  });
  const out = make("div", "");
  if (rows.length) {
    const table = make("table", "values", body), scroll = make("div", "scroll", table);
    out.append(scroll);
  } else out.append(make("p", "quiet", `empty, shape ${t.shape}`));
  const said = [];
  if (t.cut) said.push(`the corner of ${t.shape}`);
  if (t.flat) said.push(`${t.shape}, the last axis across`);
  if (t.said) said.push(t.said);
  if (said.length) out.append(make("p", "quiet", said.join("; ")));
  if (t.trouble) out.append(make("p", "alarm", t.trouble));
  return out;
}

function badges(chips, role) {
  return make("ul", "badges", ...chips.map((c, i) => make("li", i === 0 ? role || "" : "", c)));
}

function link(id, text, ...more) {
  const b = make("button", "", make("span", "", text), ...more);
  b.type = "button";
  b.addEventListener("click", () => select(id, true));
  return make("li", "", b);
}

function told(p) {                       // formula, Jacobians, rules: those of an operation
  const out = [];
  if (p.formula) out.push(heading("forward", "of-forward"), math(p.formula));
  if (p.jacobians) {
    out.push(heading("local Jacobian"));
    for (const j of p.jacobians) out.push(make("div", "jacobian", math(j.math),
      make("p", "quiet", `${j.shape}, ${j.structure}${j.per ? ` (of one ${j.per})` : ""}`)));
  }
  if (p.rules) out.push(heading("backward rule (vector–Jacobian product)", "of-backward"), ...p.rules.map((r) => math(r)));
  return out;
}

function gradientOf(p, known) {
  if (!p.gradient) return [];
  const h = heading("gradient ", "of-backward");
  if (p.ofMath) { const s = make("span"); s.innerHTML = p.ofMath.replace(' displaystyle="true"', ""); h.append(s); } else h.append(p.of);
  return known ? [h, tableOf(p.gradient)] : [h, make("p", "waits", "Not known yet: the walk back has not come here.")];
}

function manualOf(p, known) {
  if (!p.manual) return [];
  const m = p.manual, out = [heading("your gradient")];
  if (!known) return [...out, make("p", "waits", "Compared when the gradient is known.")];
  const sign = { agrees: "✓ ", differs: "✗ " }[m.verdict] || "";
  out.push(make("p", "", make("span", `verdict ${m.verdict}`, `${sign}${m.verdict}`)), make("p", "quiet", m.error));
  if (m.said.length) out.push(make("ul", "said", ...m.said.map((line) => make("li", "", line))));
  const shape = p.gradient ? p.gradient.rows : [];
  const worst = m.worst.length && m.yours.rows.length ? m.worst.reduce((k, i, axis) => k * extent(m.yours, axis, m.worst.length) + i, 0) : undefined;
  if (m.verdict !== "agrees") out.push(tableOf(m.yours, worst));
  return out;
}

const extent = (t, axis) => +t.shape.split("×")[axis] || 1;

function show(id, state) {
  const p = data.nodes[id];
  const keep = panel.dataset.of === id ? panel.scrollTop : 0;
  const wasOpen = panel.dataset.of === id && panel.querySelector("details[open]");
  panel.dataset.of = id;
  const parts = [make("h2", "", p.title), badges(p.chips, p.role)];
  const own = p.result ? data.nodes[p.result] : p;
  if (p.suspect && state.knowsGradient(id)) parts.push(heading("the doctor says"), make("ul", "said", ...p.suspect.map((line) => make("li", "", line))));
  if (p.kind === "op") {
    parts.push(...told(own));
    if (p.result) parts.push(heading("gives"), make("ul", "list", link(p.result, data.names[p.result])));
  } else {
    parts.push(...told(p).slice(0, p.formula ? 2 : 0));
    if (p.value) parts.push(heading("value", "of-forward"), state.knowsValue(id) ? tableOf(p.value)
      : make("p", "waits", "Not computed yet."));
    parts.push(...told({ ...p, formula: null }), ...gradientOf(p, state.knowsGradient(id)), ...manualOf(p, state.knowsGradient(id)));
    if (p.norms) parts.push(heading(p.norms.of, "of-backward"), state.knowsGradient(id)
      ? make("p", "", p.norms.values.join(", ")) : make("p", "waits", "Not known yet."));
  }
  if (p.derivation) {
    const d = make("details", "", make("summary", "", `derivation of ${p.of}`), math(p.derivation, "derivation-box"));
    d.open = !!wasOpen;
    parts.push(d);
  }
  if (p.underivable) parts.push(heading("derivation"), make("p", "quiet", p.underivable));
  if (own.source) parts.push(heading("your line"), ...(own.source.text ? [make("pre", "code", own.source.text)] : []), make("p", "quiet", own.source.where));
  const facts = p.facts || [];
  if (facts.length) parts.push(make("dl", "", ...facts.flatMap(([k, v]) => [make("dt", "", k), make("dd", "", v)])));
  panel.replaceChildren(...parts);
  panel.scrollTop = keep;
}

function overview(state) {
  panel.dataset.of = "";
  const legend = [["parameter", "parameter, learned"], ["input", "input or data"], ["", "intermediate result"], ["loss", "the loss"],
    ["op", "operation"], ["there", "values go forward"], ["back", "gradients come back; the wider, the larger"],
    ["heat", "negative, zero, positive"]];
  const parts = [make("h2", "", data.title)];
  if (state.knowsAll()) for (const line of data.said) parts.push(make("p", "", line));
  const output = data.nodes[data.output];
  if (output && output.value && state.knowsValue(data.output)) parts.push(heading("value", "of-forward"), tableOf(output.value));
  if (data.parameters.length) parts.push(heading("parameters"), make("ul", "list", ...data.parameters.map((id) => {
    const p = data.nodes[id], mark = data.marks[id];
    const more = mark && state.knowsGradient(id) ? make("span", mark.good ? "right" : "wrong", mark.text) : make("span", "quiet", p.chips[1]);
    return link(id, p.title, more);
  })));
  parts.push(heading("reading it"), make("div", "legend", ...legend.flatMap(([kind, text]) => [make("i", kind), make("span", "", text)])));
  if (data.convention) parts.push(make("p", "quiet", data.convention));
  for (const note of data.notes) parts.push(make("p", "quiet", note));
  panel.replaceChildren(...parts);
}
