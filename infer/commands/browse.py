"""`imgsim-edge browse`."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Annotated

import typer

from . import IndexOption, ModelOption, heed_sigterm, one_thread_for_numpy, say

HostOption = Annotated[
    str,
    typer.Option(
        "--host",
        help="Address to serve at: 0.0.0.0 lets other devices of the network in, with the link.",
    ),
]
SecretFileOption = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        help="Take the secret of the link from this file, made where it is missing; "
        "so that links outlive a restart. A new secret each time by default.",
    ),
]

PagePlanOption = Annotated[
    Path, typer.Option("--plan", help="Where the page writes which duplicates may go.")
]


def browse_command(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; any free one by default.")
    ] = 0,
    host: HostOption = "127.0.0.1",
    secret_file: SecretFileOption = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Show, but take no decisions.")
    ] = False,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address without opening a browser.")
    ] = False,
    plan: PagePlanOption = Path("plan.json"),
    index: IndexOption = None,
    model: ModelOption = None,
) -> None:
    """Look at the photos, their neighbours and their duplicates on a page."""
    one_thread_for_numpy()
    from ..errors import UsageError
    from ..index.image_index import ImageIndex

    try:
        from ..web import server
        from ..web.app import Page

        if not server.is_loopback(host):
            import segno
    except ModuleNotFoundError as error:
        raise UsageError(
            f"`imgsim-edge browse` needs {error.name}: pip install 'imgsim-edge[web]'"
        ) from error

    with (
        ImageIndex.open(index, model) as opened,
        server.listen(port, host) as listener,
    ):
        secret = server.secret_in(secret_file)
        link = f"{server.address_of(listener, host)}/{secret}/"

        def ready() -> None:
            typer.echo(link)
            if server.is_loopback(host):
                say("Ctrl-C stops it. The link is a secret: whoever has it can see the photos.")
            else:
                drawn = io.StringIO()
                segno.make(link, error="m").terminal(drawn, compact=True)
                typer.echo(drawn.getvalue().rstrip("\n"), err=True)
                say(
                    "Ctrl-C stops it. Whoever has the link can see the photos, and http is not "
                    "encrypted: use it in a network that you trust, or through an ssh tunnel."
                )
            if not no_open:
                import webbrowser

                # Beside the server: a browser in this terminal would keep it from answering.
                threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()

        try:
            heed_sigterm()
            page = Page(opened, plan.absolute(), read_only=read_only)
            server.run(page.app(), listener, secret, ready)
        except KeyboardInterrupt:
            say("stopped")
            os._exit(0)  # a search for duplicates has nothing to save, and is not waited for
