"""Whom the guard lets through where the page is served to other machines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("starlette")

from curriculum.watch.guard import Guard

TOKEN = "a-token"


def answer(guard: Guard, *, path: str = "/", query: str = "", **headers: str) -> int:
    """The status of a request's answer; 200 is that of what is guarded."""
    sent: list[Any] = []

    async def keep(message: Any) -> None:
        sent.append(message)

    names = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    scope = {
        "type": "http",
        "path": path,
        "query_string": query.encode(),
        "headers": list(names.items()),
    }
    asyncio.run(guard(scope, _nothing, keep))
    return sent[0]["status"]


async def _nothing() -> Any:
    return {}


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200})


def test_elsewhere_nothing_is_shown_without_the_token() -> None:
    guard = Guard(_app, "0.0.0.0", 80, TOKEN)
    here = {"host": "machine.example:80"}
    assert answer(guard, **here) == 403
    assert answer(guard, **here, query="token=wrong") == 403
    assert answer(guard, **here, query=f"token={TOKEN}") == 200
    assert answer(guard, **here, x_token=TOKEN) == 200
    assert answer(guard, **here, cookie=f"a=b; wmc_token={TOKEN}") == 200
    assert answer(guard, **here, cookie="wmc_token=") == 403
    assert answer(guard, **here, x_token=TOKEN, origin="http://evil.example") == 403
    assert answer(guard, **here, x_token=TOKEN, origin="http://machine.example:80") == 200


def test_what_a_page_loads_next_is_let_through_by_the_cookie_that_it_was_given() -> None:
    sent: list[Any] = []

    async def keep(message: Any) -> None:
        sent.append(message)

    guard = Guard(_app, "0.0.0.0", 80, TOKEN)
    scope = {"type": "http", "path": "/", "query_string": f"token={TOKEN}".encode(), "headers": []}
    asyncio.run(guard(scope, _nothing, keep))
    (cookie,) = (value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert answer(guard, path="/static/page.js", cookie=cookie.split(";")[0]) == 200
    refused = Guard(_app, "0.0.0.0", 80, TOKEN)
    asyncio.run(refused({**scope, "query_string": b""}, _nothing, keep))
    assert not any(name == b"set-cookie" for name, _ in sent[-2]["headers"])
    assert sent[-2]["status"] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_its_own_names_are_enough(host: str) -> None:
    guard = Guard(_app, host, 4000, TOKEN)
    for name in ("127.0.0.1:4000", "localhost:4000", "[::1]:4000"):
        assert answer(guard, host=name) == 200
        assert answer(guard, host=name, origin=f"http://{name}") == 200
    for name in ("127.0.0.1", "evil.example:4000", "[::1", "localhost:x", "", "127.0.0.1:4001"):
        assert answer(guard, host=name) == 403, name


def test_every_answer_says_what_a_page_may_load() -> None:
    sent: list[Any] = []

    async def keep(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/", "query_string": b"", "headers": [(b"host", b"x:1")]}
    asyncio.run(Guard(_app, "127.0.0.1", 1, TOKEN)(scope, _nothing, keep))
    assert any(name == b"content-security-policy" for name, _ in sent[0]["headers"])
