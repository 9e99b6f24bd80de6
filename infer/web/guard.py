"""Who may talk to the page's server.

A server on 127.0.0.1 can be reached by every program of this machine, and, through the user's
browser, by every web page: by a cross-site request, or by a name that is made to point to 127.0.0.1
("DNS rebinding"). So a request must name this server as its host, must not come from a page of
another origin, and must know the secret that begins every path.
"""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
SAFE_METHODS = ("GET", "HEAD")
SECRET_BYTES = 24
HTTP_PORT = 80  # the only one that browsers leave out of the host

# https://www.w3.org/TR/CSP3/: nothing but this server's own files, no inline code, no frames.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",  # blob: a photo that was dropped on the page
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
    "Referrer-Policy": "no-referrer",  # the secret is in the address
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def new_secret() -> str:
    """Make the random first part of every path."""
    return secrets.token_urlsafe(SECRET_BYTES)


class Guard:
    """ASGI middleware that refuses strangers and takes the secret off the path of the others.

    Args:
        app: what answers the requests that are let through; it sees paths without the secret.
        secret: the first part of every path.
        port: that the server listens at.
    """

    def __init__(self, app: ASGIApp, secret: str, port: int) -> None:
        shown_port = "" if port == HTTP_PORT else f":{port}"
        self._app = app
        self._prefix = f"/{secret}".encode()
        self._hosts = {f"{name}{shown_port}".encode() for name in (HOST, "localhost")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    *((k.lower().encode(), v.encode()) for k, v in SECURITY_HEADERS.items()),
                ]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await PlainTextResponse(refusal, status_code=403)(scope, receive, send_guarded)
            return
        path = scope["path"][len(self._prefix) :]
        await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, send_guarded)

    def _refusal(self, scope: MutableMapping[str, Any]) -> str | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return "This server answers only to its own address.\n"
        origins = [value for name, value in headers if name == b"origin"]
        if any(origin.lower() not in self._origins for origin in origins):
            return "This server answers only to its own page.\n"
        if scope["method"] not in SAFE_METHODS and not origins:
            return "This server is told to do something by its own page only.\n"
        given = scope["path"].encode()
        is_known = secrets.compare_digest(given[: len(self._prefix)], self._prefix)
        if not is_known or given[len(self._prefix) : len(self._prefix) + 1] != b"/":
            return "Open the whole address that `imgsim-edge browse` printed.\n"
        return None
