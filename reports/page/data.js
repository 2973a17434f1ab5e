// The page's data: pieces arrive as scripts that call sepbench.receive.
"use strict";
window.sepbench = (() => {
  const PIECE = 2000;
  const waiting = new Map();
  const state = {
    board: null, protocol: null, items: null, metric: null, item: null, source: null, view: "all",
    model: null,
  };

  function receive(name, value) {
    if (name === "board") {
      state.board = value;
      document.dispatchEvent(new Event("sepbench:board"));
      return;
    }
    const ready = waiting.get(name);
    if (ready) ready(value);
  }

  function loadPiece(name) {
    return new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      const script = document.createElement("script");
      script.src = `data/${encodeURIComponent(name)}.js`;
      script.onerror = () => reject(new Error(`data/${name}.js is missing beside the page`));
      script.onload = () => script.remove();
      document.head.append(script);
    });
  }

  // Pieces of a protocol joined: columns of targets, and a row of values per model.
  async function loadItems(protocol) {
    const pieces = await Promise.all(protocol.pieces.map(loadPiece));
    const items = { scene: [], target: [], label: [], absent: new Set(), attributes: [],
      cells: new Map(), media: null, mediaFolder: "", examples: {}, kept: new Set() };
    for (const piece of pieces) {
      if (piece.kind === "targets") {
        for (const key of ["scene", "target", "label", "attributes"]) {
          for (const value of piece[key]) items[key].push(value);
        }
        piece.absent.forEach((place) => items.absent.add(place));
      } else if (piece.kind === "cell") addCell(items, piece);
      else if (piece.kind === "media") {
        items.media = piece.targets; items.mediaFolder = piece.folder; items.examples = piece.examples;
        items.kept = piece.kept === "all" ? { has: () => true } : new Set(piece.kept);
      }
    }
    return items;
  }

  function addCell(items, piece) {
    let cell = items.cells.get(piece.cell);
    if (!cell) {
      cell = { targets: [], queries: [], queryIndices: [], values: {}, reasons: new Map(),
        failures: new Map(), byTarget: new Map() };
      items.cells.set(piece.cell, cell);
    }
    const start = cell.targets.length;
    piece.targets.forEach((target, k) => {
      cell.targets.push(target);
      cell.queries.push(piece.texts[piece.queries[k]]);
      cell.queryIndices.push(piece.queryIndices[k]);
      if (!cell.byTarget.has(target)) cell.byTarget.set(target, []);
      cell.byTarget.get(target).push(start + k);
    });
    for (const [name, values] of Object.entries(piece.values)) {
      const all = (cell.values[name] ||= []);
      for (const value of values) {
        all.push(value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);
      }
    }
    for (const [k, reasons] of Object.entries(piece.reasons)) cell.reasons.set(start + Number(k), reasons);
    for (const [k, text] of Object.entries(piece.failures)) cell.failures.set(start + Number(k), text);
  }

  // A model's value on a target: the mean over its queries that have a number.
  function valueOf(cell, target, column) {
    const values = cell?.values[column];
    const places = cell?.byTarget.get(target);
    if (!values || !places) return null;
    let sum = 0, count = 0;
    for (const place of places) {
      const value = values[place];
      if (value !== null && Number.isFinite(value)) { sum += value; count += 1; }
    }
    return count ? sum / count : null;
  }

  const itemKey = (items, place) => `${items.scene[place]}~${items.target[place]}`;
  const models = () => state.protocol.rows.filter((row) => row.role === "model" && row.status === "active");
  const active = () => state.protocol.rows.filter((row) => row.status === "active");
  const column = (name) => state.protocol.columns.find((each) => each.name === name);
  const nameOf = (row) => {
    const twins = state.protocol.rows.filter((each) => each.label === row.label).length > 1;
    return twins ? `${row.label} · ${row.query}` : row.label;
  };

  return { PIECE, state, receive, loadItems, valueOf, itemKey, models, active, column, nameOf };
})();
