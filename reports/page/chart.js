// One Vega-Lite chart in its place: the page's colours and tooltip, marks that take focus, nothing loaded.
"use strict";
sepbench.chart = (() => {
  const { el, colour, showTip, hideTip } = sepbench.draw;
  const shown = new Map(); // by figure: the turn that may show itself, and the chart that is there
  const refuse = () => Promise.reject(new Error("This page loads nothing."));
  const LOADER = { load: refuse, sanitize: refuse, http: refuse, file: refuse };

  // The style sheet's colours as they are now: Vega needs values, not variables.
  function look() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    const ink = (row) => of(colour(row).slice("var(--".length, -1));
    const names = ["paper", "card", "ink", "quiet", "line", "soft", "accent", "bound-low", "c0", "c1"];
    return { ...Object.fromEntries(names.map((name) => [name, of(name)])), font: of("sans"), of: ink };
  }

  function config({ font, quiet, ink, line }) {
    return {
      background: "transparent", font, view: { stroke: null }, mark: { aria: false },
      axis: { domain: false, ticks: false, labelColor: quiet, titleColor: quiet, gridColor: line, labelFontSize: 11.5, titleFontSize: 12.5, titleFontWeight: "normal", labelPadding: 8 },
      text: { color: ink, fontSize: 13 },
    };
  }

  const tooltip = (_, event, item, value) => (value ? showTip(event.target.closest?.("path, text") || event.target, value.split("\n")) : hideTip());

  // Marks named `hits` take focus, tell what their tooltip says, and act on a click or Enter.
  function wire(picture, act) {
    for (const mark of picture.querySelectorAll(".hits_marks > path")) {
      const { key, tip } = mark.__data__.datum;
      const attributes = { tabindex: "0", role: act ? "button" : "img", "aria-label": tip.join("; "), "data-key": key };
      for (const [name, value] of Object.entries(attributes)) mark.setAttribute(name, value);
      mark.removeAttribute("aria-roledescription");
      mark.addEventListener("focus", () => showTip(mark, tip));
      mark.addEventListener("blur", hideTip);
      if (!act) continue;
      mark.classList.add("acts");
      mark.addEventListener("click", () => act(key));
      mark.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        act(key);
      });
    }
  }

  function clear(node, ...instead) {
    const old = shown.get(node);
    shown.set(node, { turn: (old?.turn ?? 0) + 1, chart: null, spec: null });
    old?.chart?.finalize();
    node.replaceChildren(...instead);
  }

  // Drawn aside and put in place when done; of two that overtake each other the later one stays.
  async function show(node, spec, { before = [], around = (picture) => picture, after = [], act = null } = {}) {
    const turn = (shown.get(node)?.turn ?? 0) + 1, old = shown.get(node)?.chart;
    shown.set(node, { turn, chart: old, spec });
    const picture = el("div", { class: "chart" });
    const chart = await vegaEmbed(picture, { ...spec, config: config(look()) }, {
      mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, hover: false, tooltip, loader: LOADER,
    });
    if (shown.get(node).turn !== turn) { chart.finalize(); return; }
    const focused = node.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    shown.set(node, { turn, chart, spec });
    hideTip();
    wire(picture, act);
    node.replaceChildren(...before, around(picture), ...after);
    if (focused) [...picture.querySelectorAll("[data-key]")].find((mark) => mark.dataset.key === focused)?.focus();
    old?.finalize();
  }

  // What is shown, as Vega-Lite: for tests, and for who wants a chart elsewhere.
  const specs = () => Object.fromEntries([...shown].filter(([, { spec }]) => spec).map(([node, { spec }]) => [node.id, { ...spec, config: config(look()) }]));

  return { look, show, clear, specs };
})();
