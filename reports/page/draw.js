// Elements, small marks, scales, tooltips. Text only ever enters as text.
"use strict";
sepbench.draw = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const COLOURS = 12;

  function fill(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "text") node.textContent = value;
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "vars") for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
      else node.setAttribute(key, value === true ? "" : value);
    }
    for (const child of [children || []].flat(Infinity)) {
      if (child !== null && child !== undefined && child !== false) node.append(child);
    }
    return node;
  }
  const el = (tag, attributes, children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, children) => fill(document.createElementNS(SVG, tag), attributes, children);

  // A model keeps its colour everywhere; bounds are grey.
  function colour(row) {
    if (row.role !== "model") return row.role === "lower" ? "var(--bound-low)" : "var(--bound-high)";
    const place = sepbench.models().findIndex((each) => each.id === row.id);
    return `var(--c${place % COLOURS})`;
  }

  // A dot for a model, a square for the lower bound, a diamond for the upper, as in legends.
  function mark(row, x, y, r) {
    const look = { class: `mark ${row.role}`, fill: colour(row) };
    if (row.role === "model") return svg("circle", { ...look, cx: x, cy: y, r });
    return svg("rect", { ...look, x: x - r, y: y - r, width: 2 * r, height: 2 * r, rx: 1, transform: row.role === "upper" ? `rotate(45 ${x} ${y})` : null });
  }

  function fmt(value, digits = 2) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (!Number.isFinite(value)) return value > 0 ? "+∞" : "−∞";
    const text = Math.abs(value).toFixed(digits);
    return (value < 0 && Number(text) !== 0 ? "−" : "") + text;
  }
  const signed = (value, digits = 2) => (value > 0 && Number(value.toFixed(digits)) !== 0 ? "+" : "") + fmt(value, digits);

  function ticks(low, high, count = 5) {
    const span = high - low || 1;
    const raw = span / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((f) => f * power).find((s) => span / s <= count + 0.5) || power * 10;
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * span; k += 1) found.push(Number((k * step).toPrecision(12)));
    return found;
  }
  function scale(low, high, from, to) {
    const span = high - low || 1;
    return (value) => from + ((value - low) / span) * (to - from);
  }
  function extent(values, pad = 0.06) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value === null || !Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low > high) return null;
    const room = (high - low || Math.abs(high) || 1) * pad;
    return [low - room, high + room];
  }
  function quantile(sorted, q) {
    const place = (sorted.length - 1) * q, below = Math.floor(place);
    return sorted[below] + (place - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
  }

  // One tooltip for everything; shown on hover and on focus.
  const tip = document.getElementById("tip");
  function showTip(node, lines) {
    tip.replaceChildren(...lines.map((line, k) => el("div", { class: k ? "" : "tip-head", text: line })));
    tip.hidden = false;
    const box = node.getBoundingClientRect(), mine = tip.getBoundingClientRect();
    const left = Math.max(8, Math.min(innerWidth - mine.width - 8, box.left + box.width / 2 - mine.width / 2));
    const above = box.top - mine.height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : box.bottom + 8}px`;
  }
  function tipped(node, lines, role = "img") {
    node.addEventListener("pointerenter", () => showTip(node, lines));
    node.addEventListener("pointerleave", () => { tip.hidden = true; });
    if (role) {
      node.setAttribute("tabindex", "0");
      node.setAttribute("role", role);
      node.setAttribute("aria-label", lines.join("; "));
      node.addEventListener("focus", () => showTip(node, lines));
      node.addEventListener("blur", () => { tip.hidden = true; });
    }
    return node;
  }
  const clip = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);
  const hideTip = () => { tip.hidden = true; };
  const empty = (text) => el("p", { class: "empty", text });
  const unitOf = (column) => (column.unit ? ` [${column.unit}]` : "");

  function legend(rows) {
    return el("div", { class: "legend" }, rows.map((row) =>
      el("span", {}, [el("i", { class: `dot ${row.role}`, vars: { "--dot": colour(row) } }), sepbench.nameOf(row)])));
  }

  return { el, svg, colour, fmt, signed, ticks, scale, extent, quantile, tipped, showTip, hideTip, empty, unitOf, legend, mark, clip };
})();
