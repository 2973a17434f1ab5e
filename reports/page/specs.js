// The charts as Vega-Lite: data and the page's colours in, a specification out. No document, no state.
"use strict";
sepbench.specs = (() => {
  // Margins are given, not found by Vega: names and marks can then be placed around each other.
  const frame = (width, height, padding, description, layer) => ({
    description, width: width - padding.left - padding.right, height: height - padding.top - padding.bottom, padding,
    autosize: { type: "none" }, layer,
  });
  const plain = (field) => ({ field, type: "nominal", scale: null, legend: null });
  const number = (field) => ({ field, type: "quantitative", scale: null, legend: null });
  const tip = { field: "tip", type: "nominal" };
  const over = { name: "over", select: { type: "point", fields: ["key"], on: "pointerover", clear: "pointerout" } };
  const lit = (yes, no) => ({ condition: { param: "over", empty: false, value: yes }, value: no });
  const layer = (values, mark, encoding, more = {}) => ({ data: { values }, mark, encoding, ...more });
  // The topmost layer takes pointer and focus; the page's script makes buttons of its marks.
  const hits = (values, mark, encoding) => layer(values, { fillOpacity: 0, aria: true, ...mark }, { ...encoding, tooltip: tip, description: tip }, { name: "hits", params: [over] });
  // Ticks whose texts are ready made.
  const labelled = (values, texts) => ({ values, labelExpr: `${JSON.stringify(texts)}[indexof(${JSON.stringify(values)}, datum.value)]` });
  const zero = (look) => ({
    gridColor: { condition: { test: "datum.value === 0", value: look.quiet }, value: look.line },
    gridDash: { condition: { test: "datum.value === 0", value: [2, 3] }, value: [] },
  });

  function cost({ width, height, padding, points, names, bounds, front, costs, reach, ticks, title, xTitle, yTitle, look }) {
    const powers = ticks.values.filter((value) => Number.isInteger(Math.round(Math.log10(value) * 1e9) / 1e9));
    const x = {
      field: "cost", type: "quantitative", title: xTitle, scale: { type: "log", domain: costs, nice: false },
      axis: { ...labelled(ticks.values, ticks.texts), labelOverlap: "greedy", labelSeparation: 14, titlePadding: 10,
        gridOpacity: { condition: { test: `indexof(${JSON.stringify(powers)}, datum.value) >= 0`, value: 1 }, value: 0.55 } },
    };
    const y = { field: "value", type: "quantitative", title: yTitle, scale: { domain: reach, nice: false, zero: false }, axis: { tickCount: 5, titleX: -40 } };
    return frame(width, height, padding, title, [
      layer(bounds, { type: "rule", strokeWidth: 1.2, strokeDash: [5, 5], color: look["bound-low"] }, { y }),
      layer(bounds, { type: "text", align: "left", fontSize: 12, color: look.quiet, dy: -9 }, { y, x: { value: 6 }, text: plain("name") }),
      layer(front, { type: "line", strokeWidth: 1.5, strokeDash: [1, 5], strokeCap: "round", color: look.quiet }, { x, y }),
      layer(points, { type: "point", size: 620, filled: true, color: look.ink }, { x, y, opacity: lit(0.09, 0) }),
      layer(points.filter((point) => point.low !== null), { type: "rule", strokeWidth: 2, strokeCap: "round" }, { x, y: { ...y, field: "low" }, y2: { field: "high" }, color: plain("ink"), opacity: number("faint") }),
      layer(points, { type: "point", size: 125, filled: true }, { x, y, color: plain("ink"), opacity: number("shade") }),
      layer(names, { type: "text", align: "left", baseline: "alphabetic", fontWeight: 560 }, { x: number("x"), y: number("y"), text: plain("name"), opacity: number("shade") }, { name: "labels" }),
      hits(points, { type: "point", size: 620, filled: true }, { x, y }),
    ]);
  }

  function differences({ names, cells, most, step, dense, turned, padding, title, look }) {
    const side = names.length;
    const order = names.map((_, k) => k);
    const axis = turned
      ? { labelAngle: -50, labelAlign: "left", labelBaseline: "middle", labelLimit: turned, labelPadding: 6 }
      : { labelAngle: 0, labelLimit: step.x - 6 };
    const x = { field: "column", type: "ordinal", title: null, scale: { domain: order, paddingInner: 0.035, paddingOuter: 0 },
      axis: { orient: "top", ...axis, ...labelled(order, names), grid: false, labelFontSize: 12.5, labelOverlap: false } };
    const y = { field: "row", type: "ordinal", scale: { domain: order, paddingInner: 0.05, paddingOuter: 0 }, axis: null };
    // The strongest tint is less than half of a full colour, so that ink stays readable on it.
    const tint = { field: "mean", type: "quantitative", legend: null,
      scale: { type: "pow", exponent: 0.5, domain: [-5 * most, 0, 5 * most], range: [look.c1, look.card, look.c0], interpolate: "rgb" } };
    const tested = cells.filter((cell) => cell.p), untested = cells.filter((cell) => !cell.p);
    const radius = { type: "rect", cornerRadius: dense ? 5 : 8 };
    const color = { condition: { test: "datum.unsure", value: look.quiet }, value: look.ink }, opacity = number("shade");
    const value = { type: "text", fontWeight: 600, fontSize: step.x < 50 ? 10.5 : dense || step.x < 62 ? 12 : 13.5 };
    return frame(step.x * side + padding.left + padding.right, step.y * side + padding.top + padding.bottom, padding, title, [
      layer(cells.filter((cell) => !cell.unsure), radius, { x, y, fill: tint, opacity }, { name: "tiles" }),
      layer(cells.filter((cell) => cell.unsure), { ...radius, fillOpacity: 0.32, strokeDash: [3, 3], stroke: look.quiet, strokeOpacity: 0.55, strokeWidth: 1 }, { x, y, fill: tint, opacity }, { name: "pale" }),
      layer(cells, { ...radius, filled: false, stroke: look.ink, strokeWidth: 1.5 }, { x, y, opacity: lit(0.55, 0) }),
      layer(dense ? cells : untested, value, { x, y, text: plain("text"), color, opacity }, { name: "values" }),
      layer(dense ? [] : tested, { ...value, dy: -8 }, { x, y, text: plain("text"), color, opacity }, { name: "tested" }),
      layer(dense ? [] : tested, { type: "text", fontSize: 11, dy: 10 }, { x, y, text: plain("p"), color, opacity }, { name: "p" }),
      hits(cells, { type: "rect" }, { x, y }),
    ]);
  }

  // Rows one below another, counted from 0; marks stand at parts of a row.
  const rowsScale = (count) => ({ domain: [0, count], reverse: true, nice: false, zero: false });
  const across = (field, reach, title, look) => ({ field, type: "quantitative", title, scale: { domain: reach, nice: false, zero: false }, axis: { tickCount: 6, titlePadding: 10, ...zero(look) } });

  function spread({ width, height, padding, rows, curve, reach, title, xTitle, look }) {
    const inner = width - padding.left - padding.right;
    const x = (field) => across(field, reach, xTitle, look);
    const y = (field) => ({ field, type: "quantitative", scale: rowsScale(rows.length), axis: null });
    const ink = plain("ink"), opacity = number("shade");
    return frame(width, height, padding, title, [
      layer(curve, { type: "area", interpolate: "monotone" }, { x: x("at"), y: y("top"), y2: { field: "base" }, detail: plain("key"), fill: ink, opacity: { condition: { param: "over", empty: false, value: 0.48 }, ...number("veil") } }, { name: "density" }),
      layer(rows, { type: "rule", strokeWidth: 1.5 }, { x: x("q05"), x2: { field: "q95" }, y: y("box"), color: ink, opacity }),
      layer(rows, { type: "rule", strokeWidth: 5, strokeCap: "round", strokeOpacity: 0.75 }, { x: x("q25"), x2: { field: "q75" }, y: y("box"), color: ink, opacity }),
      layer(rows, { type: "point", size: 52, filled: true, fill: look.card, strokeWidth: 2.4, fillOpacity: 1 }, { x: x("q50"), y: y("box"), stroke: ink, opacity }),
      layer(rows, { type: "text", align: "right", limit: padding.left - 14 }, { x: { value: -10 }, y: y("base"), text: plain("name"), opacity: number("text") }),
      layer(rows, { type: "text", align: "right", fontSize: 11.5, color: look.quiet, dy: 15 }, { x: { value: -10 }, y: y("base"), text: plain("median"), opacity: number("text") }),
      hits(rows, { type: "rect", cornerRadius: 6 }, { x: { value: 0 }, x2: { value: inner }, y: y("from"), y2: { field: "to" } }),
    ]);
  }

  function classes({ width, height, padding, groups, marks, reach, title, xTitle, look }) {
    const inner = width - padding.left - padding.right;
    const x = (field) => across(field, reach, xTitle, look);
    const y = (field) => ({ field, type: "quantitative", scale: rowsScale(groups.length), axis: null });
    const ends = { x: { value: -padding.left }, x2: { value: inner + padding.right }, y: y("from"), y2: { field: "to" } };
    const ink = plain("ink");
    return frame(width, height, padding, title, [
      layer(groups, { type: "rect", cornerRadius: 6, color: look.soft }, { ...ends, opacity: lit(1, 0) }),
      layer(groups.slice(1), { type: "rule", strokeWidth: 1, color: look.line, opacity: 0.7 }, { x: { value: -padding.left }, x2: { value: inner + padding.right }, y: y("top") }),
      layer(marks.filter((mark) => mark.low !== null), { type: "rule", strokeWidth: 1.5, strokeCap: "round", clip: true }, { x: x("low"), x2: { field: "high" }, y: y("at"), color: ink, opacity: number("faint") }, { name: "intervals" }),
      layer(marks, { type: "point", filled: true, stroke: look.card, strokeWidth: 1.2, opacity: 1 }, { x: x("mean"), y: y("at"), fill: ink, shape: plain("shape"), size: number("size"), opacity: number("shade") }, { name: "means" }),
      layer(groups, { type: "text", align: "right", limit: padding.left - 16 }, { x: { value: -10 }, y: y("middle"), text: plain("name") }, { name: "names" }),
      hits(groups, { type: "rect", cornerRadius: 6 }, ends),
    ]);
  }

  return { cost, differences, spread, classes };
})();
