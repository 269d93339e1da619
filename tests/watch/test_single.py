"""A dream as one page: it dreams what Python dreams under the same noise, and asks for nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from curriculum.agent.agent import Agent  # noqa: E402
from curriculum.backends import full  # noqa: E402
from curriculum.errors import ConfigError  # noqa: E402
from curriculum.watch import single  # noqa: E402
from curriculum.watch.single import write_page  # noqa: E402
from models.mdnrnn import MDNRNN  # noqa: E402
from models.networks.mixture import Mixture  # noqa: E402
from tests.agents import TASKS, agent_in  # noqa: E402
from tests.cli.conftest import commands_in  # noqa: E402
from tests.patience import HANG_S  # noqa: E402
from tests.theatre.test_session import agent_of as numpy_agent_of  # noqa: E402

pytestmark = pytest.mark.torch
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="needs chromium")
STEPS = 15
WARM = 1.3


def agent_of(name: str, *, batch_norm: bool = False, seed: int = 0) -> Agent:
    """A torch agent that has seen a little of the simulation, all of its weights random."""
    task = TASKS[name]
    vision = replace(task.vae, model=replace(task.vae.model, batch_norm=batch_norm))
    task = replace(task, vae=vision)
    agent = agent_in(full.build({"cma": "ok"}, "cpu"), task, steps=4, seed=seed)
    rng = np.random.default_rng(seed)
    memory = agent.world.memory.state()
    heads = memory["weight.heads.weight"]
    # Heads as they are made say the same of everything.
    memory["weight.heads.weight"] = 0.05 * rng.standard_normal(heads.shape).astype(np.float32)
    agent.world.memory.load_state(memory)
    return agent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def opened(browser: Any, path: Path) -> tuple[Any, list[str]]:
    """The page, opened with no network, and what goes wrong in it."""
    wrong: list[str] = []
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.set_default_timeout(1000 * HANG_S)
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda r: r.url.startswith(("file:", "data:")) or wrong.append(r.url))
    tab.goto(path.as_uri())
    return tab, wrong


DREAMT = """(noise) => {
  const dream = new Dream(TOLD, Dream.decode(WEIGHTS));
  dream.begin(1, 1);
  const shown = (d) => Array.from(d.values || d.state);
  const told = {first: shown(dream.draw()), steps: []};
  for (const one of noise) {
    const action = dream.act();
    const outputs = Array.from(dream.outputs());
    dream.step(action, WARM, one);
    told.steps.push({z: Array.from(dream.z), h: Array.from(dream.h), reward: dream.reward,
                     ending: dream.ending, action, outputs, shown: shown(dream.draw())});
  }
  return told;
}""".replace("WARM", str(WARM))


def told_in(page: bytes) -> dict[str, Any]:
    text = page.decode().split("const TOLD = ", 1)[1].split(";\nconst WEIGHTS", 1)[0]
    return json.loads(text)


@needs_browser
@pytest.mark.parametrize(
    ("name", "batch_norm"),
    [
        ("pong", False),
        ("pong", True),
        ("lunarlander", False),
        ("breakout", False),
        ("carracing", False),
    ],
)
def test_it_dreams_what_python_dreams(
    name: str, batch_norm: bool, browser: Any, tmp_path: Path
) -> None:
    agent = agent_of(name, batch_norm=batch_norm)
    page = write_page(agent, "a dream", 1.0)
    path = tmp_path / "dream.html"
    path.write_bytes(page)
    rng = np.random.default_rng(3)
    size = agent.world.latent_size
    noise = [
        {
            "uniforms": rng.random(size).tolist(),
            "normals": rng.standard_normal(size).tolist(),
            "end": 1.0,
        }
        for _ in range(STEPS)
    ]
    tab, wrong = opened(browser, path)
    told = tab.evaluate(DREAMT, noise)
    assert not wrong
    tab.context.close()

    start = told_in(page)["starts"][1]
    z, h, c = (np.float32(start[key])[None] for key in ("z", "h", "c"))
    assert np.abs(h).max() > 0 or not agent.world.hidden_size
    memory = agent.world.memory
    assert isinstance(memory, MDNRNN)
    module = memory.exported()
    shown = np.asarray(told["first"])
    assert np.abs(shown - drawn(agent, z)).max() < near(agent)
    for one, step in zip(noise, told["steps"], strict=True):
        action = np.asarray([step["action"]])
        encoded = agent.spec.action.encode(action)
        with torch.inference_mode():
            log_weights, means, log_stds, reward, ending, h, c = (
                part.numpy() for part in module(*map(torch.tensor, (z, encoded, h, c)))
            )
            mixture = Mixture(*map(torch.tensor, (log_weights, means, log_stds)))
            sampled = mixture.sample(
                WARM, torch.tensor([one["uniforms"]]), torch.tensor([one["normals"]])
            )
        z = sampled.numpy().astype(np.float32)
        scale = max(1.0, float(np.abs(z).max()))
        np.testing.assert_allclose(step["z"], z[0], atol=2e-3 * scale)
        np.testing.assert_allclose(step["h"], h[0], atol=2e-3)
        assert step["reward"] == pytest.approx(float(reward[0]), abs=2e-3)
        assert step["ending"] == pytest.approx(float(ending[0]), abs=2e-3)
        assert np.abs(np.asarray(step["shown"]) - drawn(agent, z)).max() < near(agent)


def drawn(agent: Agent, z: np.ndarray) -> np.ndarray:
    """What V makes of z, in the page's order and units."""
    vision = agent.world.vision
    if agent.spec.observation != "pixels":
        return vision.decode(z)[0]
    with torch.inference_mode():
        return vision.exported()[1](torch.from_numpy(z))[0].numpy().reshape(-1)  # type: ignore[attr-defined]


