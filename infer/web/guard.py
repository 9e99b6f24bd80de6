"""Who may talk to the server.

A server on 127.0.0.1 can be reached by every program of this machine, and, through the user's
browser, by every web page: by a cross-site request, or by a name that is made to point to 127.0.0.1
("DNS rebinding"). One on another address can be reached by the whole network. So a request must
know a secret: a browser learns it from the link that is opened first and is given a cookie for it,
a program sends it in the header ``Authorization: Bearer``. Since browsers send a cookie unasked,
what comes without that header must name this server as its host, and not come from a page of
another origin.

References: OWASP, "Cross-Site Request Forgery Prevention Cheat Sheet"; RFC 6750 (bearer tokens);
RFC 6265bis, 5.2 (SameSite).
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Collection, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = ("GET", "HEAD")
SECRET_BYTES = 24
SHORTEST_SECRET = 24  # characters; what is shorter is never right, and no try
HTTP_PORT = 80  # the only one that browsers leave out of the host
WRONG_TRIES = 10  # different wrong secrets that an address may try
WAIT_SECONDS = 60  # that it is refused then
MOST_ADDRESSES = 10_000  # whose tries are remembered

# https://www.w3.org/TR/CSP3/: nothing but this server's own files, no inline code, no frames.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",  # the secret is in the address of the first page
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# The page goes on by a script and not by a redirect: what was opened from another site would come
# without a cookie that is for this site only, on a redirect as well.
_ENTRANCE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>imgsim-edge</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<script type="module" src="/static/enter.js"></script></head>
<body><main><h1>imgsim-edge</h1><p><a href="/">Show the photos</a></p></main></body></html>
"""


def new_secret() -> str:
    """Make the secret that opens a server."""
    return secrets.token_urlsafe(SECRET_BYTES)


@dataclass
class Tries:
    """Counts different wrong secrets by the address that they come from.

    A browser that asks many times with one cookie of a server that has stopped is no guesser, so
    the same wrong secret counts once.
    """

    _wrong: OrderedDict[str, tuple[float, set[bytes]]] = field(default_factory=OrderedDict)

    def must_wait(self, address: str) -> bool:
        """Tell whether an address has tried too often and not waited since."""
        last, tried = self._wrong.get(address, (0.0, set()))
        if tried and time.monotonic() - last > WAIT_SECONDS:
            del self._wrong[address]
            return False
        return len(tried) >= WRONG_TRIES

    def add(self, address: str, wrong: str) -> None:
        """Count a wrong secret."""
        digest = hashlib.blake2b(wrong.encode(), digest_size=8).digest()
        _, tried = self._wrong.pop(address, (0.0, set()))
        if len(tried) < WRONG_TRIES:
            tried.add(digest)
        self._wrong[address] = (time.monotonic(), tried)
        while len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)


