// Cost, differences, spread and classes: hand-drawn SVG, so that marks take focus and follow the theme.
"use strict";
sepbench.charts = (() => {
  const { el, svg, colour, fmt, signed, ticks, scale, extent, quantile, tipped, empty, unitOf, legend } = sepbench.draw;
  const { state } = sepbench;
  const COSTS = [
    { key: "rtf", title: "Real-time factor", show: (v) => `${Number(v.toPrecision(2))}×` },
    { key: "memory", title: "Peak memory", show: (v) => (v >= 1e9 ? `${(v / 1e9).toPrecision(2)} GB` : `${Math.round(v / 1e6)} MB`) },
    { key: "parameters", title: "Parameters", show: (v) => `${Number((v / 1e6).toPrecision(2))} M` },
    { key: "flops", title: "FLOP per second of audio", show: (v) => `${Number((v / 1e9).toPrecision(2))} G` },
  ];
  const widthOf = (node) => Math.max(300, Math.floor(node.clientWidth || 520));

  function frame(width, height, label) {
    return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label });
  }

  function cost() {
    const node = document.getElementById("cost-chart");
    const axis = COSTS.find((each) => each.key === document.getElementById("cost-axis").value) || COSTS[0];
    const column = sepbench.column(state.metric);
    const points = sepbench.active().filter((row) => row.role === "model" && row[axis.key] > 0 && row.values[state.metric]?.v != null);
    if (!points.length || !column) return node.replaceChildren(empty("No model has both a cost and a value of this metric."));
    const bounds = sepbench.active().filter((row) => row.role !== "model" && row.values[state.metric]?.v != null);
    const width = widthOf(node), height = 330, left = 52, right = 22, top = 14, bottom = 46;
    const reach = extent([...points, ...bounds].flatMap((row) => { const v = row.values[state.metric]; return [v.v, v.low, v.high]; }), 0.09);
    const logs = points.map((row) => Math.log10(row[axis.key]));
    let low = Math.min(...logs), high = Math.max(...logs);
    const room = Math.max(0.35, (high - low) * 0.18); low -= room; high += room;
    const x = scale(low, high, left, width - right), y = scale(reach[0], reach[1], height - bottom, top);
    const picture = frame(width, height, `${column.title} against ${axis.title}`);
    for (const tick of ticks(reach[0], reach[1], 5)) {
      picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
        svg("text", { class: "tick", x: left - 8, y: y(tick) + 4, "text-anchor": "end", text: fmt(tick, Number.isInteger(tick) ? 0 : 1) }));
    }
    let last = -Infinity;
    for (let power = Math.floor(low); power <= high; power += 1) {
      for (const factor of [1, 2, 5]) {
        const place = power + Math.log10(factor);
        if (place < low || place > high) continue;
        picture.append(svg("line", { class: factor === 1 ? "grid" : "grid faint", x1: x(place), x2: x(place), y1: top, y2: height - bottom }));
        if (x(place) - last > 58) {
          picture.append(svg("text", { class: "tick", x: x(place), y: height - bottom + 18, "text-anchor": "middle", text: axis.show(10 ** place) }));
          last = x(place);
        }
      }
    }
    picture.append(svg("text", { class: "axis-title", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", text: `${axis.title}, log scale · left is cheaper` }),
      svg("text", { class: "axis-title", x: 12, y: (top + height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + height - bottom) / 2})`, text: column.title + unitOf(column) }));
    for (const row of bounds) {
      const at = y(row.values[state.metric].v);
      picture.append(svg("line", { class: "bound", x1: left, x2: width - right, y1: at, y2: at }),
        svg("text", { class: "bound-name", x: left + 6, y: at - 5, text: sepbench.nameOf(row) }));
    }
    const better = (a, b) => (column.higher ? a > b : a < b);
    const front = [...points].sort((a, b) => a[axis.key] - b[axis.key]).filter((row, k, all) =>
      all.slice(0, k).every((other) => better(row.values[state.metric].v, other.values[state.metric].v)));
    if (front.length > 1) {
      picture.append(svg("polyline", { class: "front", points: front.map((row) => `${x(Math.log10(row[axis.key]))},${y(row.values[state.metric].v)}`).join(" ") }));
    }
    const taken = [];
    for (const row of points) {
      const value = row.values[state.metric], px = x(Math.log10(row[axis.key])), py = y(value.v);
      const name = sepbench.nameOf(row), long = 7.6 * name.length, turned = px + 11 + long > width - right;
      let from = turned ? px - 11 - long : px + 11, ny = py - 8;
      while (taken.some((box) => from < box[1] && from + long > box[0] && Math.abs(ny - box[2]) < 16)) ny += 17;
      taken.push([from, from + long, ny], [px - 6, px + 6, py]);
      const mark = svg("g", { class: "point" }, [
        value.low === null ? null : svg("line", { class: "whisker", stroke: colour(row), x1: px, x2: px, y1: y(value.low), y2: y(value.high) }),
        svg("circle", { class: "ring", cx: px, cy: py, r: 11 }),
        svg("circle", { cx: px, cy: py, r: 6, fill: colour(row) }),
        svg("text", { class: "point-name", x: turned ? px - 11 : px + 11, y: ny, "text-anchor": turned ? "end" : "start", text: name }),
      ]);
      picture.append(tipped(mark, [sepbench.nameOf(row), `${column.title} ${value.text} ${column.unit}`, `${axis.title} ${axis.show(row[axis.key])}`]));
    }
    return node.replaceChildren(picture);
  }

  // Paired by target; the tested comparison where there is one, else the plain mean difference.
  function difference(a, b) {
    const one = sepbench.column(state.metric);
    const metric = one.identity.split(" ")[0];
    for (const each of state.protocol.comparisons) {
      if (each.metric !== metric) continue;
      const straight = fitsName(each.a, a) && fitsName(each.b, b), turned = fitsName(each.a, b) && fitsName(each.b, a);
      if (straight || turned) {
        const sign = straight ? 1 : -1, flip = (v) => (v === null ? null : sign * v);
        return { mean: flip(each.mean), low: flip(straight ? each.low : each.high), high: flip(straight ? each.high : each.low),
          p: each.permutation_holm, wins: straight ? each.wins : each.losses, losses: straight ? each.losses : each.wins, ties: each.ties, oriented: true };
      }
    }
    const first = state.items.cells.get(a.id), second = state.items.cells.get(b.id);
    if (!first || !second) return null;
    let sum = 0, count = 0, wins = 0, losses = 0, ties = 0;
    for (const place of first.byTarget.keys()) {
      const u = sepbench.valueOf(first, place, state.metric), v = sepbench.valueOf(second, place, state.metric);
      if (u === null || v === null) continue;
      const gain = one.higher ? u - v : v - u;
      sum += gain; count += 1;
      if (gain > 0.1) wins += 1; else if (gain < -0.1) losses += 1; else ties += 1;
    }
    return count ? { mean: sum / count, low: null, high: null, p: null, wins, losses, ties, oriented: true } : null;
  }
  const fitsName = (name, row) => name === row.label || name.startsWith(`${row.label}@`) && name.slice(row.label.length + 1).replace(/\d+$/, "") === row.query.split(" ")[0];

  function differences() {
    const node = document.getElementById("diff-chart");
    const column = sepbench.column(state.metric);
    const rows = sepbench.active().filter((row) => row.values[state.metric]?.v != null);
    if (!state.items || rows.length < 2 || !column) return node.replaceChildren(empty("Two rows with this metric are needed."));
    const sign = column.higher ? -1 : 1;
    const ordered = [...rows].sort((a, b) => sign * (a.values[state.metric].v - b.values[state.metric].v));
    const cells = ordered.map((a) => ordered.map((b) => (a === b ? null : difference(a, b))));
    const most = Math.max(1e-9, ...cells.flat().filter(Boolean).map((each) => Math.abs(each.mean ?? 0)));
    const table = el("table", { class: "matrix" }, [
      el("thead", {}, el("tr", {}, [el("td"), ...ordered.map((row) => el("th", { scope: "col", title: sepbench.nameOf(row) }, el("span", { text: sepbench.nameOf(row) })))])),
      el("tbody", {}, ordered.map((a, i) => el("tr", {}, [
        el("th", { scope: "row" }, [el("i", { class: `dot ${a.role}`, vars: { "--dot": colour(a) } }), el("span", { text: sepbench.nameOf(a) })]),
        ...ordered.map((b, j) => {
          const each = cells[i][j];
          if (!each || each.mean === null) return el("td", { class: "same" });
          const strength = Math.sqrt(Math.abs(each.mean) / most);
          const sure = each.p === null ? null : each.p < 0.05;
          const cell = el("td", { class: `${each.mean >= 0 ? "gain" : "loss"}${sure === false ? " unsure" : ""}`, vars: { "--s": `${Math.round(8 + 62 * strength)}%` } },
            [el("b", { text: signed(each.mean, Math.abs(each.mean) < 10 ? 2 : 1) }), sure === null ? null : el("small", { text: each.p < 0.001 ? "p < .001" : `p ${each.p.toFixed(3).replace(/^0/, "")}` })]);
          const lines = [`${sepbench.nameOf(a)} − ${sepbench.nameOf(b)}`, `mean ${signed(each.mean)} ${column.unit}, positive: ${sepbench.nameOf(a)} is better`];
          if (each.low !== null) lines.push(`95 % interval ${signed(each.low)} to ${signed(each.high)}`);
          if (each.p !== null) lines.push(`Holm-corrected p = ${each.p.toPrecision(2)}`);
          lines.push(`${each.wins} won, ${each.ties} tied, ${each.losses} lost`);
          return tipped(cell, lines);
        }),
      ]))),
    ]);
    const tested = cells.flat().some((each) => each && each.p !== null);
    node.replaceChildren(table, el("figcaption", { class: "small", text: `Mean difference in ${column.title}${unitOf(column)}, paired by target, averaged over queries. ${tested ? "p: sign-flip permutation test, Holm-corrected over the board; pale where not below .05." : "Not tested for this pair or metric: bench compare does it."}` }));
  }

  function rowsWithValues() {
    return sepbench.active().filter((row) => state.items.cells.get(row.id)?.values[state.metric]?.some((v) => v !== null));
  }

  function distributions() {
    const node = document.getElementById("dist-chart");
    const column = sepbench.column(state.metric);
    if (!state.items || !column) return node.replaceChildren(empty("No items."));
    const rows = rowsWithValues();
    if (!rows.length) return node.replaceChildren(empty("No item has a value of this metric."));
    const data = rows.map((row) => state.items.cells.get(row.id).values[state.metric].filter((v) => v !== null && Number.isFinite(v)).sort((a, b) => a - b));
    const whole = extent(data.flatMap((values) => [values[0], values[values.length - 1]]), 0.04);
    if (!whole) return node.replaceChildren(empty("Every value is infinite."));
    const width = widthOf(node), line = 62, left = Math.min(150, width * 0.26), right = 14, top = 6, bottom = 40;
    const height = top + line * rows.length + bottom;
    const x = scale(whole[0], whole[1], left, width - right);
    const picture = frame(width, height, `Distribution of ${column.title}`);
    for (const tick of ticks(whole[0], whole[1], 6)) {
      picture.append(svg("line", { class: tick === 0 ? "zero" : "grid", x1: x(tick), x2: x(tick), y1: top, y2: height - bottom }),
        svg("text", { class: "tick", x: x(tick), y: height - bottom + 16, "text-anchor": "middle", text: fmt(tick, Number.isInteger(tick) ? 0 : 1) }));
    }
    picture.append(svg("text", { class: "axis-title", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", text: column.title + unitOf(column) }));
    const bins = 48, step = (whole[1] - whole[0]) / bins;
    const hists = data.map((values) => {
      const counts = new Array(bins).fill(0);
      values.forEach((v) => { counts[Math.min(bins - 1, Math.floor((v - whole[0]) / step))] += 1 / values.length; });
      return counts.map((_, k) => [-2, -1, 0, 1, 2].reduce((sum, d) => sum + (counts[k + d] || 0) * [0.4, 0.24, 0.06][Math.abs(d)], 0));
    });
    const peak = Math.max(...hists.flat());
    rows.forEach((row, k) => {
      const base = top + line * (k + 1) - 18, values = data[k], hist = hists[k];
      if (!values.length) return;
      const points = hist.map((v, b) => `${x(whole[0] + (b + 0.5) * step).toFixed(1)},${(base - (v / peak) * (line - 24)).toFixed(1)}`);
      const q = [0.05, 0.25, 0.5, 0.75, 0.95].map((each) => quantile(values, each));
      const mark = svg("g", { class: "ridge" }, [
        svg("rect", { class: "hit", x: left, y: base - line + 22, width: width - left - right, height: line - 6 }),
        svg("polygon", { points: `${x(whole[0])},${base} ${points.join(" ")} ${x(whole[1])},${base}`, fill: colour(row) }),
        svg("line", { class: "box-thin", stroke: colour(row), x1: x(q[0]), x2: x(q[4]), y1: base + 7, y2: base + 7 }),
        svg("line", { class: "box-thick", stroke: colour(row), x1: x(q[1]), x2: x(q[3]), y1: base + 7, y2: base + 7 }),
        svg("circle", { class: "median", cx: x(q[2]), cy: base + 7, r: 4, stroke: colour(row) }),
        svg("text", { class: "row-name", x: left - 10, y: base - 2, "text-anchor": "end", text: sepbench.nameOf(row) }),
        svg("text", { class: "tick", x: left - 10, y: base + 12, "text-anchor": "end", text: `median ${fmt(q[2], 1)}` }),
      ]);
      picture.append(tipped(mark, [sepbench.nameOf(row), `median ${fmt(q[2])} ${column.unit}`, `middle half ${fmt(q[1])} to ${fmt(q[3])}`, `5 to 95 % ${fmt(q[0])} to ${fmt(q[4])}`, `${values.length} items`]));
    });
    node.replaceChildren(picture, el("figcaption", { class: "small", text: "Area: density of items. Below it the median, the middle half (thick) and the middle 90 % (thin)." }));
  }

  function classMeans(rows) {
    const sums = new Map();
    for (const row of rows) {
      const cell = state.items.cells.get(row.id);
      for (const place of cell.byTarget.keys()) {
        const value = sepbench.valueOf(cell, place, state.metric);
        if (value === null) continue;
        const name = state.items.label[place] || state.items.target[place];
        if (!sums.has(name)) sums.set(name, new Map());
        const of = sums.get(name);
        const one = of.get(row.id) || [0, 0];
        of.set(row.id, [one[0] + value, one[1] + 1]);
      }
    }
    return [...sums].map(([name, of]) => ({ name, means: new Map([...of].map(([id, [sum, n]]) => [id, { mean: sum / n, n }])) }));
  }

  function classes() {
    const node = document.getElementById("class-chart");
    const column = sepbench.column(state.metric);
    if (!state.items || !column) return node.replaceChildren(empty("No items."));
    const rows = rowsWithValues();
    const all = classMeans(rows);
    if (!all.length) return node.replaceChildren(empty("No item has a value of this metric."));
    const shown = rows.filter((row) => row.role === "model").length ? rows.filter((row) => row.role === "model") : rows;
    const of = (entry) => shown.map((row) => entry.means.get(row.id)?.mean).filter((v) => v !== undefined);
    const order = document.getElementById("class-order").value;
    const score = (entry) => (of(entry).length ? (column.higher ? Math.max(...of(entry)) : -Math.min(...of(entry))) : -Infinity);
    const spread = (entry) => (of(entry).length ? Math.max(...of(entry)) - Math.min(...of(entry)) : -1);
    all.sort((a, b) => (order === "name" ? 0 : order === "score" ? score(b) - score(a) : spread(b) - spread(a)) || (a.name < b.name ? -1 : 1));
    const most = 40, list = all.slice(0, most);
    const whole = extent(list.flatMap((entry) => [...entry.means.values()].map((m) => m.mean)), 0.05);
    const width = widthOf(node), line = 24, left = Math.min(150, width * 0.3), right = 14, top = 4, bottom = 40;
    const height = top + line * list.length + bottom;
    const x = scale(whole[0], whole[1], left, width - right);
    const picture = frame(width, height, `${column.title} by class`);
    for (const tick of ticks(whole[0], whole[1], 6)) {
      picture.append(svg("line", { class: tick === 0 ? "zero" : "grid", x1: x(tick), x2: x(tick), y1: top, y2: height - bottom }),
        svg("text", { class: "tick", x: x(tick), y: height - bottom + 16, "text-anchor": "middle", text: fmt(tick, Number.isInteger(tick) ? 0 : 1) }));
    }
    picture.append(svg("text", { class: "axis-title", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", text: `${column.title}${unitOf(column)}, mean over targets` }));
    list.forEach((entry, k) => {
      const y = top + line * (k + 0.5), values = [...entry.means.values()].map((m) => m.mean);
      const name = entry.name.replaceAll("_", " "), room = Math.floor(left / 7);
      const lines = [name, ...rows.filter((row) => entry.means.has(row.id)).map((row) => `${sepbench.nameOf(row)} ${fmt(entry.means.get(row.id).mean)} (${entry.means.get(row.id).n})`)];
      picture.append(tipped(svg("g", { class: "class-row", onclick: () => sepbench.explorer.showClass(entry.name) }, [
        svg("rect", { class: "hit", x: 0, y: y - line / 2, width, height: line }),
        svg("text", { class: "row-name", x: left - 10, y: y + 4, "text-anchor": "end", text: name.length > room ? `${name.slice(0, room - 1)}…` : name }),
        svg("line", { class: "reach", x1: x(Math.min(...values)), x2: x(Math.max(...values)), y1: y, y2: y }),
        ...rows.filter((row) => entry.means.has(row.id)).map((row) => svg("circle", { class: `mark ${row.role}`, cx: x(entry.means.get(row.id).mean), cy: y, r: row.role === "model" ? 5 : 3.5, fill: colour(row) })),
      ]), lines));
    });
    node.replaceChildren(legend(rows), picture, el("figcaption", { class: "small", text: all.length > most ? `${most} of ${all.length} classes; a click lists a class's items.` : "A click lists a class's items." }));
  }

  function start() {
    document.getElementById("cost-axis").addEventListener("change", cost);
    document.getElementById("class-order").addEventListener("change", classes);
  }
  function offerCosts() {
    const select = document.getElementById("cost-axis");
    const known = COSTS.filter((each) => sepbench.models().some((row) => row[each.key] > 0));
    select.replaceChildren(...known.map((each) => el("option", { value: each.key, text: each.title })));
  }
  function render() { cost(); differences(); distributions(); classes(); }
  return { start, render, offerCosts };
})();
