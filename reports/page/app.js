// Starts the page, keeps the address in step with what is shown, and listens to the keyboard.
"use strict";
sepbench.app = (() => {
  const { el } = sepbench.draw;
  const { state } = sepbench;
  const SECTIONS = ["leaderboard", "cost", "differences", "distributions", "classes", "items", "provenance"];
  const pick = (id) => document.getElementById(id);
  let silent = false;

  function address() {
    const words = new URLSearchParams();
    if (state.board.protocols.length > 1) words.set("protocol", state.protocol.protocol);
    words.set("metric", state.metric);
    const chosen = sepbench.active().find((row) => row.id === state.model);
    if (chosen) words.set("model", sepbench.nameOf(chosen));
    if (state.item !== null) words.set("item", sepbench.itemKey(state.items, state.item));
    if (state.item !== null && state.source) words.set("source", state.source);
    if (state.item !== null && state.view !== "all") words.set("view", state.view);
    return `#${words.toString().replaceAll("%7E", "~")}`;
  }
  function remember() {
    if (silent || !state.items) return;
    history.replaceState(null, "", address());
  }

  async function showProtocol(protocol, metric) {
    state.protocol = protocol;
    state.item = null;
    state.items = null;
    state.model = null;
    const names = protocol.columns.map((column) => column.name);
    state.metric = names.includes(metric) ? metric : names.includes("si_sdri") ? "si_sdri" : names[0] ?? null;
    pick("protocol").value = protocol.protocol;
    pick("metric").replaceChildren(...protocol.columns.map((column) => el("option", { value: column.name, text: column.title + (column.unit ? ` [${column.unit}]` : "") })));
    pick("metric").value = state.metric;
    sepbench.leaderboard.reset();
    sepbench.leaderboard.render();
    provenance();
    try {
      state.items = await sepbench.loadItems(protocol);
    } catch (error) {
      pick("items-remarks").textContent = `${error.message}: copy the whole folder.`;
      return;
    }
    if (state.protocol !== protocol) return;
    sepbench.charts.offerCosts();
    const drawn = sepbench.charts.render();
    sepbench.explorer.reset(new URLSearchParams(location.hash.slice(1)).has("item"));
    await drawn;
  }

  function showMetric(name) {
    state.metric = name;
    sepbench.leaderboard.reset();
    sepbench.leaderboard.render();
    sepbench.charts.render();
    sepbench.explorer.refresh();
    remember();
  }

  function provenance() {
    const flat = (value, path = "") => (value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.entries(value).flatMap(([key, inner]) => flat(inner, path ? `${path}.${key}` : key))
      : [[path, Array.isArray(value) ? value.join(", ") : String(value)]]);
    const facts = (entries) => el("dl", { class: "identity" }, entries.map(([key, value]) => el("div", {}, [el("dt", { text: key }), el("dd", { text: value === "" ? "–" : value })])));
    pick("prov").replaceChildren(
      el("div", { class: "card" }, [el("h3", { text: "Made with" }), el("ul", {}, state.board.provenance.map((text) => el("li", { text })))]),
      el("div", { class: "card" }, [el("h3", { text: "Metrics" }), facts(state.protocol.columns.filter((column) => !column.improvement).map((column) => [column.title, column.identity]))]),
      el("div", { class: "card wide" }, [el("h3", { text: "Rows: what each number depends on" }), ...state.protocol.rows.map((row) => el("details", {}, [
        el("summary", {}, [el("b", { text: sepbench.nameOf(row) }), el("span", { class: "quiet", text: ` ${row.baseline} ${row.version}${row.device ? ` · ${row.device}` : ""} · ${row.counts}` })]),
        facts(flat(row.identity)),
      ]))]),
    );
  }

  async function follow() {
    const hash = decodeURIComponent(location.hash.slice(1));
    if (SECTIONS.includes(hash) || hash.startsWith("note-")) return;
    const words = new URLSearchParams(location.hash.slice(1));
    const wanted = state.board.protocols.find((each) => each.protocol === words.get("protocol")) || state.protocol || state.board.protocols[0];
    silent = true;
    if (wanted !== state.protocol) await showProtocol(wanted, words.get("metric"));
    else if (words.get("metric") && words.get("metric") !== state.metric && sepbench.column(words.get("metric"))) {
      pick("metric").value = words.get("metric");
      showMetric(words.get("metric"));
    }
    const chosen = sepbench.active().find((row) => sepbench.nameOf(row) === words.get("model"));
    if (state.items && (chosen?.id ?? null) !== state.model) await sepbench.charts.choose(chosen?.id ?? state.model);
    silent = false;
    state.source = words.get("source");
    state.view = words.get("view") === "trio" ? "trio" : "all";
    if (!words.get("item") || !state.items) return;
    const place = state.items.scene.findIndex((_, k) => sepbench.itemKey(state.items, k) === words.get("item"));
    if (place < 0) { pick("items-remarks").textContent = `This page has no item ${words.get("item")}.`; return; }
    if (place !== state.item) sepbench.explorer.open(place, { focus: true });
  }

  function theme(value) {
    document.documentElement.dataset.theme = value;
    try { localStorage.setItem("sepbench-theme", value); } catch { /* a page on disk may have no storage */ }
    if (state.items) sepbench.charts.render();
  }
  function turnTheme() {
    const now = document.documentElement.dataset.theme;
    const dark = now === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : now === "dark";
    theme(dark ? "light" : "dark");
  }

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || pick("help").open) return;
    const typing = event.target.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
    if (event.key === "Escape") {
      if (typing) event.target.blur(); else if (state.item !== null && matchMedia("(max-width: 860px)").matches) sepbench.explorer.shut();
      return;
    }
    if (typing) return;
    const onButton = event.target.matches("button, summary, a, input");
    const act = {
      "/": () => { pick("item-filter").focus(); pick("items").scrollIntoView(); },
      "?": () => pick("help").showModal(),
      t: turnTheme,
      j: () => sepbench.explorer.step(1),
      k: () => sepbench.explorer.step(-1),
      m: () => sepbench.player.toggleMatch(),
      v: () => sepbench.explorer.toggleView(),
      r: () => sepbench.explorer.toggleResiduals(),
      ArrowLeft: () => sepbench.player.nudge(-0.5),
      ArrowRight: () => sepbench.player.nudge(0.5),
      " ": () => sepbench.player.toggle(),
    }[event.key];
    if (/^[1-9]$/.test(event.key) && sepbench.player.isOpen()) { sepbench.player.select(Number(event.key) - 1); event.preventDefault(); return; }
    if (!act) return;
    if (event.key === " " && (!sepbench.player.isOpen() || (onButton && !event.target.matches(".tile")))) return;
    if (event.key.startsWith("Arrow") && (!sepbench.player.isOpen() || event.target.matches("input") || event.target.closest(".scroll"))) return;
    event.preventDefault();
    act();
  }

  function watchSections() {
    const links = [...document.querySelectorAll("#sections a")];
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        links.forEach((link) => link.toggleAttribute("aria-current", link.hash === `#${entry.target.id}`));
      }
    }, { rootMargin: "-30% 0px -60% 0px" });
    SECTIONS.forEach((id) => seen.observe(pick(id)));
    links.forEach((link) => link.addEventListener("click", (event) => {
      event.preventDefault();
      document.querySelector(link.hash).scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    }));
  }

  async function start() {
    try { theme(localStorage.getItem("sepbench-theme") || "auto"); } catch { /* none */ }
    const protocols = state.board.protocols;
    if (!protocols.length) {
      pick("board-over").textContent = "No results yet: bench run makes some.";
      document.body.classList.add("bare", "ready");
      return;
    }
    pick("protocol").replaceChildren(...protocols.map((each) => el("option", { value: each.protocol, text: each.protocol === each.dataset ? each.protocol : `${each.dataset} · ${each.protocol}` })));
    pick("protocol-field").hidden = protocols.length < 2;
    sepbench.leaderboard.start();
    sepbench.charts.start();
    sepbench.explorer.start();
    pick("protocol").addEventListener("change", async () => { await showProtocol(protocols.find((each) => each.protocol === pick("protocol").value), state.metric); remember(); });
    pick("metric").addEventListener("change", () => showMetric(pick("metric").value));
    pick("theme").addEventListener("click", turnTheme);
    pick("help-open").addEventListener("click", () => pick("help").showModal());
    document.addEventListener("keydown", keys);
    document.addEventListener("scroll", sepbench.draw.hideTip, { passive: true, capture: true });
    addEventListener("hashchange", follow);
    // A phone's bars come and go: only another width asks for other charts.
    let waiting = 0, width = innerWidth;
    addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { if (state.items && innerWidth !== width) { width = innerWidth; sepbench.charts.render(); } }, 150);
    });
    watchSections();
    await follow();
    if (!state.protocol) await showProtocol(protocols[0], null);
    document.body.classList.add("ready");
  }

  document.addEventListener("sepbench:board", start);
  return { remember, showMetric };
})();
