// The list of items, drawn only where it is seen, and the one that is open.
"use strict";
sepbench.explorer = (() => {
  const { el, colour, fmt, signed, extent, ticks, empty } = sepbench.draw;
  const { state } = sepbench;
  const HEIGHT = 52;
  const list = document.getElementById("item-list"), inner = document.getElementById("item-inner");
  const detail = document.getElementById("item-detail");
  let order = [], reach = null, residuals = false;

  const pretty = (text) => text.replaceAll("_", " ");
  function queryOf(place) {
    for (const row of sepbench.models()) {
      const cell = state.items.cells.get(row.id), at = cell?.byTarget.get(place);
      if (at && cell.queries[at[0]]) return cell.queries[at[0]];
    }
    return "";
  }
  const titleOf = (place) => pretty(state.items.label[place] || state.items.target[place]);

  function offer() {
    const options = [["list", "as listed"]];
    const models = sepbench.models();
    if (models.length > 1) options.push(["spread", "models differ most"]);
    for (const row of models) options.push([`best:${row.id}`, `${sepbench.nameOf(row)}: best first`], [`worst:${row.id}`, `${sepbench.nameOf(row)}: worst first`]);
    for (const a of models) for (const b of models) if (a !== b) options.push([`diff:${a.id}:${b.id}`, `${sepbench.nameOf(a)} ahead of ${sepbench.nameOf(b)}`]);
    document.getElementById("item-order").replaceChildren(...options.slice(0, 60).map(([value, text]) => el("option", { value, text })));
    const names = [...new Set(state.items.label.filter(Boolean))].sort();
    document.getElementById("item-class").replaceChildren(el("option", { value: "", text: `all ${names.length || ""}`.trim() }), ...names.map((name) => el("option", { value: name, text: pretty(name) })));
  }

  function scores(kind, ids) {
    const column = sepbench.column(state.metric), sign = column?.higher === false ? -1 : 1;
    const of = (id, place) => sepbench.valueOf(state.items.cells.get(Number(id)), place, state.metric);
    if (kind === "spread") {
      const all = sepbench.models();
      return (place) => {
        const values = all.map((row) => of(row.id, place)).filter((v) => v !== null);
        return values.length > 1 ? Math.max(...values) - Math.min(...values) : null;
      };
    }
    if (kind === "diff") return (place) => { const a = of(ids[0], place), b = of(ids[1], place); return a === null || b === null ? null : sign * (a - b); };
    return (place) => { const v = of(ids[0], place); return v === null ? null : (kind === "best" ? sign : -sign) * v; };
  }

  function arrange() {
    const items = state.items;
    if (!items) return;
    const words = document.getElementById("item-filter").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const label = document.getElementById("item-class").value;
    const heard = document.getElementById("only-audio").checked;
    let places = items.scene.map((_, place) => place).filter((place) => {
      if (label && items.label[place] !== label) return false;
      if (heard && !items.media?.[place]) return false;
      if (!words.length) return true;
      const text = `${items.scene[place]} ${items.target[place]} ${items.label[place]} ${queryOf(place)}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const [kind, ...ids] = document.getElementById("item-order").value.split(":");
    if (kind !== "list") {
      const score = scores(kind, ids);
      places = places.map((place) => [score(place), place]).sort((a, b) => (a[0] === null) - (b[0] === null) || b[0] - a[0] || a[1] - b[1]).map((each) => each[1]);
    }
    order = places;
    const shown = sepbench.active();
    const values = [];
    for (const row of shown) for (const value of items.cells.get(row.id)?.values[state.metric] || []) values.push(value);
    reach = extent(values, 0.03);
    document.getElementById("item-count").textContent = `${order.length.toLocaleString("en")} of ${items.scene.length.toLocaleString("en")}`;
    document.getElementById("only-audio").closest("label").hidden = !items.media;
    inner.style.height = `${order.length * HEIGHT}px`;
    axis();
    paint();
  }

  const share = (value) => `${(100 * (value - reach[0])) / (reach[1] - reach[0])}%`;
  function axis() {
    const node = document.getElementById("item-axis"), column = sepbench.column(state.metric);
    if (!reach || !column) return node.replaceChildren();
    node.replaceChildren(el("span", { text: column.title + (column.unit ? `, ${column.unit}` : "") }),
      el("span", { class: "axis-ticks" }, ticks(reach[0], reach[1], 4).map((tick) => el("i", { text: fmt(tick, 0), vars: { "--at": share(tick) } }))));
    return node;
  }

  function line(place, k) {
    const items = state.items, marks = [];
    if (reach) {
      if (reach[0] < 0 && reach[1] > 0) marks.push(el("i", { class: "zero", vars: { "--at": share(0) } }));
      for (const row of sepbench.active()) {
        const value = sepbench.valueOf(items.cells.get(row.id), place, state.metric);
        if (value !== null) marks.push(el("i", { class: `dot ${row.role}`, vars: { "--dot": colour(row), "--at": share(value) } }));
      }
    }
    const failed = [...items.cells.values()].some((cell) => (cell.byTarget.get(place) || []).some((at) => cell.failures.has(at)));
    return el("div", { class: "item", role: "option", id: `item-${place}`, "data-place": place, "data-item": sepbench.itemKey(items, place), "aria-selected": String(state.item === place), "aria-setsize": order.length, "aria-posinset": k + 1, vars: { "--top": `${k * HEIGHT}px` } }, [
      el("div", { class: "item-text" }, [
        el("b", { text: titleOf(place) }), items.media?.[place] ? el("span", { class: "ear", title: "with audio", text: "♪" }) : null,
        failed ? el("span", { class: "fail", title: "a model failed here", text: "!" }) : null,
        el("small", { text: items.scene[place] }),
      ]),
      el("div", { class: "strip" }, marks),
    ]);
  }

  let painted = "";
  function paint(force = true) {
    if (!state.items) return;
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 6);
    const last = Math.min(order.length, first + Math.ceil(list.clientHeight / HEIGHT) + 12);
    const key = `${first}-${last}`;
    if (!force && key === painted) return;
    painted = key;
    inner.replaceChildren(...order.slice(first, last).map((place, k) => line(place, first + k)));
    if (!order.length) inner.replaceChildren(empty("No item fits."));
    if (state.item !== null && document.getElementById(`item-${state.item}`)) list.setAttribute("aria-activedescendant", `item-${state.item}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function reveal(place) {
    const k = order.indexOf(place);
    if (k < 0) return;
    const top = k * HEIGHT;
    if (top < list.scrollTop || top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = Math.max(0, top - list.clientHeight / 2 + HEIGHT / 2);
  }

  function step(by) {
    if (!order.length) return;
    const at = order.indexOf(state.item);
    open(order[at < 0 ? 0 : Math.max(0, Math.min(order.length - 1, at + by))], { quiet: true });
  }

  function scoreTable(place) {
    const items = state.items, columns = state.protocol.columns;
    const rows = [];
    const cells = sepbench.active().map((row) => items.cells.get(row.id));
    // Queries stand in the table where they differ; one for all stands above it.
    const asked = new Set(cells.flatMap((cell) => (cell?.byTarget.get(place) || []).map((at) => cell.queries[at])).filter(Boolean));
    for (const row of sepbench.active()) {
      const cell = items.cells.get(row.id);
      for (const at of cell?.byTarget.get(place) || []) {
        const failed = cell.failures.get(at);
        rows.push(el("tr", { class: row.role }, [
          el("th", { scope: "row" }, [el("i", { class: `dot ${row.role}`, vars: { "--dot": colour(row) } }), el("span", { text: row.label }), cell.queries[at] && asked.size > 1 ? el("small", { text: cell.queries[at] }) : null]),
          ...(failed ? [el("td", { class: "failure", colspan: columns.length, text: failed })] : columns.map((column) => {
            const value = cell.values[column.name]?.[at];
            const reason = cell.reasons.get(at)?.[column.name];
            if (value === undefined) return el("td", { class: "num none", text: "" });
            return el("td", { class: `num${column.name === state.metric ? " on" : ""}${value === null ? " none" : ""}`, title: reason || null, text: value === null ? (reason ? "undef." : "–") : fmt(value) });
          })),
        ]));
      }
    }
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores of this item" }, el("table", { class: "scores" }, [
      el("thead", {}, el("tr", {}, [el("th", { scope: "col", text: asked.size > 1 ? "Model and query" : "Model" }), ...columns.map((column) => el("th", { scope: "col", class: "num", title: column.identity }, [column.title.split(" (")[0], el("small", { text: [column.title.split(" (")[1]?.slice(0, -1), column.unit].filter(Boolean).join(", ") })]))])),
      el("tbody", {}, rows)]));
  }

  function naming(source, several) {
    if (source.kind === "mixture") return { title: "Mixture", role: "plain", colour: "var(--ink)" };
    if (source.kind === "reference") return { title: "Reference", role: "plain", colour: "var(--good)" };
    const row = state.protocol.rows.find((each) => each.id === source.cell);
    const cell = state.items.cells.get(source.cell);
    const at = cell?.byTarget.get(state.item)?.find((each) => cell.queryIndices[each] === source.query);
    const value = at === undefined ? null : cell.values[state.metric]?.[at];
    const query = several ? ` · query ${source.query + 1}` : "";
    const left = source.kind === "residual";
    return { title: sepbench.nameOf(row) + query + (left ? ": what it left" : ""), role: row.role, colour: colour(row), score: left || value === null || value === undefined ? "" : fmt(value) };
  }

  function listen(place) {
    const media = state.items.media?.[place];
    if (!media) {
      sepbench.player.close();
      return [notDrawn(place)];
    }
    const several = media.sources.some((source) => source.query > 0);
    const names = media.sources.map((source) => naming(source, several));
    const { transport, tiles } = sepbench.player.build(media, `${state.items.mediaFolder}/${place}`, names, state.source, (file) => { state.source = file; arrangeTiles(); sepbench.app.remember(); });
    const grid = el("div", { class: "tiles", id: "tiles" }, tiles);
    transport.append(
      el("button", { type: "button", class: "toggle", id: "trio", text: "Trio", title: "Mixture, target and one estimate side by side (v)", onclick: toggleView }),
      el("button", { type: "button", class: "toggle", id: "residuals", text: "Residuals", title: "What each model left behind: mixture − estimate (r)", onclick: toggleResiduals }),
    );
    const choices = media.sources.flatMap((source, k) => (source.kind === "estimate"
      ? [el("button", { type: "button", class: "toggle chip", "data-chip": source.file, onclick: () => sepbench.player.select(k) }, [el("i", { class: `dot ${names[k].role}`, vars: { "--dot": names[k].colour } }), names[k].title])]
      : []));
    const scale = el("span", { class: "scale" }, ["−70 dB", el("i", { "aria-hidden": "true" }), "0 dB"]);
    return [transport, el("div", { class: "chips", id: "chips", role: "group", "aria-label": "Estimate beside mixture and target" }, choices), grid,
      el("p", { class: "small caption" }, [scale, ` Mel spectrograms of one colour scale; 0 dB is the mixture's loudest band. ${part(media)} at ${(media.rate / 1000).toLocaleString("en")} kHz. A click in a picture moves the position. Residual: mixture − estimate.`])];
  }

  // The estimate that the trio shows: the one last listened to, else the first.
  let beside = null;
  function arrangeTiles() {
    const tiles = [...document.querySelectorAll("#tiles .tile")];
    if (!tiles.length) return;
    const estimates = tiles.filter((tile) => tile.classList.contains("estimate")).map((tile) => tile.dataset.source);
    const heard = (state.source || "").replace("residual-", "estimate-");
    if (estimates.includes(heard)) beside = heard;
    if (!estimates.includes(beside)) beside = estimates[0] ?? null;
    const trio = state.view === "trio";
    const grid = document.getElementById("tiles");
    grid.classList.toggle("trio", trio);
    grid.classList.toggle("with-residuals", residuals);
    grid.dataset.count = residuals ? tiles.length : tiles.filter((tile) => !tile.classList.contains("residual")).length;
    tiles.forEach((tile) => tile.classList.toggle("beside", tile.dataset.source.replace("residual-", "estimate-") === beside));
    const chips = document.getElementById("chips");
    chips.hidden = !trio || estimates.length < 2;
    chips.querySelectorAll("button").forEach((chip) => chip.setAttribute("aria-pressed", String(chip.dataset.chip === beside)));
    document.getElementById("trio").setAttribute("aria-pressed", String(trio));
    document.getElementById("residuals").setAttribute("aria-pressed", String(residuals));
  }
  function toggleView() {
    state.view = state.view === "trio" ? "all" : "trio";
    arrangeTiles();
    sepbench.app.remember();
  }
  function toggleResiduals() {
    residuals = !residuals;
    arrangeTiles();
  }

  // Text for a shell, whatever a dataset calls its scenes.
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  function notDrawn(place) {
    const items = state.items;
    if (!items.media) return el("p", { class: "note", text: state.protocol.remarks.join(" ") });
    if (!items.kept.has(place)) return el("p", { class: "note", text: "No estimate of this item was kept, so there is nothing to hear: bench run --keep-audio keeps them." });
    return el("div", { class: "note" }, [
      el("p", { text: "This item has no pictures and no sound on this page yet. To add it, or all of them:" }),
      el("pre", { tabindex: "0" }, [el("code", { text: `bench report --format html --item ${quoted(sepbench.itemKey(items, place))}\nbench report --format html --heard all` })]),
    ]);
  }

  // The query's audio examples: each plays by itself, as loud as the sources.
  function examples(place) {
    const media = state.items.media?.[place];
    if (!media?.examples.length) return null;
    return el("div", { class: "examples" }, [
      el("span", { class: "quiet", text: "asked by example:" }),
      ...media.examples.map((id) => el("button", { type: "button", class: "toggle example", "data-example": id, "aria-pressed": "false", title: "Play this example of the query", onclick: (event) => sepbench.player.hear(`${state.items.mediaFolder}/${state.items.examples[id].file}.flac`, state.items.examples[id], event.currentTarget) }, [el("i", { class: "tri", "aria-hidden": "true" }), id])),
    ]);
  }

  function part(media) {
    if (media.whole <= media.seconds) return `${media.seconds.toFixed(1)} s of sound`;
    return `${media.seconds.toFixed(0)} of ${media.whole.toFixed(0)} s, from ${media.start} s on, where the target is loudest,`;
  }

  function open(place, { quiet = false, focus = false, passive = false } = {}) {
    state.item = place;
    const items = state.items;
    if (!quiet && !order.includes(place)) clearFilters();
    reveal(place);
    paint();
    const facts = Object.entries(items.attributes[place]).filter(([key]) => key !== "label");
    const query = queryOf(place), played = examples(place);
    const byExample = played && query === `like ${items.media[place].examples.join(", ")}`;
    detail.replaceChildren(
      el("button", { type: "button", class: "back", text: "← all items", onclick: shut }),
      el("header", {}, [
        el("p", { class: "over", text: items.scene[place] }),
        el("h3", { text: titleOf(place) }),
        query && !byExample ? el("p", { class: "query" }, [el("span", { class: "quiet", text: "asked: " }), el("q", { text: query })]) : null,
        played,
        items.absent.has(place) ? el("p", { class: "note", text: "The asked-for sound is not in this mixture: silence is the right answer." }) : null,
        facts.length ? el("dl", { class: "facts" }, facts.map(([key, value]) => el("div", {}, [el("dt", { text: pretty(key) }), el("dd", { text: typeof value === "number" ? fmt(value, Number.isInteger(value) ? 0 : 2) : String(value) })]))) : null,
      ]),
      ...listen(place),
      scoreTable(place),
    );
    arrangeTiles();
    detail.scrollTop = 0;
    document.body.classList.add("item-open");
    if (focus) document.getElementById("items").scrollIntoView();
    if (!passive) sepbench.app.remember();
  }

  function shut() {
    sepbench.player.close();
    state.item = null;
    document.body.classList.remove("item-open");
    hint();
    paint();
    sepbench.app.remember();
  }
  function hint() {
    detail.replaceChildren(empty(state.items?.scene.length ? "Choose an item to see and hear it." : "No items."));
  }

  function clearFilters() {
    document.getElementById("item-filter").value = "";
    document.getElementById("item-class").value = "";
    document.getElementById("only-audio").checked = false;
    arrange();
  }
  function showClass(name) {
    clearFilters();
    document.getElementById("item-class").value = name;
    arrange();
    list.scrollTop = 0;
    document.getElementById("items").scrollIntoView({ behavior: "smooth" });
  }

  function start() {
    list.addEventListener("scroll", () => requestAnimationFrame(() => paint(false)), { passive: true });
    new ResizeObserver(() => paint()).observe(list);
    list.addEventListener("click", (event) => {
      const line = event.target.closest(".item");
      if (line) open(Number(line.dataset.place), { quiet: true });
    });
    list.addEventListener("keydown", (event) => {
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
      if (event.key in steps) { event.preventDefault(); event.stopPropagation(); step(steps[event.key]); }
    });
    for (const id of ["item-filter", "item-order", "item-class", "only-audio"]) {
      document.getElementById(id).addEventListener("input", () => { list.scrollTop = 0; arrange(); });
    }
  }
  function reset(quiet) {
    sepbench.player.close();
    state.item = null;
    document.body.classList.remove("item-open");
    document.getElementById("item-filter").value = "";
    document.getElementById("items-remarks").textContent = state.protocol.remarks.join(" ");
    offer();
    hint();
    arrange();
    if (!quiet && state.items.media && matchMedia("(min-width: 861px)").matches) open(Math.min(...Object.keys(state.items.media).map(Number)), { passive: true });
  }
  function refresh() {
    arrange();
    if (state.item !== null && !sepbench.player.isOpen()) open(state.item, { quiet: true });
    else if (state.item !== null) {
      detail.querySelector(".scores")?.closest(".scroll")?.replaceWith(scoreTable(state.item));
      sepbench.player.rename((source, several) => naming(source, several).score);
    }
  }
  return { start, reset, refresh, open, shut, step, showClass, toggleView, toggleResiduals, order: () => order };
})();
