"""`imgsim-edge serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from . import IndexOption, ModelOption, heed_sigterm, one_thread_for_numpy, say
from .browse import PagePlanOption

PORT = 8722
AT_ONCE = 2000
GOODBYE_SECONDS = 30


def serve_command(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0 for any that is free.")
    ] = PORT,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to serve at; 0.0.0.0 lets other machines in."),
    ] = "127.0.0.1",
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            envvar="IMGSIM_EDGE_TOKEN_FILE",
            help="File of the token that every request brings, made where it is missing; "
            "beside the default index by default.",
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Answer, but change nothing.")
    ] = False,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="Connections that are answered at a time.")
    ] = AT_ONCE,
    plan: PagePlanOption = Path("plan.json"),
    index: IndexOption = None,
    model: ModelOption = None,
) -> None:
    """Serve the index to other programs by HTTP, and the page beside it."""
    one_thread_for_numpy()
    from ..errors import UsageError
    from ..index.image_index import ImageIndex

    try:
        from ..web import server
        from ..web.app import Page
        from ..web.service.app import PREFIX, Service
    except ModuleNotFoundError as error:
        raise UsageError(
            f"`imgsim-edge serve` needs {error.name}: pip install 'imgsim-edge[web]'"
        ) from error

    token_file = token_file or _default_token_file()
    with (
        ImageIndex.create(index, model) as opened,
        server.listen(port, host) as listener,
    ):
        token = server.secret_in(token_file)
        if server.is_readable_by_others(token_file):
            say(f"{token_file} can be read by others: chmod 600 {token_file}")

        def ready() -> None:
            typer.echo(f"{server.address_of(listener, host)}{PREFIX}")
            say(f"the token is in {token_file}; Ctrl-C stops the server")
            if not server.is_loopback(host):
                say("http is not encrypted: use it in a network that you trust, or behind a proxy")

        page = Page(opened, plan.absolute(), read_only=read_only)
        service = Service(opened, page, read_only=read_only)
        limits = server.Limits(at_once, GOODBYE_SECONDS)
        try:
            heed_sigterm()
            app = page.app([service.mount()])
            server.run(app, listener, token, ready, public=service.public, limits=limits)
        except KeyboardInterrupt:
            say("stopped")
            os._exit(0)  # a search for duplicates has nothing to save, and is not waited for


def _default_token_file() -> Path:
    from platformdirs import user_data_path

    folder = user_data_path("imgsim-edge", appauthor=False)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "token"
