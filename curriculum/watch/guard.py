"""Who may speak to the page's server: this machine's own page, and whoever has the token."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_POLICY_VIOLATION, _COOKIE = 1008, "wmc_token"


class Guard:
    """Refuses what does not come from the page itself.

    A page of another site can have a browser speak to this machine, but not name this machine as
    the host that it means (`Host`), nor hide where it is itself from (`Origin`).

    Args:
        app: what is guarded.
        host, port: where the server listens.
        token: asked for everywhere unless it listens on this machine alone.
    """

    def __init__(self, app: App, host: str, port: int, token: str) -> None:
        self._app, self._token = app, token
        self.alone = host in LOOPBACK
        names = LOOPBACK if self.alone else ()
        self._port, self._names = port, frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = self._refused(scope)
        if why:
            await _refuse(scope, send, why)
            return

        # What the page loads next has no token in its address.
        kept = () if self.alone else (self._cookie(),)

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS, *kept]}
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> str:
        headers = HTTPConnection(scope).headers
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.alone and not self._is_ours(f"//{host}"):
            return "this page is reached as 127.0.0.1 or localhost"
        if origin is not None and urlsplit(origin).netloc != host:
            return "a page of another site may not speak to this one"
        if not self.alone and not self.has_token(scope):
            return "the token that the terminal printed is missing: open the address printed there"
        return ""

    def _cookie(self) -> tuple[bytes, bytes]:
        words = f"{_COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        return b"set-cookie", words.encode()

    def _is_ours(self, address: str) -> bool:
        try:
            parts = urlsplit(address)
            return parts.hostname in self._names and parts.port == self._port
        except ValueError:
            return False

    def has_token(self, scope: Scope) -> bool:
        """Tells whether a request brings the token, as a header, a cookie or in its address."""
        asked = HTTPConnection(scope)
        given = (
            asked.headers.get("x-token", ""),
            asked.cookies.get(_COOKIE, ""),
            asked.query_params.get("token", ""),
        )
        return any(secrets.compare_digest(word.encode(), self._token.encode()) for word in given)


async def _refuse(scope: Scope, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": why})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})
