// Sources of one item: pictures that are buttons, one transport, switched in place at one position.
"use strict";
sepbench.player = (() => {
  const { el, fmt } = sepbench.draw;
  let matched = true, loop = true;
  let current = null;
  let example = null;

  const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

  const decibel = (x) => 10 ** (x / 20);
  const levelOf = (sound) => sound.loudness + sound.gain;
  const quietest = (sources) => Math.min(...sources.filter((s) => s.loudness !== null && levelOf(s) > -45).map(levelOf), 0);

  // Volumes at most 1: matched brings all down to the quietest, true takes the files' gain back.
  function volumes(sources) {
    if (matched) {
      const least = quietest(sources);
      return sources.map((s) => (s.loudness === null ? 1 : Math.min(1, decibel(least - levelOf(s)))));
    }
    const least = Math.min(...sources.map((s) => s.gain));
    return sources.map((s) => decibel(least - s.gain));
  }

  // An example of the query: it stops the sources, and a second press stops it.
  function hear(file, sound, button) {
    const same = example?.button === button;
    hush();
    if (same) return;
    pause();
    const node = el("audio", { src: file });
    node.volume = current && sound.loudness !== null ? Math.min(1, decibel(quietest(current.sources) - levelOf(sound))) : 1;
    node.addEventListener("ended", hush);
    example = { node, button };
    button.setAttribute("aria-pressed", "true");
    node.play().catch(hush);
  }
  function hush() {
    if (!example) return;
    example.node.pause();
    example.button.setAttribute("aria-pressed", "false");
    example = null;
  }

  function close() {
    hush();
    if (!current) return;
    cancelAnimationFrame(current.timer);
    current.audio.forEach((each) => { each.pause(); each.removeAttribute("src"); each.load(); });
    current = null;
  }

  function build(media, folder, names, wanted, onSource) {
    close();
    const sources = media.sources;
    const audio = sources.map((source) => {
      const node = el("audio", { preload: "auto", src: `${folder}/${source.file}.flac` });
      node.addEventListener("ended", () => ended(node));
      return node;
    });
    const play = el("button", { type: "button", class: "play", id: "play", "aria-label": "Play", title: "Play or pause (Space)", onclick: toggle });
    const seek = el("input", { type: "range", min: 0, max: media.seconds, step: 0.01, value: 0, class: "seek", "aria-label": "Position in seconds", oninput: () => jump(Number(seek.value)) });
    const time = el("output", { class: "time", text: `0:00.0 / ${clock(media.seconds)}` });
    const match = el("button", { type: "button", class: "toggle", id: "match", "aria-pressed": String(matched), title: "All sources equally loud (m)", text: "Loudness matched", onclick: toggleMatch });
    const again = el("button", { type: "button", class: "toggle", "aria-pressed": String(loop), text: "Loop", onclick: () => { loop = !loop; again.setAttribute("aria-pressed", String(loop)); } });
    const now = el("span", { class: "now", id: "now-playing", "aria-live": "polite" });
    const tiles = sources.map((source, k) => {
      const picture = el("span", { class: "picture" }, [
        el("img", { src: `${folder}/${source.file}.png`, alt: "", decoding: "async", draggable: "false" }),
        el("span", { class: "ticks", "aria-hidden": "true" }, media.ticks.filter(([hertz, at]) => [200, 1000, 5000].includes(hertz) && at > 0.06).map(([hertz, at]) => el("i", { text: hertz >= 1000 ? `${hertz / 1000}k` : String(hertz), vars: { "--at": `${at * 100}%` } }))),
        el("span", { class: "head", "aria-hidden": "true" }),
      ]);
      picture.addEventListener("click", (event) => {
        const box = picture.getBoundingClientRect();
        if (current) jump(((event.clientX - box.left) / box.width) * media.seconds);
      });
      return el("button", { type: "button", class: `tile ${source.kind}`, "data-source": source.file, "aria-pressed": "false", title: k < 9 ? `${names[k].title} (${k + 1})` : names[k].title, onclick: () => select(k) }, [
        el("span", { class: "tile-name" }, [el("i", { class: `dot ${names[k].role}`, vars: { "--dot": names[k].colour } }), el("span", { text: names[k].title }), el("em", { text: names[k].score || "" }), k < 9 ? el("kbd", { text: String(k + 1) }) : null]),
        picture,
        el("span", { class: "times", "aria-hidden": "true" }, [0, 0.5, 1].map((share) => el("i", { text: `${Number((share * media.seconds).toFixed(1))} s` }))),
      ]);
    });
    const transport = el("div", { class: "transport" }, [play, el("div", { class: "seek-side" }, [seek, el("div", { class: "under" }, [time, now])]), match, again]);
    current = { media, sources, audio, tiles, play, seek, time, match, now, names, at: 0, playing: false, timer: 0, onSource };
    setVolumes();
    const first = Math.max(0, sources.findIndex((source) => source.file === wanted));
    select(first, true);
    return { transport, tiles };
  }

  function setVolumes() {
    volumes(current.sources).forEach((volume, k) => { current.audio[k].volume = volume; });
  }
  function toggleMatch() {
    matched = !matched;
    if (!current) return;
    current.match.setAttribute("aria-pressed", String(matched));
    current.match.textContent = matched ? "Loudness matched" : "True loudness";
    setVolumes();
  }
  const position = () => (current.playing ? current.audio[current.at].currentTime : Number(current.seek.value));

  function select(index, quiet = false) {
    if (!current || index < 0 || index >= current.audio.length) return;
    const before = current.audio[current.at], where = position();
    const next = current.audio[index];
    current.at = index;
    if (before !== next) {
      if (where > 0 || next.currentTime !== where) next.currentTime = where;
      if (current.playing) next.play().then(() => before.pause(), () => pause());
    }
    current.tiles.forEach((tile, k) => tile.setAttribute("aria-pressed", String(k === index)));
    current.now.textContent = current.names[index].title;
    if (!quiet) current.onSource(current.sources[index].file);
    paint();
  }

  function jump(seconds) {
    if (!current) return;
    const to = Math.max(0, Math.min(current.media.seconds - 0.01, seconds));
    current.audio[current.at].currentTime = to;
    current.seek.value = to;
    paint();
  }

  function pause() {
    if (!current) return;
    const where = position();
    current.playing = false;
    current.audio.forEach((each) => each.pause());
    current.seek.value = where;
    label();
  }
  function label() {
    current.play.classList.toggle("on", current.playing);
    current.play.setAttribute("aria-label", current.playing ? "Pause" : "Play");
  }
  function toggle() {
    if (!current) return;
    if (current.playing) { pause(); return; }
    hush();
    const node = current.audio[current.at];
    node.currentTime = Number(current.seek.value) >= current.media.seconds - 0.05 ? 0 : Number(current.seek.value);
    node.play().then(() => { if (current) { current.playing = true; label(); tick(); } }, () => pause());
  }
  function ended(node) {
    if (!current || node !== current.audio[current.at]) return;
    if (loop && current.playing) { node.currentTime = 0; node.play().catch(() => pause()); return; }
    current.playing = false;
    current.seek.value = 0;
    label(); paint();
  }
  function tick() {
    if (!current || !current.playing) return;
    current.seek.value = current.audio[current.at].currentTime;
    paint();
    current.timer = requestAnimationFrame(tick);
  }
  function paint() {
    const where = Number(current.seek.value);
    current.time.textContent = `${clock(where)} / ${clock(current.media.seconds)}`;
    const share = `${(100 * where) / current.media.seconds}%`;
    current.seek.style.setProperty("--share", share);
    current.tiles.forEach((tile) => tile.style.setProperty("--head", share));
  }
  const nudge = (seconds) => current && jump(position() + seconds);
  // Another metric was chosen: the scores on the tiles change, what plays goes on.
  function rename(scoreOf) {
    if (!current) return;
    const several = current.sources.some((source) => source.query > 0);
    current.tiles.forEach((tile, k) => {
      const score = tile.querySelector(".tile-name em");
      if (score) score.textContent = scoreOf(current.sources[k], several);
    });
  }
  const isOpen = () => current !== null;

  return { build, close, toggle, hear, select, nudge, toggleMatch, rename, isOpen, state: () => current };
})();
