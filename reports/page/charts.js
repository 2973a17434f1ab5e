// What the four charts show, out of the page's data; specs.js says how, chart.js puts it in place.
"use strict";
sepbench.charts = (() => {
  const { el, colour, fmt, signed, scale, extent, quantile, empty, unitOf, legend } = sepbench.draw;
  const { look, show, clear } = sepbench.chart;
  const { state, specs } = sepbench;
  const COSTS = [
    { key: "rtf", title: "Real-time factor", show: (v) => `${Number(v.toPrecision(2))}×` },
    { key: "memory", title: "Peak memory", show: (v) => (v >= 1e9 ? `${(v / 1e9).toPrecision(2)} GB` : `${Math.round(v / 1e6)} MB`) },
    { key: "parameters", title: "Parameters", show: (v) => `${Number((v / 1e6).toPrecision(2))} M` },
    { key: "flops", title: "FLOP per second of audio", show: (v) => `${Number((v / 1e9).toPrecision(2))} G` },
  ];
  const TIE = 0.1; // dB, as bench compare
  const MOST_CLASSES = 40;
  // 97.5 % points of Student's t for 1 to 4 degrees of freedom; beyond, Cornish and Fisher's series is exact to 0.001.
  const T_POINTS = [12.706, 4.303, 3.182, 2.776];

  const widthOf = (node) => Math.max(300, Math.floor(node.clientWidth || 520));
  // Another model is chosen: this one steps back.
  const shade = (row) => (state.model === null || state.model === row.id ? 1 : 0.22);

  function cost() {
    const node = document.getElementById("cost-chart");
    const axis = COSTS.find((each) => each.key === document.getElementById("cost-axis").value) || COSTS[0];
    const column = sepbench.column(state.metric), valueOf = (row) => row.values[state.metric];
    const has = (row) => valueOf(row)?.v !== null && valueOf(row)?.v !== undefined;
    const rows = sepbench.active().filter((row) => row.role === "model" && row[axis.key] > 0 && has(row));
    if (!rows.length || !column) return clear(node, empty("No model has both a cost and a value of this metric."));
    const bounds = sepbench.active().filter((row) => row.role !== "model" && has(row));
    const reach = extent([...rows, ...bounds].flatMap((row) => [valueOf(row).v, valueOf(row).low, valueOf(row).high]), 0.09);
    if (!reach) return clear(node, empty("Every value is infinite."));
    const logs = rows.map((row) => Math.log10(row[axis.key]));
    const room = Math.max(0.35, (Math.max(...logs) - Math.min(...logs)) * 0.18);
    const low = Math.min(...logs) - room, high = Math.max(...logs) + room;
    const width = widthOf(node), height = 330, padding = { left: 52, right: 22, top: 14, bottom: 48 };
    const ticks = [];
    for (let power = Math.floor(low); power <= high; power += 1) for (const factor of [1, 2, 5]) {
      const place = power + Math.log10(factor);
      if (place >= low && place <= high) ticks.push(Number((factor * 10 ** power).toPrecision(3)));
    }
    const colours = look();
    const points = rows.filter((row) => Number.isFinite(valueOf(row).v)).map((row) => {
      const value = valueOf(row);
      return { key: String(row.id), name: sepbench.nameOf(row), cost: row[axis.key], value: value.v, low: value.low, high: value.high, ink: colours.of(row), shade: shade(row), faint: 0.55 * shade(row),
        tip: [sepbench.nameOf(row), `${column.title} ${value.text} ${column.unit}`, ...(value.low === null ? [] : [`95 % interval ${fmt(value.low)} to ${fmt(value.high)}`]), `${axis.title} ${axis.show(row[axis.key])}`] };
    });
    const better = (a, b) => (column.higher ? a > b : a < b);
    const front = [...points].sort((a, b) => a.cost - b.cost).filter((point, k, all) => all.slice(0, k).every((other) => better(point.value, other.value)));
    return show(node, specs.cost({
      width, height, padding, points, reach, look: colours, costs: [10 ** low, 10 ** high], front: front.length > 1 ? front : [],
      names: freeNames(points, better, { width: width - padding.left - padding.right, height: height - padding.top - padding.bottom, costs: [low, high], reach }),
      bounds: bounds.map((row) => ({ value: valueOf(row).v, name: sepbench.nameOf(row) })), ticks: { values: ticks, texts: ticks.map(axis.show) },
      title: `${column.title} against ${axis.title}`, xTitle: `${axis.title}, log scale · left is cheaper`, yTitle: column.title + unitOf(column),
    }), { act: choose });
  }

  // Names stand where nothing else does, the best rows' first; one without room is in the tooltip.
  function freeNames(points, better, { width, height, costs, reach }) {
    const x = scale(costs[0], costs[1], 0, width), y = scale(reach[0], reach[1], height, 0);
    const placed = points.map((point) => ({ ...point, px: x(Math.log10(point.cost)), py: y(point.value) }));
    const taken = placed.map(({ px, py }) => [px - 7, px + 7, py - 7, py + 7]);
    const names = [];
    for (const point of placed.sort((a, b) => (better(a.value, b.value) ? -1 : 1))) {
      const { px, py } = point, name = sepbench.draw.clip(point.name, 24), long = 7.8 * name.length;
      const spots = [[px + 11, py - 7], [px - 11 - long, py - 7], [px + 11, py + 15], [px - 11 - long, py + 15], [px - long / 2, py - 14], [px - long / 2, py + 24]];
      const spot = spots.find(([from, base]) => from >= 0 && from + long <= width + 6 && base > 8 && base < height
        && taken.every((box) => from + long < box[0] || from > box[1] || base < box[2] || base - 13 > box[3]));
      if (!spot) continue;
      names.push({ name, x: spot[0], y: spot[1], shade: point.shade });
      taken.push([spot[0], spot[0] + long, spot[1] - 13, spot[1] + 3]);
    }
    return names;
  }

  // Paired by target; the tested comparison where there is one, else the plain mean difference.
  function difference(a, b) {
    const one = sepbench.column(state.metric);
    const metric = one.identity.split(" ")[0];
    for (const each of state.protocol.comparisons) {
      if (each.metric !== metric) continue;
      const straight = each.cells[0] === a.id && each.cells[1] === b.id, turned = each.cells[0] === b.id && each.cells[1] === a.id;
      if (straight || turned) {
        const sign = straight ? 1 : -1, flip = (v) => (v === null ? null : sign * v);
        return { mean: flip(each.mean), low: flip(straight ? each.low : each.high), high: flip(straight ? each.high : each.low),
          p: each.permutation_holm, wins: straight ? each.wins : each.losses, losses: straight ? each.losses : each.wins, ties: each.ties };
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
      if (gain > TIE) wins += 1; else if (gain < -TIE) losses += 1; else ties += 1;
    }
    return count ? { mean: sum / count, low: null, high: null, p: null, wins, losses, ties } : null;
  }

  function differences() {
    const node = document.getElementById("diff-chart");
    const column = sepbench.column(state.metric);
    const rows = sepbench.active().filter((row) => row.values[state.metric]?.v != null);
    if (!state.items || rows.length < 2 || !column) return clear(node, empty("Two rows with this metric are needed."));
    const sign = column.higher ? -1 : 1;
    const ordered = [...rows].sort((a, b) => sign * (a.values[state.metric].v - b.values[state.metric].v));
    const dense = ordered.length > 6;
    node.closest(".pair").classList.toggle("stacked", dense);
    const pText = (p) => (p < 0.001 ? "p < .001" : p > 0.99 ? "p > .99" : `p ${p.toFixed(3).replace(/^0/, "")}`);
    const cells = ordered.flatMap((a, row) => ordered.map((b, at) => {
      const each = a === b ? null : difference(a, b);
      if (!each || each.mean === null) return null;
      const lines = [`${sepbench.nameOf(a)} − ${sepbench.nameOf(b)}`, `mean ${signed(each.mean)} ${column.unit}, positive: ${sepbench.nameOf(a)} is better`];
      if (each.low !== null) lines.push(`95 % interval ${signed(each.low)} to ${signed(each.high)}`);
      if (each.p !== null) lines.push(`Holm-corrected p = ${each.p.toPrecision(2)}`);
      lines.push(`${each.wins} won, ${each.ties} tied, ${each.losses} lost`);
      return { key: `${a.id}:${b.id}`, row, column: at, mean: each.mean, text: signed(each.mean, Math.abs(each.mean) < 10 ? 2 : 1), p: each.p === null ? "" : pText(each.p),
        unsure: each.p !== null && each.p >= 0.05, shade: Math.max(shade(a), shade(b)), tip: lines };
    })).filter(Boolean);
    const most = Math.max(1e-9, ...cells.map((cell) => Math.abs(cell.mean)));
    // As wide as there is room for beside the names; narrower than its numbers never, then it scrolls.
    const longest = Math.max(...ordered.map((row) => sepbench.nameOf(row).length)), count = ordered.length;
    // A model asked in several ways is told apart at the end of its names: wide pages show all of it.
    const narrow = matchMedia("(max-width: 860px)").matches;
    const beside = Math.min(narrow ? 116 : 240, 32 + 7.5 * longest);
    const room = widthOf(node) - beside - 4, [least, widest] = dense ? [46, 74] : [50, 92];
    const wide = (free) => Math.max(least, Math.min(widest, Math.floor(free)));
    // Headings that do not fit above their column are turned, and reach beyond the last one.
    const turned = 7.2 * longest > wide(room / count) - 6 ? Math.min(narrow ? 84 : 190, Math.ceil(7.2 * longest)) : 0, beyond = turned ? 0.65 * turned + 8 : 0;
    const step = { x: turned ? wide((room - beyond) / (count - 0.5)) : wide(room / count), y: dense ? 37 : 56 };
    const padding = { left: 2, right: Math.max(2, Math.ceil(beyond - step.x / 2)), top: turned ? Math.ceil(0.77 * turned) + 16 : 30, bottom: 2 };
    const names = el("ol", { class: "names", "aria-hidden": "true", vars: { "--head": `${padding.top}px`, "--step": `${step.y}px`, "--most": `${beside}px` } }, ordered.map((row) =>
      el("li", { title: sepbench.nameOf(row) }, [el("i", { class: `dot ${row.role}`, vars: { "--dot": colour(row) } }), el("span", { text: sepbench.nameOf(row) })])));
    const tested = cells.some((cell) => cell.p);
    return show(node, specs.differences({ names: ordered.map(sepbench.nameOf), cells, most, step, dense, turned, padding, look: look(), title: `Paired differences in ${column.title}` }), {
      around: (picture) => el("div", { class: "matrix" }, [names, picture]),
      after: [el("figcaption", { class: "small", text: `Row minus column: mean difference in ${column.title}${unitOf(column)}, paired by target, averaged over queries. ${tested ? "p: sign-flip permutation test, Holm-corrected over the board; pale where not below .05; without a p: not tested." : "Not tested."}` })],
    });
  }

  function rowsWithValues() {
    return sepbench.active().filter((row) => state.items.cells.get(row.id)?.values[state.metric]?.some((v) => v !== null));
  }

  function distributions() {
    const node = document.getElementById("dist-chart");
    const column = sepbench.column(state.metric);
    if (!state.items || !column) return clear(node, empty("No items."));
    const finite = (row) => state.items.cells.get(row.id).values[state.metric].filter((v) => v !== null && Number.isFinite(v)).sort((a, b) => a - b);
    const known = rowsWithValues();
    if (!known.length) return clear(node, empty("No item has a value of this metric."));
    const data = known.map((row) => ({ row, values: finite(row) })).filter(({ values }) => values.length);
    const reach = extent(data.flatMap(({ values }) => [values[0], values[values.length - 1]]), 0.04);
    if (!reach) return clear(node, empty("Every value is infinite."));
    // Binned here, not by Vega: it then gets 48 numbers a row instead of every item's.
    const bins = 48, step = (reach[1] - reach[0]) / bins, smooth = [0.4, 0.24, 0.06];
    const hists = data.map(({ values }) => {
      const counts = new Array(bins).fill(0);
      values.forEach((v) => { counts[Math.min(bins - 1, Math.floor((v - reach[0]) / step))] += 1 / values.length; });
      return counts.map((_, k) => [-2, -1, 0, 1, 2].reduce((sum, d) => sum + (counts[k + d] || 0) * smooth[Math.abs(d)], 0));
    });
    const peak = Math.max(...hists.flat()), colours = look();
    const width = widthOf(node), line = 62, padding = { left: Math.min(150, Math.round(width * 0.26)), right: 14, top: 6, bottom: 44 };
    const rows = data.map(({ row, values }, k) => {
      const [q05, q25, q50, q75, q95] = [0.05, 0.25, 0.5, 0.75, 0.95].map((each) => quantile(values, each));
      return { key: String(row.id), name: sepbench.nameOf(row), median: `median ${fmt(q50, 1)}`, ink: colours.of(row), q05, q25, q50, q75, q95, base: k + 0.71, box: k + 0.82, from: k + 0.06, to: k + 0.96, shade: shade(row), veil: 0.28 * shade(row), text: shade(row) < 1 ? 0.5 : 1,
        tip: [sepbench.nameOf(row), `median ${fmt(q50)} ${column.unit}`, `middle half ${fmt(q25)} to ${fmt(q75)}`, `5 to 95 % ${fmt(q05)} to ${fmt(q95)}`, `${values.length} items`] };
    });
    const curve = rows.flatMap(({ key, ink, veil, base }, k) => [[reach[0], 0], ...hists[k].map((v, b) => [reach[0] + (b + 0.5) * step, v]), [reach[1], 0]].map(([at, v]) => ({ key, ink, veil, at, base, top: base - (v / peak) * 0.62 })));
    return show(node, specs.spread({ width, height: line * rows.length + padding.top + padding.bottom, padding, rows, curve, reach, look: colours, title: `Distribution of ${column.title}`, xTitle: column.title + unitOf(column) }), {
      act: choose, after: [el("figcaption", { class: "small", text: "Area: density of items. Below it the median, the middle half (thick) and the middle 90 % (thin). A click picks a model out everywhere." })],
    });
  }

  function student(freedom) {
    if (freedom <= T_POINTS.length) return T_POINTS[freedom - 1];
    const z = 1.959964, f = freedom;
    return z + (z ** 3 + z) / (4 * f) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * f ** 2) + (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * f ** 3);
  }

  // Mean over targets with Student's interval, by class and row.
  function classMeans(rows) {
    const found = new Map();
    for (const row of rows) {
      const cell = state.items.cells.get(row.id);
      for (const place of cell.byTarget.keys()) {
        const value = sepbench.valueOf(cell, place, state.metric);
        if (value === null) continue;
        const name = state.items.label[place] || state.items.target[place];
        if (!found.has(name)) found.set(name, new Map());
        const of = found.get(name);
        if (!of.has(row.id)) of.set(row.id, []);
        of.get(row.id).push(value);
      }
    }
    const summary = (values) => {
      const n = values.length, mean = values.reduce((sum, v) => sum + v, 0) / n;
      const half = n < 2 ? null : student(n - 1) * Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1) / n);
      return { mean, n, low: half === null ? null : mean - half, high: half === null ? null : mean + half };
    };
    return [...found].map(([name, of]) => ({ name, means: new Map([...of].map(([id, values]) => [id, summary(values)])) }));
  }

  function classes() {
    const node = document.getElementById("class-chart");
    const column = sepbench.column(state.metric);
    if (!state.items || !column) return clear(node, empty("No items."));
    const rows = rowsWithValues(), all = classMeans(rows);
    if (!all.length) return clear(node, empty("No item has a value of this metric."));
    const models = rows.filter((row) => row.role === "model"), ranked = models.length ? models : rows;
    const of = (entry) => ranked.map((row) => entry.means.get(row.id)?.mean).filter((v) => v !== undefined);
    const order = document.getElementById("class-order").value;
    const score = (entry) => (of(entry).length ? (column.higher ? Math.max(...of(entry)) : -Math.min(...of(entry))) : -Infinity);
    const gap = (entry) => (of(entry).length ? Math.max(...of(entry)) - Math.min(...of(entry)) : -1);
    all.sort((a, b) => (order === "name" ? 0 : order === "score" ? score(b) - score(a) : gap(b) - gap(a)) || (a.name < b.name ? -1 : 1));
    const list = all.slice(0, MOST_CLASSES);
    // The axis holds every mean; an interval of two or three targets may be wider than it, and is cut there.
    const means = list.flatMap((entry) => [...entry.means.values()]), reach = extent(means.map((m) => m.mean), 0.05);
    const wide = extent(means.flatMap((m) => [m.mean, m.low, m.high]), 0.03), most = (reach[1] - reach[0]) * 0.2;
    const span = [Math.min(reach[0], Math.max(wide[0], reach[0] - most)), Math.max(reach[1], Math.min(wide[1], reach[1] + most))];
    // Rows of a class stand a little below each other, so that their intervals can be told apart.
    const dodge = rows.length > 1 ? Math.min(5, 26 / (rows.length - 1)) : 0, line = Math.max(24, 14 + dodge * (rows.length - 1));
    const width = widthOf(node), padding = { left: Math.min(150, Math.round(width * 0.3)), right: 14, top: 4, bottom: 44 }, colours = look();
    const groups = list.map((entry, k) => {
      const name = entry.name.replaceAll("_", " ");
      return { key: entry.name, name, top: k, from: k + 0.03, to: k + 0.97, middle: k + 0.5,
        tip: [name, ...rows.filter((row) => entry.means.has(row.id)).map((row) => {
          const { mean, n, low, high } = entry.means.get(row.id);
          return `${sepbench.nameOf(row)} ${fmt(mean)}${low === null ? "" : `, ${fmt(low)} to ${fmt(high)}`} (${n})`;
        })] };
    });
    const marks = list.flatMap((entry, k) => rows.filter((row) => entry.means.has(row.id)).map((row) => ({
      ...entry.means.get(row.id), at: k + 0.5 + (dodge * (rows.indexOf(row) - (rows.length - 1) / 2)) / line, ink: colours.of(row), shade: shade(row), faint: 0.5 * shade(row),
      shape: { model: "circle", lower: "square", upper: "diamond" }[row.role], size: { model: 78, lower: 62, upper: 96 }[row.role],
    })));
    const small = list.some((entry) => [...entry.means.values()].some((m) => m.low !== null)) ? " Lines: Student's 95 % interval over targets." : "";
    return show(node, specs.classes({ width, height: line * list.length + padding.top + padding.bottom, padding, groups, marks, reach: span, look: colours, title: `${column.title} by class`, xTitle: `${column.title}${unitOf(column)}, mean over targets` }), {
      act: (name) => sepbench.explorer.showClass(name), before: [legend(rows)],
      after: [el("figcaption", { class: "small", text: `${all.length > MOST_CLASSES ? `${MOST_CLASSES} of ${all.length} classes; a` : "A"} click lists a class's items.${small}` })],
    });
  }

  // A model is chosen, or let go: it stands out in every chart and in the table.
  function choose(key) {
    const id = Number(key);
    state.model = state.model === id ? null : id;
    sepbench.leaderboard.render();
    sepbench.app.remember();
    return render();
  }

  function start() {
    document.getElementById("cost-axis").addEventListener("change", cost);
    document.getElementById("class-order").addEventListener("change", classes);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state.items && render());
  }
  function offerCosts() {
    const select = document.getElementById("cost-axis");
    const known = COSTS.filter((each) => sepbench.models().some((row) => row[each.key] > 0));
    select.replaceChildren(...known.map((each) => el("option", { value: each.key, text: each.title })));
  }
  // The matrix first: where it is large, it widens the row it stands in.
  const render = () => Promise.all([differences(), cost(), distributions(), classes()]);
  return { start, render, offerCosts, choose };
})();
