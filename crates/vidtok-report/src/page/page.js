"use strict";
// One state, redrawn where it changes. Nothing is fetched, and strings enter the page as text only.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const state = { model: 0, metric: 0, video: 0, order: "worst", frame: 0, sort: null };
const color = (model) => `var(--c${model % 8})`;

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
function svg(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
const shown = (value, metric) => (value === null || value === undefined ? "–" : value.toFixed(metric.digits));
const arrow = (metric) => ({ true: " ↑", false: " ↓" })[metric.higher_is_better] ?? "";
// Math.min(...values) fails for very many values.
const lowest = (values) => values.reduce((a, b) => (b < a ? b : a), Infinity);
const highest = (values) => values.reduce((a, b) => (b > a ? b : a), -Infinity);
const known = (values) => values.filter((value) => value !== null && value !== undefined);

// The best value, or null if the metric has no direction or there is nothing to compare.
function best(values, metric) {
  const some = known(values);
  if (metric.higher_is_better === null || some.length < 2) return null;
  return metric.higher_is_better ? highest(some) : lowest(some);
}

function summary() {
  const table = at("summary");
  table.replaceChildren();
  const head = table.createTHead().insertRow();
  head.append(element("th", "Model", { scope: "col" }));
  data.metrics.forEach((metric, index) => {
    const cell = element("th", undefined, { scope: "col" });
    const direction = state.sort?.metric === index ? (state.sort.up ? "ascending" : "descending") : "none";
    cell.setAttribute("aria-sort", direction);
    const button = element("button", metric.label + arrow(metric), { type: "button", "data-sort": index });
    if (metric.unit) button.append(" ", element("small", metric.unit));
    button.addEventListener("click", () => {
      const up = state.sort?.metric === index ? !state.sort.up : metric.higher_is_better === false;
      state.sort = { metric: index, up };
      summary();
      at("summary").querySelector(`[data-sort="${index}"]`).focus();
    });
    cell.append(button);
    head.append(cell);
  });
  const rows = data.models.map((model, index) => ({ model, index }));
  if (state.sort) {
    const { metric, up } = state.sort;
    rows.sort((a, b) => {
      const [x, y] = [a.model.totals[metric], b.model.totals[metric]];
      if (x === null || y === null) return (x === null) - (y === null);
      return up ? x - y : y - x;
    });
  }
  const body = table.createTBody();
  const tops = data.metrics.map((metric, index) => best(data.models.map((model) => model.totals[index]), metric));
  for (const { model, index } of rows) {
    const row = body.insertRow();
    const name = element("th", undefined, { scope: "row" });
    name.append(element("span", undefined, { class: "swatch", style: `background:${color(index)}` }), model.name);
    if (model.note) name.append(" ", element("small", model.note));
    row.append(name);
    data.metrics.forEach((metric, column) => {
      const value = model.totals[column];
      const cell = element("td", shown(value, metric));
      if (value !== null && value === tops[column]) {
        cell.className = "best";
        cell.setAttribute("aria-label", `${cell.textContent}, best`);
      }
      row.append(cell);
    });
  }
}

// Indices of the videos, worst or best by the chosen model and metric first, those without a value last.
function ordered() {
  const metric = data.metrics[state.metric];
  const value = (index) => data.videos[index].values[state.model]?.[state.metric] ?? null;
  const upward = (metric?.higher_is_better ?? true) === (state.order === "worst");
  return data.videos
    .map((_, index) => index)
    .sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return upward ? x - y : y - x;
    });
}

function videos() {
  const table = at("videos");
  const metric = data.metrics[state.metric];
  table.replaceChildren();
  const head = table.createTHead().insertRow();
  const title = metric ? `${metric.label}${metric.unit ? ` in ${metric.unit}` : ""}${arrow(metric)}` : "";
  for (const text of ["Video", "Frames", "fps", title]) head.append(element("th", text, { scope: "col" }));
  const all = known(data.videos.flatMap((video) => video.values.map((values) => values[state.metric])));
  const most = Math.max(highest(all.map(Math.abs)), 1e-12);
  const body = table.createTBody();
  for (const index of ordered()) {
    const video = data.videos[index];
    const row = body.insertRow();
    row.dataset.video = index;
    row.tabIndex = -1;
    row.setAttribute("aria-selected", String(index === state.video));
    row.append(element("th", video.name, { scope: "row" }));
    row.append(element("td", String(video.frames)), element("td", String(+video.fps.toFixed(2))));
    const bars = element("td", undefined, { class: "bars" });
    video.values.forEach((values, model) => {
      const value = values[state.metric];
      const bar = element("div", undefined, { class: "bar" });
      bar.title = `${data.models[model].name}: ${metric ? shown(value, metric) : ""}`;
      bar.append(element("span", metric ? shown(value, metric) : ""));
      const percent = value === null ? 0 : (70 * Math.abs(value)) / most;
      bar.append(element("i", undefined, { style: `width:${percent}%;background:${color(model)}` }));
      bars.append(bar);
    });
    row.append(bars);
    row.addEventListener("click", () => choose({ video: index }));
  }
  at("order-text").textContent = metric ? `by ${metric.label} of ${data.models[state.model]?.name ?? ""}` : "";
  for (const order of ["worst", "best"]) at(order).setAttribute("aria-pressed", String(state.order === order));
}

