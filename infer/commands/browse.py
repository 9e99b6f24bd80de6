"""`imgsim-edge browse`."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated

import typer

from . import IndexOption, ModelOption, heed_sigterm, say


def browse_command(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; any free one by default.")
    ] = 0,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address without opening a browser.")
    ] = False,
    plan: Annotated[
        Path, typer.Option("--plan", help="Where the page writes which duplicates may go.")
    ] = Path("plan.json"),
    index: IndexOption = None,
    model: ModelOption = None,
) -> None:
    """Look at the photos, their neighbours and their duplicates on a local page."""
    from ..errors import UsageError
    from ..index.image_index import ImageIndex

    try:
        from ..web.server import serve
    except ModuleNotFoundError as error:
        raise UsageError(
            f"`imgsim-edge browse` needs {error.name}: pip install 'imgsim-edge[web]'"
        ) from error

    def ready(address: str) -> None:
        typer.echo(address)
        say("Ctrl-C stops it. The address is a secret: whoever has it can see the photos.")
        if not no_open:
            import webbrowser

            # Beside the server: a browser that runs in this terminal would keep it from answering.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    with ImageIndex.open(index, model) as opened:
        try:
            heed_sigterm()
            serve(opened, port, plan.absolute(), ready)
        except KeyboardInterrupt:
            say("stopped")
            os._exit(0)  # a search for duplicates has nothing to save, and is not waited for
