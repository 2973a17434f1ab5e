// The table: sorted and filtered within models, bounds and published rows, which stay apart.
"use strict";
sepbench.leaderboard = (() => {
  const { el, svg, colour, fmt, scale, extent, tipped, mark } = sepbench.draw;
  const { state } = sepbench;
  const sort = { key: null, down: true };
  const COST = [
    { key: "rtf", title: "RTF", tip: "Seconds of separation per second of audio", show: (v) => Number(v).toPrecision(2) },
    { key: "memory", title: "Memory", tip: "Peak memory of the model's process", show: (v) => `${Math.round(v / 1e6).toLocaleString("en")} MB` },
    { key: "parameters", title: "Params", tip: "Parameters", show: (v) => `${(v / 1e6).toFixed(1)} M` },
    { key: "flops", title: "FLOP/s", tip: "Operations per second of audio", show: (v) => `${(v / 1e9).toFixed(1)} G` },
  ];

  function shownCosts() {
    return COST.filter((cost) => state.protocol.rows.some((row) => row[cost.key] !== null));
  }

  function keyOf(row, key) {
    if (key === "label") return row.label.toLowerCase();
    if (key === "query") return row.query;
    if (key === "counts") return row.share;
    if (COST.some((cost) => cost.key === key)) return row[key];
    return row.values[key]?.v ?? null;
  }

  function sorted(rows) {
    if (!sort.key) return rows;
    const sign = sort.down ? -1 : 1;
    return rows.map((row, k) => [keyOf(row, sort.key), k, row]).sort((a, b) => {
      if (a[0] === null || b[0] === null) return (a[0] === null) - (b[0] === null) || a[1] - b[1];
      return (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) * sign || a[1] - b[1];
    }).map((each) => each[2]);
  }

  function sortBy(key, down) {
    sort.down = sort.key === key ? !sort.down : down;
    sort.key = key;
    render();
    document.querySelector(`#board th button[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  function header(key, title, { down = true, note = "", numeric = false, unit = "", kind = "" } = {}) {
    const on = sort.key === key;
    return el("th", { scope: "col", class: numeric ? "num" : kind, "aria-sort": on ? (sort.down ? "descending" : "ascending") : "none" },
      el("button", { type: "button", "data-key": key, title: note || null, onclick: () => sortBy(key, down) },
        [el("span", { class: "title" }, [el("span", { text: title.split(" (")[0] }), ...[title.split(" (")[1]?.slice(0, -1), unit].filter(Boolean).map((text) => el("small", { text })), el("b", { "aria-hidden": "true", text: on ? (sort.down ? "↓" : "↑") : "" })])]));
  }

  function valueCell(row, column) {
    const value = row.values[column.name];
    if (!value || value.v === null) return el("td", { class: "num none", text: "–" });
    const spread = value.low !== null && value.high !== null && value.text[0] !== ">" ? (value.high - value.low) / 2 : null;
    const cell = el("td", { class: `num${value.best ? " best" : ""}${column.name === state.metric ? " on" : ""}` }, [
      el("span", { class: "v", text: value.text.replace("-", "−") }),
      spread === null ? null : el("span", { class: "pm", text: `±${fmt(spread)}` }),
    ]);
    const lines = [`${row.label} · ${column.title}`, `${value.text} ${column.unit}`];
    if (value.low !== null) lines.push(`95 % interval ${fmt(value.low)} to ${fmt(value.high)}`);
    lines.push(`${value.n} items averaged`);
    if (value.best) lines.push(`★ ${state.protocol.bestNote}`);
    return tipped(cell, lines, "");
  }

  // The interval of the chosen metric, all rows on one axis.
  function interval(row, reach) {
    const value = row.values[state.metric];
    const cell = el("td", { class: "bar-cell" });
    if (!value || value.v === null || !reach) return cell;
    const x = scale(reach[0], reach[1], 5, 135);
    const picture = svg("svg", { viewBox: "0 0 140 22", width: 140, height: 22, "aria-hidden": "true" });
    if (reach[0] < 0 && reach[1] > 0) picture.append(svg("line", { x1: x(0), x2: x(0), y1: 0, y2: 22, class: "zero" }));
    if (value.low !== null) {
      picture.append(svg("line", { x1: x(value.low), x2: x(value.high), y1: 11, y2: 11, class: "whisker", stroke: colour(row) }));
    }
    picture.append(mark(row, x(value.v), 11, 4.5));
    cell.append(picture);
    return cell;
  }

  function modelRow(row, columns, costs, reach) {
    const marks = row.marks.length ? el("sup", {}, row.marks.map((n, k) => [k ? " " : "", el("a", { href: `#note-${n}`, text: String(n) })])) : null;
    const note = row.role === "lower" ? "lower bound" : row.role === "upper" ? "upper bound" : "";
    return el("tr", { class: `${row.role}${state.model === row.id ? " chosen" : ""}`, "data-model": row.label }, [
      el("th", { scope: "row" }, [el("i", { class: `dot ${row.role}`, vars: { "--dot": colour(row) } }), el("span", { class: "name", text: row.label }), marks, note ? el("em", { text: note }) : null]),
      el("td", { text: row.query, class: "quiet query-cell" }),
      interval(row, reach),
      ...columns.map((column) => valueCell(row, column)),
      el("td", { class: `num${row.complete ? " whole" : row.status === "active" ? " part" : ""}`, text: row.counts }),
      ...costs.map((cost) => el("td", { class: "num quiet", text: row[cost.key] === null ? "–" : cost.show(row[cost.key]) })),
    ]);
  }

  function publishedRow(line, columns, costs) {
    return el("tr", { class: "published" }, [
      el("th", { scope: "row" }, [el("i", { class: "dot published" }), el("span", { class: "name", text: line.system })]),
      el("td", { class: "quiet query-cell", text: line.query }), el("td"),
      ...columns.map((column) => el("td", { class: "num", text: column.name in line.values ? fmt(line.values[column.name]) : "–" })),
      el("td", { class: "quiet source", colspan: 1 + costs.length, text: line.source + (line.secondHand ? " (second-hand)" : ""), title: line.source }),
    ]);
  }

  function group(title, rows, width) {
    if (!rows.length) return null;
    return el("tbody", {}, [title ? el("tr", { class: "group" }, el("th", { colspan: width, scope: "rowgroup", text: title })) : null, rows]);
  }

  function render() {
    const protocol = state.protocol;
    const costs = shownCosts();
    const wanted = document.getElementById("columns").value;
    const chosen = protocol.columns.filter((column) => wanted === "all" || column.name === state.metric || column.improvement === (wanted === "improvements"));
    // A phone shows one column beside the names: let it be the one that was asked for.
    const columns = matchMedia("(max-width: 860px)").matches
      ? [...chosen].sort((a, b) => (b.name === state.metric) - (a.name === state.metric))
      : chosen;
    const words = document.getElementById("filter").value.trim().toLowerCase();
    const complete = document.getElementById("only-complete").checked;
    const bounds = document.getElementById("show-bounds").checked;
    const published = document.getElementById("show-published").checked;
    document.getElementById("published-field").hidden = !protocol.published.length;
    document.getElementById("columns-field").hidden = new Set(protocol.columns.map((column) => column.improvement)).size < 2;
    const fits = (row) => (!words || `${row.label} ${row.baseline} ${row.query}`.toLowerCase().includes(words)) && (!complete || row.complete);
    const rows = protocol.rows.filter(fits);
    const used = rows.filter((row) => bounds || row.role === "model");
    const reach = extent(used.flatMap((row) => { const v = row.values[state.metric]; return v ? [v.v, v.low, v.high] : []; }));
    const metric = sepbench.column(state.metric);
    const axis = reach && metric ? `${fmt(reach[0], 0)} … ${fmt(reach[1], 0)}${metric.unit ? ` ${metric.unit}` : ""}` : "";
    const width = 4 + columns.length + costs.length;
    const draw = (role) => sorted(rows.filter((row) => row.role === role)).map((row) => modelRow(row, columns, costs, reach));
    const table = document.getElementById("board");
    table.replaceChildren(...[
      el("caption", { class: "hidden", text: `${protocol.dataset}, protocol ${protocol.protocol}. ${protocol.how}` }),
      el("thead", {}, el("tr", {}, [
        header("label", "Model", { down: false }), header("query", "Query", { down: false, kind: "query-cell" }),
        el("th", { scope: "col", class: "bar-head" }, [el("span", { text: metric ? metric.title : "" }), el("small", { text: axis })]),
        ...columns.map((c) => header(c.name, c.title, { down: c.higher, note: `${c.identity}. ${c.higher ? "Higher" : "Lower"} is better.`, numeric: true, unit: c.unit })),
        header("counts", "Scored", { numeric: true }),
        ...costs.map((cost) => header(cost.key, cost.title, { down: false, note: cost.tip, numeric: true })),
      ])),
      group("", draw("model"), width),
      bounds ? group("Bounds", [...draw("lower"), ...draw("upper")], width) : null,
      published ? group("Published, not measured here", protocol.published.map((line) => publishedRow(line, columns, costs)), width) : null,
    ].filter(Boolean));
    if (!table.tBodies.length) table.append(el("tbody", {}, el("tr", {}, el("td", { class: "quiet", colspan: width, text: "No model fits the filter." }))));
    notes(protocol);
  }

  function notes(protocol) {
    const anyBest = protocol.rows.some((row) => Object.values(row.values).some((v) => v.best));
    const parts = [el("p", { text: `${protocol.how} ${protocol.columnNotes}` })];
    if (anyBest) parts.push(el("p", {}, [el("span", { class: "star", text: "★ " }), `${protocol.bestNote}.`]));
    protocol.footnotes.forEach((text, k) => parts.push(el("p", { id: `note-${k + 1}` }, [el("sup", { text: String(k + 1) }), ` ${text}.`])));
    protocol.notes.forEach((text) => parts.push(el("p", { text: `${text}.` })));
    document.getElementById("board-notes").replaceChildren(...parts);
    document.getElementById("board-over").textContent = `${[...new Set([protocol.dataset, protocol.protocol])].join(" · ")} · ${protocol.targets.toLocaleString("en")} targets`;
  }

  function start() {
    for (const id of ["columns", "filter", "only-complete", "show-bounds", "show-published"]) {
      document.getElementById(id).addEventListener("input", render);
    }
  }
  function reset() {
    const metric = sepbench.column(state.metric);
    sort.key = state.metric; sort.down = metric ? metric.higher : true;
  }

  return { start, render, reset, shownCosts };
})();
