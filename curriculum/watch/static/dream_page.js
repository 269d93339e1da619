"use strict";
const dream = new Dream(TOLD, Dream.decode(WEIGHTS));
const id = (name) => document.getElementById(name);
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", " ": "fire", a: "left", d: "right", w: "up", s: "down" };
const held = new Set();
let you = false, paused = false, temperature = TOLD.temperature, action = null;

function chosen() {
  const keys = [...held].sort(), fits = TOLD.keys.filter(([names]) => names.every((name) => held.has(name)));
  const exact = TOLD.keys.find(([names]) => names.join() === keys.join());
  return (exact || fits.reduce((a, b) => (b[0].length > a[0].length ? b : a)))[1];
}

function paint() {
  const canvas = id("dream"), drawn = dream.draw();
  if (drawn.state) return paintState(canvas, drawn.state);
  const { width, height, channels, values } = drawn, last = channels - channels / TOLD.vision.frames;
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let n = 0; n < width * height; n++) {
    for (let c = 0; c < 3; c++) image.data[4 * n + c] = 255 * values[n * channels + (channels - last >= 3 ? last + c : last)];
    image.data[4 * n + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function paintState(canvas, state) {
  canvas.width = canvas.height = 256;
  const to = canvas.getContext("2d");
  to.fillStyle = "#181820";
  to.fillRect(0, 0, 256, 256);
  if (TOLD.vision.drawn !== "lander") {
    to.fillStyle = "#fab43c";
    state.forEach((v, n) => to.fillRect((n * 256) / state.length + 1, 128, 256 / state.length - 2, -Math.tanh(v) * 120));
    return;
  }
  const [x, y, , , angle, , ...legs] = state, ground = 256 * 0.85;
  to.strokeStyle = "#e1e1e1";
  to.lineWidth = 2;
  to.beginPath();
  to.moveTo(0, ground);
  to.lineTo(256, ground);
  to.stroke();
  to.strokeStyle = "#fab43c";
  for (const flag of [-0.2, 0.2]) {
    to.beginPath();
    to.moveTo((flag + 1) * 128, ground);
    to.lineTo((flag + 1) * 128, ground - 14);
    to.stroke();
  }
  to.save();
  to.translate((x + 1) * 128, ground - 10 - y * 256 * 0.55);
  to.rotate(-angle);
  to.fillStyle = "#8066e6";
  to.beginPath();
  for (const [px, py] of [[-9, 7], [-11, -1], [-7, -9], [7, -9], [11, -1], [9, 7]]) to.lineTo(px, py);
  to.fill();
  [-1, 1].forEach((side, n) => {
    to.strokeStyle = legs[n] > 0.5 ? "#fab43c" : "#e1e1e1";
    to.beginPath();
    to.moveTo(8 * side, 6);
    to.lineTo(13 * side, 12);
    to.stroke();
  });
  to.restore();
}

function show() {
  paint();
  id("facts").textContent = `step ${dream.steps} · score as M dreams it ${dream.score.toFixed(1)}${dream.over ? " · M says: over" : ""}`;
  if (TOLD.actions.kind === "discrete") {
    dream.shares().forEach((share, n) => {
      const row = id("wishes").children[n];
      row.children[1].firstChild.style.width = `${100 * share}%`;
      row.lastChild.textContent = share.toFixed(2);
    });
  }
  [...id("z").children].forEach((slider, n) => {
    if (document.activeElement !== slider) slider.value = dream.z[n];
  });
}

function turn() {
  if (!paused && !dream.over) {
    action = you ? chosen() : dream.act();
    dream.step(action, temperature);
  }
  show();
}

function begin() {
  dream.begin(Math.floor(Math.random() * TOLD.starts.length), Math.floor(Math.random() * 2 ** 31));
  show();
}

function set(element, text, on) {
  element.textContent = text;
  element.setAttribute("aria-pressed", String(on));
}

id("words").textContent = `Take over with the keys: ${TOLD.words}`;
id("wishes").append(...(TOLD.actions.kind === "discrete" ? TOLD.names : []).map((name) => {
  const row = document.createElement("div"), words = document.createElement("span"), bar = document.createElement("span");
  words.textContent = name;
  bar.append(document.createElement("i"));
  row.append(words, bar, document.createElement("span"));
  return row;
}));
id("z").append(...Array.from(dream.z, (_, n) => {
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: -4, max: 4, step: 0.05 });
  slider.setAttribute("aria-label", `z ${n + 1}`);
  slider.addEventListener("input", () => {
    dream.z[n] = Number(slider.value);
    show();
  });
  return slider;
}));
id("driver").addEventListener("click", () => {
  you = !you;
  document.body.classList.toggle("you", you);
  set(id("driver"), you ? "Let the agent act" : "Take over", you);
});
id("pause").addEventListener("click", () => {
  paused = !paused;
  set(id("pause"), paused ? "Go on" : "Pause", paused);
});
id("again").addEventListener("click", begin);
id("warm").value = temperature;
const warm = () => {
  temperature = Number(id("warm").value);
  id("warm-is").textContent = temperature.toFixed(2);
};
id("warm").addEventListener("input", warm);
warm();
const hold = (name, down) => (down ? held.add(name) : held.delete(name));
for (const [kind, down] of [["keydown", true], ["keyup", false]]) {
  addEventListener(kind, (event) => {
    const key = KEYS[event.key] || (/^[0-9]$/.test(event.key) ? event.key : "");
    if (!key || !you || event.target.type === "range") return;
    event.preventDefault();
    hold(key, down);
  });
}
addEventListener("blur", () => held.clear());
for (const button of document.querySelectorAll("#pad button")) {
  button.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    hold(button.dataset.key, true);
  });
  for (const kind of ["pointerup", "pointerleave", "pointercancel"]) button.addEventListener(kind, () => hold(button.dataset.key, false));
}
show();
setInterval(turn, Math.max(1000 * TOLD.step_seconds, 16));
