// An agent on stage, in reality and in its dream.
import { number } from "/static/run.js";

const id = (name) => document.getElementById(name);
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", " ": "fire",
  a: "left", d: "right", w: "up", s: "down" };
const EYE = [["seen", "what is shown"], ["drawn", "what V keeps"], ["missed", "where it errs"]];
const GUESSES = [["guess 1", ""], ["guess 2", ""], ["guess 3", ""]];

function canvasOf(box, name, caption) {
  const known = box.querySelector(`[data-picture="${name}"]`);
  if (known) return known;
  const figure = document.createElement("figure"), canvas = document.createElement("canvas");
  canvas.dataset.picture = name;
  const words = document.createElement("figcaption");
  words.textContent = caption;
  figure.append(canvas, words);
  box.append(figure);
  return canvas;
}

function paint(canvas, { width, height, pixels }) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const image = new ImageData(width, height), out = image.data;
  for (let from = 0, to = 0; from < pixels.length; ) {
    out[to++] = pixels[from++];
    out[to++] = pixels[from++];
    out[to++] = pixels[from++];
    out[to++] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

export function unpack(data) {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  let at = 4 + length;
  const pictures = new Map();
  for (const { name, width, height } of header.pictures) {
    pictures.set(name, { width, height, pixels: new Uint8Array(data, at, 3 * width * height) });
    at += 3 * width * height;
  }
  return { ...header, pictures };
}

function wishes(wish, names) {
  const box = id("wishes");
  if (box.childElementCount !== wish.shares.length) {
    box.replaceChildren(...wish.shares.map((_, n) => {
      const row = document.createElement("div"), words = document.createElement("span");
      const bar = document.createElement("span"), value = document.createElement("span");
      words.textContent = names[n] || `number ${n + 1}`;
      bar.className = "bar";
      bar.append(document.createElement("i"));
      row.append(words, bar, value);
      return row;
    }));
  }
  wish.shares.forEach((share, n) => {
    const row = box.children[n];
    row.querySelector("i").style.width = `${100 * (wish.likely ? share : (share + 1) / 2)}%`;
    row.lastChild.textContent = number(share, 2);
    row.classList.toggle("taken", wish.likely && wish.action === n);
  });
}

class Play {
  constructor(name, say) {
    this.name = name;
    this.say = say;
    this.held = new Set();
    this.hello = null;
    this.facts = {};
    this.frames = [];
    this.gone = false;
    this.controller = new AbortController();
    id("play").hidden = false;
    for (const box of ["eye", "guesses", "wishes", "z"]) id(box).replaceChildren();
    id("explain").textContent = "";
    this.listen();
    this.connect();
  }

  connect() {
    const seed = Math.floor(Math.random() * 1e6);
    this.socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/live/play/${encodeURIComponent(this.name)}?seed=${seed}`);
    this.socket.binaryType = "arraybuffer";
    this.say("opening the agent…");
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.told(JSON.parse(data)) : this.show(unpack(data)));
    this.socket.onclose = () => {
      if (!this.gone && !this.failed) this.say("the session is over: choose its tab again to begin another", true);
    };
  }

  told(message) {
    if (message.error) {
      this.failed = true;
      this.say(message.error, true);
      return;
    }
    this.hello = message;
    this.say("");
    id("explain").textContent = `${message.env_id}. The agent first sees, then remembers, then acts. ` +
      `Let it play, or take over: ${message.keys}. Then let it fall asleep, and play inside its dream.`;
    id("latents").textContent = message.latents;
    id("features").textContent = message.features.join(", ");
    this.sliders(message.latents);
  }

  send(wish) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(wish));
  }

  show({ pictures, facts, wish }) {
    this.facts = facts;
    for (const place of ["real", "dream"]) {
      const picture = pictures.get(place);
      id(`${place}-box`).hidden = !picture;
      if (picture) paint(id(place), picture);
    }
    for (const [box, names] of [["eye", EYE], ["guesses", GUESSES]]) {
      for (const [name, caption] of names) {
        if (pictures.has(name)) paint(canvasOf(id(box), name, caption), pictures.get(name));
      }
      id(box).hidden = !names.some(([name]) => pictures.has(name));
    }
    const over = facts.over ? " · over" : "";
    const now = performance.now();
    this.frames = [...this.frames.filter((t) => now - t < 2000), now];
    const rate = facts.paused || facts.over ? "" : ` · ${number((this.frames.length - 1) / Math.max((now - this.frames[0]) / 1000, 0.1), 0)} steps/s`;
    id("real-facts").textContent = `score ${number(facts.score)} · step ${facts.step}${facts.place === "dream" ? "" : over + rate}`;
    id("dream-facts").textContent = facts.dream_step === null ? "" :
      `score ${number(facts.dream_score)} · step ${facts.dream_step}${facts.dream_over ? " · M says: over" : ""}${facts.place === "dream" ? rate : ""}`;
    id("parted").textContent = facts.place !== "both" ? "" : facts.parted === null
      ? "The dream follows the same actions. So far it is with reality."
      : `The dream left reality at its step ${facts.parted}: since then it is further away than a picture that stands still.`;
    if (typeof facts.surprise === "number") {
      id("surprise").value = facts.surprise;
      id("surprise-is").textContent = `${number(facts.surprise, 2)} × what usually changes`;
    } else {
      id("surprise").value = 0;
      id("surprise-is").textContent = "none: nothing comes but what M says";
    }
    wishes(wish, this.hello ? this.hello.names : []);
    this.press("place", facts.place);
    this.press("driver", facts.driver);
    document.body.classList.toggle("you", facts.driver === "you");
    id("pause").textContent = facts.paused ? "Go on" : "Pause";
    id("back").disabled = !facts.back;
    id("eye-box").hidden = facts.place === "dream";
    this.follow(facts);
  }

  press(choice, value) {
    for (const button of document.querySelectorAll(`[data-choice="${choice}"] button`)) {
      button.setAttribute("aria-pressed", String(button.dataset.value === value));
    }
  }

  sliders(count) {
    id("z").replaceChildren(...Array.from({ length: count }, (_, index) => {
      const slider = document.createElement("input");
      Object.assign(slider, { type: "range", min: -4, max: 4, step: 0.05, value: 0 });
      slider.setAttribute("aria-label", `z ${index + 1}`);
      slider.addEventListener("input", () => this.send({ do: "change", index, value: Number(slider.value) }), this.until());
      return slider;
    }));
  }

  follow(facts) {
    const dreaming = facts.dream_step !== null;
    id("z-hint").textContent = dreaming ? "Change them, and see what M makes of it." : "In a dream you can change them and see what M makes of it.";
    [...id("z").children].forEach((slider, n) => {
      slider.disabled = !dreaming;
      if (document.activeElement !== slider && n < facts.z.length) slider.value = facts.z[n];
    });
  }

  until() {
    return { signal: this.controller.signal };
  }

  hold(key, down) {
    const before = this.held.size;
    if (down) this.held.add(key);
    else this.held.delete(key);
    if (this.held.size !== before) this.send({ do: "keys", keys: [...this.held] });
  }

  listen() {
    const on = (target, kind, act) => target.addEventListener(kind, act, this.until());
    for (const button of document.querySelectorAll("[data-choice] button")) {
      const choice = button.parentElement.dataset.choice;
      on(button, "click", () => this.send({ do: choice, [choice]: button.dataset.value }));
    }
    on(id("pause"), "click", () => this.send({ do: "pause", on: !this.facts.paused }));
    on(id("step"), "click", () => this.send({ do: "step" }));
    on(id("back"), "click", () => this.send({ do: "back", value: 30 }));
    on(id("swap"), "click", () => this.send({ do: "swap" }));
    on(id("again"), "click", () => this.send({ do: "begin", value: Math.floor(Math.random() * 1e6) }));
    on(id("looking"), "change", () => this.send({ do: "looking", on: id("looking").checked }));
    on(id("speed"), "input", () => {
      const factor = 2 ** Number(id("speed").value);
      id("speed-is").textContent = `${factor.toFixed(factor < 1 ? 2 : 0)}×`;
      this.send({ do: "speed", value: factor });
    });
    on(id("warm"), "input", () => {
      id("warm-is").textContent = id("warm").value;
      this.send({ do: "warm", value: Number(id("warm").value) });
    });
    on(window, "keydown", (event) => this.key(event, true));
    on(window, "keyup", (event) => this.key(event, false));
    on(window, "blur", () => {
      this.held.clear();
      this.send({ do: "keys", keys: [] });
    });
    for (const button of document.querySelectorAll("#pad button")) {
      on(button, "pointerdown", (event) => {
        event.preventDefault();
        this.hold(button.dataset.key, true);
      });
      for (const kind of ["pointerup", "pointerleave", "pointercancel"]) on(button, kind, () => this.hold(button.dataset.key, false));
    }
  }

  key(event, down) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.type === "range") return;
    const key = KEYS[event.key] || (/^[0-9]$/.test(event.key) ? event.key : null);
    if (key && (this.facts.driver === "you" || key !== "fire")) {
      event.preventDefault();
      if (!event.repeat) this.hold(key, down);
      return;
    }
    if (!down) return;
    const act = { p: { do: "pause", on: !this.facts.paused }, ".": { do: "step" }, Backspace: { do: "back", value: 30 } }[event.key];
    if (event.key === "Enter" && event.target.tagName !== "BUTTON") this.send({ do: "swap" });
    else if (act) {
      event.preventDefault();
      this.send(act);
    }
  }

  close() {
    this.gone = true;
    this.controller.abort();
    this.socket.close();
    document.body.classList.remove("you");
    id("play").hidden = true;
  }
}

export function openPlay(name, say) {
  const play = new Play(name, say);
  return () => play.close();
}
