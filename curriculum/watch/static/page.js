// The page of `watch`: runs as they go on, and agents to be played with. Nothing of a run is ever
// read as markup: texts become text nodes, numbers are checked, pictures are pixels.
import { showRun } from "/static/run.js";
import { openPlay } from "/static/play.js";

const token = new URLSearchParams(location.hash.slice(1) || location.search).get("token") || "";

const line = document.getElementById("line");
export function say(text, bad = false) {
  line.textContent = text;
  line.classList.toggle("bad", bad);
}

let leave = () => {};
function choose(button, open) {
  leave();
  for (const other of document.querySelectorAll("#tabs button")) {
    other.setAttribute("aria-selected", String(other === button));
  }
  leave = open();
}

function tab(text, open) {
  const button = document.createElement("button");
  button.textContent = text;
  button.setAttribute("role", "tab");
  button.addEventListener("click", () => choose(button, open));
  document.getElementById("tabs").append(button);
  return button;
}

const site = await (await fetch("/api/site")).json();
const tabs = [
  ...site.runs.map((name) => tab(`Run ${name}`, () => showRun(name, token, say))),
  ...site.agents.map((name) => tab(`Play ${name}`, () => openPlay(name, say))),
];
if (tabs.length) tabs[0].click();
else say("there is nothing to show", true);