function clip() {
  const video = data.videos[state.video];
  if (!video) return;
  const values = data.metrics.map((metric, index) => {
    return `${metric.label} ${shown(video.values[state.model][index], metric)}${metric.unit ? ` ${metric.unit}` : ""}`;
  });
  at("clip").textContent = `${video.name} by ${data.models[state.model].name}: ${values.join(", ")}`;
}

// The page holds curves as text, one element per video; only those of the shown video are parsed.
const read = { video: null, curves: [] };
function curveOf(model) {
  if (read.video !== state.video) {
    Object.assign(read, { video: state.video, curves: JSON.parse(at(`curves-${state.video}`)?.textContent ?? "[]") });
  }
  return read.curves[model]?.[state.metric] ?? [];
}

function curves() {
  const [box, metric] = [at("curve"), data.metrics[state.metric]];
  box.replaceChildren();
  const lines = data.models.map((_, model) => curveOf(model));
  const values = lines.flat();
  at("curve-box").hidden = values.length === 0;
  if (values.length === 0) return;
  const width = box.clientWidth || 900;
  const height = 190;
  box.setAttribute("viewBox", `0 0 ${width} ${height}`);
  box.setAttribute("aria-label", `${metric.label} over the frames of ${data.videos[state.video].name}`);
  const [left, right, top, bottom] = [52, width - 8, 10, height - 24];
  const length = Math.max(...lines.map((line) => line.length));
  let [low, high] = [lowest(values), highest(values)];
  if (high - low < 1e-12) [low, high] = [low - 0.5, high + 0.5];
  const x = (frame) => left + ((right - left) * frame) / Math.max(length - 1, 1);
  const y = (value) => bottom - ((bottom - top) * (value - low)) / (high - low);
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const value = low + part * (high - low);
    box.append(svg("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    box.append(svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(metric.digits)));
  }
  box.append(svg("text", { x: left, y: height - 6 }, "frame 0"));
  box.append(svg("text", { x: right, y: height - 6, "text-anchor": "end" }, String(length - 1)));
  lines.forEach((line, model) => {
    const points = line.map((value, frame) => `${frame ? "L" : "M"}${x(frame).toFixed(1)},${y(value).toFixed(1)}`);
    const width = model === state.model ? 2.4 : 1.3;
    box.append(svg("path", { d: points.join(""), style: `stroke:${color(model)};stroke-width:${width}` }));
  });
  const frame = Math.min(state.frame, length - 1);
  box.append(svg("line", { class: "cursor", x1: x(frame), x2: x(frame), y1: top, y2: bottom }));
  const texts = lines.map((line, model) => [line[frame], data.models[model].name]).filter(([value]) => value !== undefined);
  at("curve-text").textContent =
    `${metric.label}, frame ${frame}: ` + texts.map(([value, name]) => `${name} ${shown(value, metric)}`).join(", ");
  box.onpointermove = (event) => {
    const { left: from, width: across } = box.getBoundingClientRect();
    const position = ((event.clientX - from) / across) * width;
    seek(Math.round(((position - left) / (right - left)) * Math.max(length - 1, 1)));
  };
}

// One video holds input, reconstruction and difference side by side; each canvas shows a third of it.
const player = document.createElement("video");
player.muted = true;
player.loop = true;
player.playsInline = true;
const frames = () => data.videos[state.video]?.frames ?? 0;
const fps = () => data.videos[state.video]?.fps ?? 25;

function load() {
  const store = at(`player-${state.model}-${state.video}`);
  if (player.src) URL.revokeObjectURL(player.src);
  for (const id of ["stage", "transport"]) at(id).hidden = !store;
  at("no-player").hidden = Boolean(store);
  pause();
  if (!store) return player.removeAttribute("src");
  const bytes = Uint8Array.from(atob(store.textContent), (letter) => letter.charCodeAt(0));
  player.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  player.playbackRate = Number(at("speed").value);
  at("seek").max = Math.max(frames() - 1, 0);
}
function draw() {
  const width = Math.floor(player.videoWidth / 3);
  if (!width) return;
  const wipe = at("view").value === "wipe";
  ["input", "reconstruction", "difference"].forEach((id, third) => {
    const canvas = at(id);
    if (canvas.width !== width || canvas.height !== player.videoHeight) {
      [canvas.width, canvas.height] = [width, player.videoHeight];
    }
    canvas.closest("figure").hidden = wipe && third === 0;
    const paint = (part, until) =>
      until > 0 && canvas.getContext("2d").drawImage(player, part * width, 0, until, player.videoHeight, 0, 0, until, player.videoHeight);
    paint(third, width);
    if (wipe && third === 1) paint(0, Math.round((width * at("wipe").value) / 100));
  });
}
function tell() {
  at("seek").value = state.frame;
  at("frame").textContent = `frame ${state.frame} of ${frames()}`;
}
function seek(frame) {
  if (!frames()) return;
  state.frame = Math.min(Math.max(frame, 0), frames() - 1);
  // Seeking to the middle of a frame is safe from rounding to a neighbour.
  if (player.src) player.currentTime = (state.frame + 0.5) / fps();
  tell();
  curves();
}
function pause() {
  player.pause();
  at("play").textContent = "Play";
}
function toggle() {
  if (!player.src) return;
  if (!player.paused) return pause();
  at("play").textContent = "Pause";
  player.play().then(tick, pause);
}
function tick() {
  if (player.paused) return;
  draw();
  const frame = Math.min(Math.floor(player.currentTime * fps()), frames() - 1);
  if (frame !== state.frame) {
    state.frame = frame;
    tell();
    curves();
  }
  requestAnimationFrame(tick);
}
player.addEventListener("seeked", draw);
player.addEventListener("loadeddata", () => seek(Math.min(state.frame, frames() - 1)));

function choose(change) {
  const reload = "model" in change || "video" in change;
  Object.assign(state, change);
  if ("video" in change) state.frame = 0;
  at("model").value = state.model;
  at("metric").value = state.metric;
  videos();
  clip();
  if (reload) load();
  tell();
  curves();
  const row = at("videos").querySelector('[aria-selected="true"]');
  if ("video" in change && change.reveal) row?.scrollIntoView({ block: "nearest" });
}
function next(step) {
  const order = ordered();
  const position = order.indexOf(state.video) + step;
  if (position >= 0 && position < order.length) choose({ video: order[position] });
}
function view() {
  const zoom = Number(at("zoom").value);
  at("stage").classList.toggle("zoomed", zoom > 1);
  for (const id of ["input", "reconstruction", "difference"]) {
    at(id).style.width = zoom > 1 ? `${(zoom * player.videoWidth) / 3}px` : "";
  }
  at("wipe-label").hidden = at("view").value !== "wipe";
  draw();
}

const keys = {
  " ": toggle,
  ArrowLeft: () => { pause(); seek(state.frame - 1); },
  ArrowRight: () => { pause(); seek(state.frame + 1); },
  ArrowUp: () => next(-1),
  ArrowDown: () => next(1),
  m: () => choose({ metric: (state.metric + 1) % data.metrics.length }),
  w: () => choose({ order: "worst" }),
  b: () => choose({ order: "best" }),
  v: () => { at("view").value = at("view").value === "wipe" ? "beside" : "wipe"; view(); },
};
document.addEventListener("keydown", (event) => {
  // Fields and buttons keep their own keys.
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("select, input")) return;
  if (event.key === " " && event.target.closest?.("button")) return;
  const model = Number(event.key) - 1;
  const act = keys[event.key] ?? (data.models[model] && event.key.length === 1 ? () => choose({ model }) : undefined);
  if (!act) return;
  event.preventDefault();
  act();
});