class Guard:
    """ASGI middleware that lets through who knows the secret, and adds the security headers.

    A request is let through with the header ``Authorization: Bearer SECRET``, which no page of
    another origin can send, under whatever name it has reached this server. Another one is let
    through with the cookie that the link gave; if it changes something it must name this server as
    its origin. After ``WRONG_TRIES`` different wrong secrets an address waits for ``WAIT_SECONDS``;
    browsers that have the cookie go on meanwhile.

    Args:
        app: what answers the requests that are let through.
        secret: that a link or a program brings.
        port: that the server listens at.
        names: host names of this server, beside its addresses, ``localhost`` and the machine's.
        public: paths that are answered to everybody.
    """

    def __init__(
        self,
        app: ASGIApp,
        secret: str,
        port: int,
        names: Collection[str] = (),
        public: Collection[str] = (),
    ) -> None:
        machine = socket.gethostname().lower()
        self._app = app
        self._secret = secret
        # Of the secret, so that a browser is still in when a server is back with the same one.
        self._session = hashlib.blake2b(b"session", key=secret.encode()[:64]).hexdigest()
        self._cookie = f"imgsim-edge-{port}"  # cookies are shared by the ports of a host
        self._port = port
        self._names = {"localhost", machine, f"{machine}.local", *map(str.lower, names)}
        self._public = frozenset(public)
        self._tries = Tries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    *((k.lower().encode(), v.encode()) for k, v in SECURITY_HEADERS.items()),
                ]
            await send(message)

        await (self._answer(scope) or self._app)(scope, receive, send_guarded)

    def _answer(self, scope: MutableMapping[str, Any]) -> Response | None:
        """Answer a request that is not let through; None for one that is."""
        is_safe = scope["method"] in SAFE_METHODS
        if is_safe and scope["path"] in self._public:
            return None
        bearer = _bearer(scope)
        if bearer is not None:
            return self._by_header(scope, bearer)
        return self._refusal(scope, is_safe) or self._by_cookie(scope)

    def _refusal(self, scope: MutableMapping[str, Any], is_safe: bool) -> Response | None:
        """Refuse what comes from elsewhere, whoever asks."""
        hosts, origins = _headers(scope, b"host"), _headers(scope, b"origin")
        if len(hosts) != 1 or not self._is_mine(hosts[0], scope):
            return _refused("This server answers only to its own address.")
        if any(origin.lower() != f"http://{hosts[0]}" for origin in origins):
            return _refused("This server answers only to its own page.")
        if not is_safe and not origins:
            return _refused("This server is told to do something by its own page only.")
        return None

    def _is_mine(self, host: str, scope: MutableMapping[str, Any]) -> bool:
        name, port = host, HTTP_PORT
        if not host.endswith("]") and ":" in host:
            name, _, digits = host.rpartition(":")
            if not digits.isdecimal():
                return False
            port = int(digits)
        if port != self._port:
            return False
        try:
            asked = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._names
        # The address that this connection came in at: no name can be made to say another one.
        here = (scope.get("server") or ("127.0.0.1",))[0]
        return asked == ipaddress.ip_address(here.partition("%")[0])

    def _by_header(self, scope: MutableMapping[str, Any], bearer: str) -> Response | None:
        """Let through the program that knows the secret."""
        address = _address(scope)
        if self._tries.must_wait(address):
            return _too_many()
        if self._is_secret(bearer):
            return None
        self._tries.add(address, bearer)
        return _refused("This is not the secret of this server.")

    def _by_cookie(self, scope: MutableMapping[str, Any]) -> Response | None:
        """Let through the browser that has the cookie, and give it to the one that has the link."""
        cookie = self._cookie_of(scope)
        if cookie is not None and secrets.compare_digest(cookie.encode(), self._session.encode()):
            return None
        address = _address(scope)
        if self._tries.must_wait(address):
            return _too_many()
        first = scope["path"].split("/")[1]
        if self._is_secret(first or cookie or ""):
            response = HTMLResponse(_ENTRANCE, headers={"Cache-Control": "no-store"})
            response.set_cookie(self._cookie, self._session, httponly=True, samesite="strict")
            return response
        for wrong in (cookie, first if len(first) >= SHORTEST_SECRET else None):
            if wrong:
                self._tries.add(address, wrong)
        return _refused(
            "Open the whole link that was printed when this server was started, "
            "or send its secret as `Authorization: Bearer SECRET`."
        )

    def _is_secret(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "replace"), self._secret.encode())

    def _cookie_of(self, scope: MutableMapping[str, Any]) -> str | None:
        try:
            cookies = SimpleCookie("; ".join(_headers(scope, b"cookie")))
        except CookieError:
            return None
        return cookies[self._cookie].value if self._cookie in cookies else None


def _too_many() -> Response:
    return PlainTextResponse(
        f"Too many wrong secrets: wait for {WAIT_SECONDS} seconds.\n",
        429,
        headers={"Retry-After": str(WAIT_SECONDS)},
    )


def _refused(reason: str) -> Response:
    return PlainTextResponse(f"{reason}\n", 403, headers={"Cache-Control": "no-store"})


def _headers(scope: MutableMapping[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _address(scope: MutableMapping[str, Any]) -> str:
    return str((scope.get("client") or ("",))[0])


def _bearer(scope: MutableMapping[str, Any]) -> str | None:
    for value in _headers(scope, b"authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
    return None
