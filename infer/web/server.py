"""Serving an application on a port of this machine, to those who know the secret."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import UsageError
from .guard import HTTP_PORT, SHORTEST_SECRET, Guard, new_secret

LOOPBACK = "127.0.0.1"
HEADER_SECONDS = 10  # that a connection may take until its request's header is whole
_OTHER_FILES = 256  # that a server has open: the catalogue in several threads, pictures, libraries
_SOMEWHERE_ELSE = "192.0.2.1"  # RFC 5737: belongs to nobody, and nothing is sent to it


@dataclass(frozen=True)
class Limits:
    """What a server takes upon itself.

    Attributes:
        at_once: connections that are answered; further ones are told that there are too many. A
            browser has six.
        goodbye_seconds: that requests in progress are given when the server stops.
    """

    at_once: int = 100
    goodbye_seconds: int = 1


class _Impatient(H11Protocol):
    """A connection that is closed if it does not send the header of a request in time."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_watching(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def listen(port: int, host: str = LOOPBACK) -> socket.socket:
    """Take a port of an address of this machine; any free one where ``port`` is 0.

    Raises:
        UsageError: the port is in use or not for this user, or the address is not this machine's.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot serve at {host}, port {port} ({reason})") from error
    listener = socket.socket(family, kind)
    if sys.platform != "win32":  # there it would let two programs share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        where = f"port {port}" if host == LOOPBACK else f"port {port} of {host}"
        raise UsageError(
            f"cannot serve on {where} ({reason}): name another one, or 0 for any that is free"
        ) from error
    return listener


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(listener: socket.socket, host: str) -> str:
    """Name the address under which others reach a listener, such as ``http://192.168.1.5:8000``."""
    port = listener.getsockname()[1]
    try:
        if ipaddress.ip_address(host).is_unspecified:
            host = _own_address(listener.family)
        if ipaddress.ip_address(host).version == 6:
            host = f"[{host}]"
    except ValueError:
        pass  # a name
    return f"http://{host}" if port == HTTP_PORT else f"http://{host}:{port}"


def _own_address(family: int) -> str:
    """Find the address that this machine has on the network, without sending anything."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((_SOMEWHERE_ELSE, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return LOOPBACK if family == socket.AF_INET else "::1"


def secret_in(file: Path | None) -> str:
    """Read the secret from a file, which is made where it is missing; a new one without a file.

    Raises:
        UsageError: the file cannot be read or written, or what is in it is too short to be safe.
    """
    if file is None:
        return new_secret()
    try:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            secret = file.read_text("ascii").strip()
        else:
            secret = new_secret()
            with os.fdopen(descriptor, "w") as made:
                made.write(secret + "\n")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not plain text"
        raise UsageError(f"cannot read the secret in {file} ({reason})") from error
    letters = secret.replace("-", "").replace("_", "")
    if len(secret) < SHORTEST_SECRET or not letters.isalnum():
        raise UsageError(
            f"the secret in {file} must be at least {SHORTEST_SECRET} letters, digits, '-' or '_': "
            "delete the file, and a good one is made"
        )
    return secret


def is_readable_by_others(file: Path) -> bool:
    """Tell whether other users of this machine can read a file, where it knows users."""
    return os.name == "posix" and bool(file.stat().st_mode & 0o077)


def run(
    app: ASGIApp,
    listener: socket.socket,
    secret: str,
    ready: Callable[[], None],
    names: Collection[str] = (),
    *,
    public: Collection[str] = (),
    limits: Limits = Limits(),
) -> None:
    """Serve an application until SIGINT (KeyboardInterrupt is raised then) or SIGTERM.

    Args:
        app: the application; :class:`Guard` stands before it.
        listener: as :func:`listen` gives it.
        secret: that opens it.
        ready: called once the server can be reached.
        names: host names of this server beside those that it knows.
        public: paths that are answered to everybody.
        limits: of this server.
    """
    _allow_files(limits.at_once)
    config = uvicorn.Config(
        Guard(app, secret, listener.getsockname()[1], names, public),
        http=_Impatient,
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.at_once,
        backlog=limits.at_once,
        timeout_graceful_shutdown=limits.goodbye_seconds,
    )
    # The port takes connections from here on; they are answered as soon as the server runs.
    ready()
    uvicorn.Server(config).run(sockets=[listener])


def _allow_files(connections: int) -> None:
    """Let this process open as many files as it takes connections, as far as the system does."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
