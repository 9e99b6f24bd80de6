"""Serving the page on a port of this machine."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from ..errors import UsageError
from ..index.image_index import ImageIndex
from .app import Page
from .guard import HOST, Guard, new_secret
from .thumbnails import Thumbnails, default_cache

GOODBYE_SECONDS = 1  # that a request in progress is given when the server stops
MOST_AT_ONCE = 100  # requests; a browser has six in flight


def listen(port: int) -> socket.socket:
    """Take a port on 127.0.0.1; any free one where ``port`` is 0.

    Raises:
        UsageError: it is in use, or not for this user.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform != "win32":  # there it would let two programs share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot serve on port {port} ({reason}): name another with --port, "
            "or leave it out for a free one"
        ) from error
    return listener


def serve(index: ImageIndex, port: int, plan_file: Path, ready: Callable[[str], None]) -> None:
    """Serve the page until SIGINT (KeyboardInterrupt is raised then) or SIGTERM.

    Args:
        index: what it shows.
        port: on 127.0.0.1; any free one where 0.
        plan_file: where the page writes its plan of what may go.
        ready: called with the address once the server can be reached.

    Raises:
        UsageError: the port cannot be had.
    """
    with listen(port) as listener:
        port = listener.getsockname()[1]
        secret = new_secret()
        page = Page(index, Thumbnails(default_cache()), plan_file)
        config = uvicorn.Config(
            Guard(page.app(), secret, port),
            http="h11",
            ws="none",
            lifespan="off",
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST_AT_ONCE,
            timeout_graceful_shutdown=GOODBYE_SECONDS,
        )
        # The port takes connections from here on; they are answered as soon as the server runs.
        ready(f"http://{HOST}:{port}/{secret}/")
        uvicorn.Server(config).run(sockets=[listener])