at("title").textContent = data.title;
at("remarks").replaceChildren(...data.remarks.map((remark) => element("li", remark)));
for (const [name, value] of data.protocol) {
  const row = at("protocol").insertRow();
  row.append(element("th", name, { scope: "row" }), element("td", value));
}
at("model").append(...data.models.map((model, index) => element("option", model.name, { value: index })));
at("metric").append(...data.metrics.map((metric, index) => element("option", metric.label, { value: index })));
at("model").addEventListener("change", (event) => choose({ model: Number(event.target.value) }));
at("metric").addEventListener("change", (event) => choose({ metric: Number(event.target.value) }));
at("speed").addEventListener("change", (event) => { player.playbackRate = Number(event.target.value); });
for (const id of ["view", "zoom"]) at(id).addEventListener("change", view);
at("wipe").addEventListener("input", draw);
at("play").addEventListener("click", toggle);
at("back").addEventListener("click", keys.ArrowLeft);
at("forth").addEventListener("click", keys.ArrowRight);
at("seek").addEventListener("input", (event) => { pause(); seek(Number(event.target.value)); });
for (const order of ["worst", "best"]) at(order).addEventListener("click", () => choose({ order }));
window.addEventListener("resize", curves);
summary();
choose({ video: ordered()[0] ?? 0 });
view();
