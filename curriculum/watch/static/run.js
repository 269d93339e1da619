// One run as it goes on.
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#7a8fa6", "#4aa3a8", "#9b8bd0", "#c98bb0", "#d9a03f", "#7fb069"];
const id = (name) => document.getElementById(name);

function element(name, more = {}, ...inner) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(more)) {
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...inner);
  return made;
}

export const number = (value, digits = 1) =>
  typeof value === "number" && Number.isFinite(value) ? value.toFixed(digits) : "–";

export function duration(seconds) {
  if (typeof seconds !== "number") return "–";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

function curve(told, target) {
  const svg = shape("svg", { class: "curve", viewBox: "0 0 320 140", role: "img" });
  const { checks = [], training = [] } = told || {};
  const points = [...checks, ...training];
  if (!points.length) return element("p", { class: "soft" }, "no score of the real environment yet");
  const last = Math.max(...points.map((p) => p[0]), 1);
  const scores = [...points.map((p) => p[1]), target];
  const low = Math.min(...scores), span = Math.max(...scores) - low || 1;
  const at = (p) => [34 + (280 * p[0]) / last, 122 - (112 * (p[1] - low)) / span];
  const path = (list) => list.map((p, n) => `${n ? "L" : "M"}${at(p).map((v) => v.toFixed(1)).join(" ")}`).join("");
  const y = at([0, target])[1];
  svg.append(shape("line", { class: "target", x1: 34, x2: 314, y1: y, y2: y }));
  svg.append(shape("path", { class: "train", d: path(training) }));
  svg.append(shape("path", { class: "check", d: path(checks) }));
  for (const p of checks) {
    const [cx, cy] = at(p);
    svg.append(shape("circle", { cx, cy, r: 2.6 }));
  }
  for (const [x, yy, text, anchor] of [[30, 14, number(low + span, 0), "end"], [30, 124, number(low, 0), "end"],
    [314, 136, `${Math.round(last / 1000)}k steps`, "end"], [314, y - 3, `target ${target}`, "end"]]) {
    const label = shape("text", { x, y: yy, "text-anchor": anchor });
    label.textContent = text;
    svg.append(label);
  }
  const title = shape("title", {});
  title.textContent = `score against steps; target ${target}`;
  svg.prepend(title);
  return svg;
}

function card(task, stages) {
  const verdict = task.verdict === "passed" ? "passed" : task.verdict ? "missed" : "soft";
  const state = task.verdict || (task.scored_by ? `${task.scored_by} so far` : "not yet");
  const bars = stages.map((stage) => element("span", { class: task.stages[stage] || "", title: `${stage}: ${task.stages[stage] || "to do"}` }));
  const fill = element("div", { class: "fill" });
  fill.style.width = `${100 * (task.share || 0)}%`;
  return element("div", { class: "card" },
    element("header", {}, element("h2", {}, task.task), element("span", { class: "soft" }, task.mode || "")),
    element("p", {}, element("span", { class: `score ${verdict}` }, number(task.score)),
      ` of ${number(task.target)} · `, element("span", { class: verdict }, state)),
    element("div", { class: "track" }, fill), element("div", { class: "stages" }, ...bars), curve(task.curve, task.target));
}

function times(told) {
  const all = Object.values(told).reduce((a, b) => a + b, 0);
  const box = id("times");
  if (!all) return box.replaceChildren(element("p", { class: "soft" }, "no stage is done yet"));
  const bar = element("div", { class: "shares" }), list = element("ul");
  Object.entries(told).forEach(([stage, seconds], n) => {
    const part = element("span", { title: `${stage}: ${duration(seconds)}` });
    part.style.width = `${(100 * seconds) / all}%`;
    const dot = element("i");
    part.style.background = dot.style.background = COLOURS[n % COLOURS.length];
    bar.append(part);
    list.append(element("li", {}, dot, `${stage} ${duration(seconds)}`));
  });
  box.replaceChildren(bar, list);
}

function told(snapshot) {
  const lists = [];
  for (const [title, texts] of [["Stands in for something better", snapshot.fallbacks], ["What happened", snapshot.notices]]) {
    if (texts.length) lists.push(element("h2", {}, title), element("ul", {}, ...texts.map((text) => element("li", {}, text))));
  }
  id("told").replaceChildren(...lists);
}

let shownPictures = "";
function pictures(name, names) {
  const key = JSON.stringify([name, names]);
  if (key === shownPictures) return;
  shownPictures = key;
  id("pictures").replaceChildren(...names.map((file) => element("figure", {},
    element("img", { src: `/media/${encodeURIComponent(name)}/${encodeURIComponent(file)}`, loading: "lazy", alt: file }),
    element("figcaption", { class: "soft" }, file))));
}

function show(snapshot) {
  id("run-name").textContent = `${snapshot.name} · seed ${snapshot.seed}`;
  id("run-state").textContent = snapshot.running ? `goes on, on ${snapshot.machine}` : snapshot.ending || "nobody works in it";
  const box = id("progress"), stage = snapshot.stage;
  box.hidden = !stage;
  if (stage) {
    box.querySelector(".fill").style.width = `${stage.total ? (100 * stage.done) / stage.total : 0}%`;
    const facts = Object.entries(stage.facts).map(([k, v]) => `${k} ${number(v, 2)}`).join(" · ");
    const rate = snapshot.rate ? ` · ${number(snapshot.rate, 1)}/s · ${duration(snapshot.remaining_s)} to go` : "";
    box.querySelector("p").textContent = `${stage.task}, ${stage.stage}: ${stage.done} of ${stage.total || "?"} ${stage.unit}${rate}${facts ? ` · ${facts}` : ""}`;
  }
  id("tasks").replaceChildren(...snapshot.tasks.map((task) => card(task, snapshot.stages)));
  told(snapshot);
  times(snapshot.times);
  pictures(snapshot.name, snapshot.pictures);
}

export function showRun(name, token, say) {
  const main = id("run");
  main.hidden = false;
  id("run-buttons").hidden = !token;
  id("run-answer").textContent = "";
  let gone = false, socket, wait = 500;
  const order = async (event) => {
    const what = event.target.dataset.run;
    if (!what) return;
    const answer = await fetch(`/api/runs/${encodeURIComponent(name)}/${what}`, { method: "POST", headers: { "x-token": token } });
    const { done, error } = await answer.json();
    id("run-answer").textContent = done || error;
  };
  id("run-buttons").addEventListener("click", order);
  const connect = () => {
    if (gone) return;
    socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/live/runs/${encodeURIComponent(name)}`);
    socket.onmessage = ({ data }) => {
      wait = 500;
      say("");
      show(JSON.parse(data));
    };
    socket.onclose = () => {
      if (gone) return;
      say("the page's server is away; trying again", true);
      setTimeout(connect, (wait = Math.min(2 * wait, 8000)));
    };
  };
  connect();
  return () => {
    gone = true;
    main.hidden = true;
    id("run-buttons").removeEventListener("click", order);
    socket.close();
  };
}
