"""`imgsim-edge publish`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from . import IndexOption, JsonOption, counted, progress


def publish_command(
    address: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="ADDRESS",
            help="Of the database: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
        ),
    ],
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the index into a PostgreSQL with pgvector, or bring it there up to date."""
    from ..index.image_index import ImageIndex

    with ImageIndex.open(index) as opened, progress("publishing", "rows") as show:
        told = opened.publish(address, show)
    if as_json:
        typer.echo(json.dumps(vars(told)))
    else:
        typer.echo(
            f"{counted(told.photos, 'photo')} in {told.place} "
            f"({told.written:,} vectors sent, {told.removed:,} removed)"
        )
