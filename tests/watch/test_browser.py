"""The page in a real browser: a run is looked at, an agent is played with, nothing goes wrong."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
playwright = pytest.importorskip("playwright.sync_api")

from tests.patience import HANG_S  # noqa: E402
from tests.watch.conftest import Page, served  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Tab:
    """A tab of the browser on a page, which remembers what went wrong and what was asked for."""

    def __init__(self, browser: Any, page: Page, **more: Any) -> None:
        self.tab = browser.new_page(**more)
        self.tab.set_default_timeout(1000 * HANG_S)
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", self._said)
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self._page = page
        self.tab.goto(f"{page.address}/#token={page.token}")

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def facts(self, name: str) -> str:
        return self.tab.inner_text(f"#{name}-facts")

    def wait(self, script: str) -> None:
        # `wait_for_function` would have the page evaluate text, which it refuses.
        end = time.monotonic() + HANG_S
        while not self.tab.evaluate(script):
            assert time.monotonic() < end, script
            self.tab.wait_for_timeout(50)

    def close(self) -> None:
        self.tab.close()
        assert not self.wrong
        foreign = [url for url in self.asked if not url.startswith((self._page.address, "data:"))]
        assert not foreign


def step(name: str) -> str:
    return (
        f"Number((document.getElementById('{name}-facts').innerText.match(/step (\\d+)/)||[])[1])"
    )


def test_a_run_is_looked_at(browser: Any, page: Page) -> None:
    for scheme, width in (("light", 1300), ("dark", 420)):
        tab = Tab(browser, page, color_scheme=scheme, viewport={"width": width, "height": 800})
        tab.wait("document.querySelectorAll('#tasks .card').length === 2")
        text = tab.tab.inner_text("#run")
        assert "finished" in text and "missed" in text and "SIMULATION" in text
        assert "seed 3" in text and "Where the time went" in text
        wide = tab.tab.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, "nothing is wider than the window"
        tab.close()


def test_what_a_run_says_is_no_markup(browser: Any, run: Path, tmp_path: Path) -> None:
    text = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    with (run / "events.jsonl").open("a", encoding="utf-8") as file:
        event = {"t": 1.0, "event": "notice", "task": text, "text": text}
        failed = {"t": 2.0, "event": "verdict", "task": text, "mode": text, "verdict": text}
        file.write(f"{json.dumps(event)}\n{json.dumps(failed)}\n")
    with served(str(run), cwd=tmp_path) as page:
        tab = Tab(browser, page)
        tab.wait("document.querySelectorAll('#tasks .card').length === 3")
        assert "onerror" in tab.tab.inner_text("#told")
        assert tab.tab.query_selector("#run script, #told img") is None
        assert tab.tab.title() == "World Models Curriculum"
        tab.close()


def test_an_agent_is_played_with(browser: Any, page: Page) -> None:
    tab = Tab(browser, page)
    tab.tab.get_by_role("tab", name="Play tiny: pong").click()
    tab.wait(f"{step('real')} > 5")
    assert tab.tab.inner_text("#latents") == "32" and "paddle" in tab.tab.inner_text("#explain")
    painted = "document.getElementById('real').getContext('2d').getImageData(0,0,64,64).data"
    assert tab.tab.evaluate(f"new Set({painted}).size > 2"), "there is a picture"

    tab.tab.get_by_role("button", name="You", exact=True).click()
    tab.tab.keyboard.down("ArrowUp")
    tab.wait("document.body.classList.contains('you')")
    tab.tab.keyboard.press("p")
    tab.wait("document.getElementById('pause').innerText === 'Go on'")
    tab.tab.keyboard.up("ArrowUp")
    before = tab.tab.evaluate(step("real"))
    tab.tab.get_by_role("button", name="Step", exact=True).click()
    tab.wait(f"{step('real')} === {before + 1}")
    tab.tab.get_by_role("button", name="◂◂ 30").click()
    tab.wait(f"{step('real')} === {max(before + 1 - 30, 0)}")

    tab.tab.get_by_role("button", name="Real ⇄ dream").click()
    tab.wait(f"{step('dream')} === 0")
    assert tab.tab.is_hidden("#real-box") and tab.tab.is_hidden("#eye-box")
    shown = "document.getElementById('dream').toDataURL()"
    picture = tab.tab.evaluate(shown)
    tab.tab.evaluate(
        "const one = document.querySelector('#z input'); one.value = 4;"
        "one.dispatchEvent(new Event('input'))"
    )
    tab.wait(f"{shown} !== {json.dumps(picture)}")
    tab.tab.get_by_role("button", name="Both").click()
    tab.tab.get_by_role("button", name="Go on").click()
    tab.wait(f"{step('real')} > {before}")
    assert "same actions" in tab.tab.inner_text("#parted") or "left" in tab.tab.inner_text(
        "#parted"
    )

    tab.tab.reload()
    tab.tab.get_by_role("tab", name="Run tiny").wait_for()
    other = Tab(browser, page)
    for one in (tab, other):
        one.tab.get_by_role("tab", name="Play tiny: lunarlander").click()
        one.wait(f"{step('real')} > 2")
    for one in (other, tab):
        one.close()


def test_a_server_that_goes_away_is_told_and_found_again(
    browser: Any, run: Path, tmp_path: Path
) -> None:
    with served(str(run), cwd=tmp_path) as page:
        tab = Tab(browser, page)
        tab.wait("document.querySelectorAll('#tasks .card').length === 2")
        page.process.terminate()
        page.process.wait(HANG_S)
        tab.wait("document.getElementById('line').innerText.includes('away')")
        with served(str(run), "--port", str(page.port), cwd=tmp_path):
            tab.wait("document.getElementById('line').innerText === ''")
        tab.tab.close()  # the failures of its attempts are in its console
