"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const last = data.epochs.length - 1;
  const by = (id) => document.getElementById(id);
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const slider = by("slider"), play = by("play"), said = by("said");
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  let now = last, timer = null;

  // Numbers: as the page's other numbers are written; NaN and infinity come as words.
  function figure(v) {
    if (v === null) return "–";
    if (typeof v === "string") return v;
    if (v === 0) return "0";
    const size = Math.abs(v);
    if (size < 1e-3 || size >= 1e5) {
      const [mantissa, exponent] = v.toExponential(1).split("e");
      return mantissa.replace(/\.0$/, "") + "e" + Number(exponent);
    }
    return size >= 1000 ? v.toFixed(0) : String(Number(v.toPrecision(3)));
  }

  // One logarithmic scale for all gradients and one for all outputs, so that layers can be compared.
  function scale(kinds) {
    let low = Infinity, high = 0;
    for (const unit of data.units) for (const kind of kinds) for (const v of unit[kind]) {
      if (typeof v === "number" && v > 0) { low = Math.min(low, v); high = Math.max(high, v); }
    }
    if (!high) return () => 0;
    const span = Math.max(Math.log(high / low), Math.log(10));
    return (v) => typeof v !== "number" || v <= 0 ? 0 : Math.max(0, 1 + Math.log(v / high) / span);
  }
  const scales = { backward: scale(["gradient", "arriving"]), forward: scale(["output"]) };
  const reach = data.epochs[last] - data.epochs[0] || 1;
  const across = (i) => (data.epochs[i] - data.epochs[0]) / reach;

  // Sparklines.
  const lines = all("g.spark").map((g) => {
    const unit = data.units[Number(g.dataset.unit)], values = unit[g.dataset.of], side = g.dataset.side;
    const wide = Number(g.dataset.width), tall = Number(g.dataset.height);
    const x = (i) => across(i) * wide, y = (i) => tall - scales[side](values[i]) * tall;
    let path = "", pen = "M";
    values.forEach((v, i) => {
      if (typeof v !== "number") { pen = "M"; return; }
      path += pen + x(i).toFixed(1) + " " + y(i).toFixed(1);
      pen = "L";
    });
    g.querySelector("path").setAttribute("d", path || "M0 0");
    return { g, values, x, y, dot: g.querySelector("circle"), number: g.parentNode.querySelector("." + side + ".number") };
  });
  const plain = all("text[data-unit]").map((text) => ({ text, values: data.units[Number(text.dataset.unit)][text.dataset.of] }));
  const lanes = all("path[data-lane]").map((lane) => ({ lane, values: data.units[Number(lane.dataset.lane)].arriving }));
  const cells = all("td[data-unit]").map((cell) => ({ text: cell, values: data.units[Number(cell.dataset.unit)][cell.dataset.of] }));
  const cursor = by("cursor"), chart = by("chart");
  const dots = all("#chart circle").map((dot) => ({ dot, points: JSON.parse(dot.dataset.points) }));

  function tell(element, v) {
    element.textContent = figure(v);
    element.classList.toggle("alarm", typeof v === "string");
  }

  function show(i) {
    now = Math.min(Math.max(i, 0), last);
    for (const line of lines) {
      const v = line.values[now];
      tell(line.number, v);
      line.dot.setAttribute("cx", line.x(now));
      line.dot.setAttribute("cy", line.y(now));
      line.dot.setAttribute("r", typeof v === "number" ? 3 : 0);
    }
    for (const { text, values } of plain) tell(text, values[now]);
    for (const { text, values } of cells) tell(text, values[now]);
    for (const { lane, values } of lanes) {
      const part = scales.backward(values[now]);
      lane.setAttribute("stroke-width", (0.8 + 4.2 * part).toFixed(2));
      lane.classList.toggle("none", !part);
    }
    const x = Number(cursor.dataset.left) + across(now) * Number(cursor.dataset.width);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    for (const { dot, points } of dots) {
      const at = points[now];
      dot.setAttribute("r", at === null ? 0 : 3.5);
      if (at !== null) { dot.setAttribute("cx", x); dot.setAttribute("cy", at); }
    }
    slider.value = now;
    const words = "epoch " + data.epochs[now] + " of " + data.epochs[last] + ", loss on the sample " + figure(data.loss[now]);
    slider.setAttribute("aria-valuetext", words);
    said.setAttribute("aria-live", timer ? "off" : "polite");
    said.textContent = words;
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }

  function start() {
    if (!last) return;
    if (now === last) show(0);
    const pause = still.matches ? 500 : Math.min(400, Math.max(40, 8000 / last));
    timer = setInterval(() => { if (now >= last) { stop(); show(last); } else show(now + 1); }, pause);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
  }

  function to(i) { stop(); show(i); }
  function theme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }

  play.addEventListener("click", () => timer ? to(now) : start());
  by("back").addEventListener("click", () => to(now - 1));
  by("next").addEventListener("click", () => to(now + 1));
  by("theme").addEventListener("click", theme);
  slider.addEventListener("input", () => to(Number(slider.value)));
  function scrub(event) {
    const box = chart.getBoundingClientRect(), view = chart.viewBox.baseVal;
    const x = (event.clientX - box.left) * view.width / box.width - Number(cursor.dataset.left);
    const part = x / Number(cursor.dataset.width);
    let nearest = 0;
    for (let i = 1; i <= last; i++) if (Math.abs(across(i) - part) < Math.abs(across(nearest) - part)) nearest = i;
    to(nearest);
  }
  chart.addEventListener("pointerdown", (event) => { chart.setPointerCapture(event.pointerId); scrub(event); });
  chart.addEventListener("pointermove", (event) => { if (event.buttons) scrub(event); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const there = event.target, tag = there.tagName;
    if (event.key === " " && (tag === "BUTTON" || tag === "SUMMARY")) return;
    const keys = { " ": () => timer ? to(now) : start(), ArrowLeft: () => to(now - 1), ArrowRight: () => to(now + 1),
                   Home: () => to(0), End: () => to(last), t: theme };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  show(last);
})();
