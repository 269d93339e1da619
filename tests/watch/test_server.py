"""The page's server: what it shows, and whom it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
connecting = pytest.importorskip("websockets.sync.client")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from tests.cli.conftest import ROOT, TINY, commands_in  # noqa: E402
from tests.patience import HANG_S, eventually  # noqa: E402
from tests.watch.conftest import Page, served  # noqa: E402


def fetch(
    page: Page, path: str, *, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(page.address + path, method=method, headers=names)
    try:
        with urllib.request.urlopen(request, timeout=HANG_S) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as e:
        return e.code, e.read(), dict(e.headers)


def snapshot(page: Page, run: str = "tiny") -> dict:
    with connecting.connect(f"{page.socket}/live/runs/{run}", max_size=None) as socket:
        return json.loads(socket.recv(timeout=HANG_S))


def test_the_page_and_all_that_it_loads_come_from_here(page: Page) -> None:
    status, text, headers = fetch(page, "/")
    assert status == 200 and b"World Models" in text
    assert "default-src 'none'" in headers["content-security-policy"]
    for name in ("page.css", "page.js", "run.js", "play.js"):
        status, code, _ = fetch(page, f"/static/{name}")
        assert status == 200 and b"http://" not in code.replace(b"http://www.w3.org", b"")
        assert b"https://" not in code and b"innerHTML" not in code
    told = json.loads(fetch(page, "/api/site")[1])
    assert told == {"runs": ["tiny"], "agents": ["tiny: lunarlander", "tiny: pong"]}


def test_a_run_is_told_whole(page: Page) -> None:
    told = snapshot(page)
    assert (told["name"], told["seed"], told["ending"]) == ("tiny", 3, "finished")
    tasks = {task["task"]: task for task in told["tasks"]}
    assert tasks["pong"]["mode"] == "SIMULATION" and tasks["pong"]["verdict"] == "missed"
    assert set(tasks["lunarlander"]["stages"].values()) == {"done"}
    assert sum(told["times"].values()) > 0 and not told["running"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": "localhost:1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_pages_of_other_sites_are_refused(page: Page, headers: dict[str, str]) -> None:
    assert fetch(page, "/api/site", **headers)[0] in (400, 403)
    given = {k: v for k, v in headers.items() if k != "Host"}
    if given:
        address = f"{page.socket}/live/runs/tiny"
        with (
            pytest.raises(InvalidStatus),
            connecting.connect(address, additional_headers=given),
        ):
            pass


@pytest.mark.parametrize(
    "path",
    [
        "/media/tiny/..%2f..%2fevents.jsonl",
        "/media/tiny/../../events.jsonl",
        "/media/..%2ftiny/x.png",
        "/media/tiny/%2fetc%2fpasswd",
        "/static/..%2fserver.py",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/nothing",
    ],
)
def test_nothing_outside_is_served(page: Page, path: str) -> None:
    status, text, _ = fetch(page, path)
    assert status == 404 and b"root:" not in text and b"import" not in text


def test_links_out_of_a_run_are_not_followed(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    media = run / "media"
    media.mkdir(exist_ok=True)
    (media / "link.png").symlink_to(secret)
    (media / "real.png").write_bytes(b"a picture")
    with served(str(run), cwd=tmp_path) as page:
        assert fetch(page, "/media/tiny/real.png")[:2] == (200, b"a picture")
        assert fetch(page, "/media/tiny/link.png")[0] == 404
        assert "link.png" not in snapshot(page)["pictures"]
        (media / "real.png").unlink()
        media.rename(run / "elsewhere")
        (run / "media").symlink_to(tmp_path)
        assert fetch(page, "/media/tiny/secret.png")[0] == 404


def test_a_hostile_ledger_is_told_as_text(run: Path, tmp_path: Path) -> None:
    script = '<script>alert(1)</script>\x1b[2J\u202e"\\'
    event = {"t": 1.0, "event": "notice", "task": script, "text": script * 500}
    wrong = [
        {"t": "x", "event": "check", "task": "pong", "mode": "SIMULATION", "score": "1e999"},
        {"t": 2.0, "event": "stage_done", "task": 3, "stage": ["x"], "seconds": {}},
        {"t": 3.0, "event": "check", "task": "pong", "mode": "SIMULATION", "score": 1e999},
        {"t": 4.0, "event": "verdict", "task": script, "mode": script, "score": [1]},
    ]
    with (run / "events.jsonl").open("a", encoding="utf-8") as file:
        for one in (event, *wrong):
            file.write(json.dumps(one) + "\n")
        file.write("{not json\n" + "[" * 5000 + "\n")
    (run / "now.json").write_text("[" * 5000, encoding="utf-8")
    with served(str(run), cwd=tmp_path) as page:
        told = snapshot(page)
        notices = [text for text in told["notices"] if "<script>" in text]
        assert notices and max(map(len, notices)) <= 500
        assert not any("\x1b" in text or "\u202e" in text for text in notices)
        assert fetch(page, "/api/site")[0] == 200


def test_a_run_is_followed_while_it_goes_on_and_is_killed(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text(
        TINY.replace("generations: 2", "generations: 5000"), encoding="utf-8"
    )
    starting = [sys.executable, "-m", "curriculum", "run", "long.yaml", "--tasks", "lunarlander"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(starting, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
    run = tmp_path / "runs" / "tiny"
    try:
        assert eventually(lambda: (run / "run.json").exists() and (run / "events.jsonl").exists())
        with served(str(run), cwd=tmp_path) as page:

            def stage() -> str | None:
                told = snapshot(page)["stage"]
                return told and told["stage"]

            assert eventually(lambda: stage() == "controller")
            first = snapshot(page)["stage"]
            assert first["total"] == 5000 and first["unit"] == "generations"
            assert eventually(lambda: snapshot(page)["stage"]["done"] > first["done"])
            assert fetch(page, "/api/runs/tiny/stop", method="POST")[0] == 403
            assert fetch(page, "/api/runs/tiny/stop", method="POST", x_token="no")[0] == 403
            assert fetch(page, "/api/runs/other/stop", method="POST", x_token=page.token)[0] == 404
            assert fetch(page, "/api/runs/tiny/burn", method="POST", x_token=page.token)[0] == 404
            assert fetch(page, "/api/runs/tiny/stop", x_token=page.token)[0] == 405

            status, text, _ = fetch(
                page, "/api/runs/tiny/resume", method="POST", x_token=page.token
            )
            assert status == 409 and b"already" in text
            status, _, _ = fetch(page, "/api/runs/tiny/stop", method="POST", x_token=page.token)
            assert status == 200 and child.wait(HANG_S) == 143
            assert eventually(lambda: "go on with" in snapshot(page)["ending"])
            assert not snapshot(page)["running"]
            assert fetch(page, "/api/runs/tiny/stop", method="POST", x_token=page.token)[0] == 409

            status, text, _ = fetch(
                page, "/api/runs/tiny/resume", method="POST", x_token=page.token
            )
            assert status == 200
            pid = int(json.loads(text)["done"].split()[1])
            assert eventually(lambda: stage() == "controller")
            # Killed outright, it is seen to have stopped; the page goes on.
            holder = json.loads((run / "lock").read_text())["pid"]
            for one in {pid, holder}:
                os.kill(one, signal.SIGKILL)
            (run / "now.json").unlink(missing_ok=True)
            assert eventually(lambda: not snapshot(page)["running"])
    finally:
        child.kill()
        child.wait(HANG_S)


def test_a_ledger_that_was_cut_is_read_anew(run: Path, tmp_path: Path) -> None:
    ledger = run / "events.jsonl"
    whole = ledger.read_bytes()
    with (
        served(str(run), cwd=tmp_path) as page,
        connecting.connect(f"{page.socket}/live/runs/tiny", max_size=None) as socket,
    ):
        told = json.loads(socket.recv(timeout=HANG_S))
        assert all(task["verdict"] for task in told["tasks"][:2])
        lines = whole.splitlines(keepends=True)
        ledger.write_bytes(b"".join(line for line in lines if b'"verdict"' not in line))
        end = time.monotonic() + HANG_S
        while any(task["verdict"] for task in told["tasks"]):
            assert time.monotonic() < end
            told = json.loads(socket.recv(timeout=HANG_S))


def test_many_who_look_on_and_one_who_takes_nothing_harm_nobody(page: Page) -> None:
    sockets, refused = [], 0
    with ExitStack() as held:
        for _ in range(100):
            try:
                opening = connecting.connect(f"{page.socket}/live/runs/tiny", max_size=None)
                sockets.append(held.enter_context(opening))
            except InvalidStatus:
                refused += 1
        assert refused >= 30 and len(sockets) >= 60
        assert fetch(page, "/api/site")[0] == 200, "the page still answers"
        assert json.loads(sockets[-1].recv(timeout=HANG_S))["name"] == "tiny"
    # Their places are free again.
    assert eventually(lambda: all(snapshot(page)["name"] == "tiny" for _ in range(70)))


def test_what_a_page_says_is_bounded(page: Page) -> None:
    with connecting.connect(f"{page.socket}/live/runs/tiny", max_size=None) as socket:
        socket.recv(timeout=HANG_S)
        with pytest.raises(ConnectionClosed):
            socket.send("x" * 100_000)
            for _ in range(100):
                socket.recv(timeout=HANG_S)
    assert snapshot(page)["name"] == "tiny"


def test_bad_input_is_refused_in_a_sentence(run: Path, tmp_path: Path, page: Page) -> None:
    command = commands_in(tmp_path)
    for words, sentence in (
        ((), "there is nothing to watch"),
        (("no/run",), "no/run"),
        (("--pretrained", "nobody"), "there is no agent 'nobody'"),
        ((str(run), "--port", str(page.port)), "choose another --port"),
        ((str(run), "--host", "not an address"), "cannot listen on"),
    ):
        done = command("watch", *words)
        assert done.code == 2 and sentence in done.err and "Traceback" not in done.err, done.err