def near(agent: Agent) -> float:
    return 0.01 if agent.spec.observation == "pixels" else 0.05


SHOWN_BEFORE_AND_AFTER_A_STEP = """() => {
  dream.begin(0, 1);
  show();
  const before = id("dream").toDataURL();
  dream.step(dream.act(), 1);
  show();
  return id("dream").toDataURL() !== before;
}"""
"""In one go: a dream of random weights may be over, or out of sight, a moment later."""


@needs_browser
@pytest.mark.parametrize("name", ["pong", "lunarlander"])
def test_it_is_played_without_a_server_or_a_network(
    name: str, browser: Any, tmp_path: Path
) -> None:
    path = tmp_path / "dream.html"
    path.write_bytes(write_page(agent_of(name), "</script><b>a dream", 1.0))
    tab, wrong = opened(browser, path)
    assert tab.inner_text("h1") == "</script><b>a dream"
    step = "Number(document.getElementById('facts').innerText.match(/step (\\d+)/)[1])"
    while tab.evaluate(step) < 3 and "over" not in tab.inner_text("#facts"):
        tab.wait_for_timeout(50)
    assert tab.evaluate(SHOWN_BEFORE_AND_AFTER_A_STEP)
    tab.click("#driver")
    tab.keyboard.down("ArrowUp")
    tab.keyboard.up("ArrowUp")
    tab.click("#pause")
    tab.click("#again")
    assert tab.evaluate(step) <= 1
    assert not wrong
    tab.context.close()


def test_what_acts_reads_the_same(tmp_path: Path) -> None:
    agent = agent_of("pong")
    told = told_in(write_page(agent, "x", 1.0))
    assert told["features"] == list(agent.features) and len(told["starts"]) == single.STARTS
    assert len(told["starts"][0]["z"]) == agent.world.latent_size
    assert told["names"][2] == "up" and [["up"], 2] in told["keys"]


def test_other_kinds_of_dreams_and_large_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="only dreams of the MDN-RNN"):
        write_page(numpy_agent_of("pong"), "x", 1.0)
    monkeypatch.setattr(single, "MOST_BYTES", 1000)
    with pytest.raises(ConfigError, match="1,000 at most"):
        write_page(agent_of("lunarlander"), "x", 1.0)


def test_the_command_writes_it(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium")
    pytest.importorskip("ale_py")
    run = commands_in(tmp_path)
    done = run("export", "pong", "--web", "--to", "pages/pong.html")
    assert done.code == 0, done.err
    page = (tmp_path / "pages" / "pong.html").read_bytes()
    assert len(page) < 10_000_000 and b"The dream of pong" in page
    for words, sentence in (
        (("pong", "--web", "--to", "pong"), "ends in .html"),
        (("nobody", "--web", "--to", "x.html"), "there is no agent 'nobody'"),
    ):
        done = run("export", *words)
        assert done.code == 2 and sentence in done.err, done.err
