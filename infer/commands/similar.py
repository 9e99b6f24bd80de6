"""`imgsim-edge similar`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import IndexOption, JsonOption, ModelOption, say


def similar_command(
    query: Annotated[Path, typer.Argument(help="A photo.", show_default=False)],
    k: Annotated[int, typer.Option("-k", min=1, help="How many answers.")] = 10,
    index: IndexOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
    null: Annotated[
        bool, typer.Option("-0", help="Print paths alone, separated by zero bytes (xargs -0).")
    ] = False,
) -> None:
    """Find the photos most similar to one photo."""
    from .. import render
    from ..index import ImageIndex

    with ImageIndex.open(index, model) as opened:
        matches = opened.similar(query, k)
    if not matches:
        say("the index holds no other photo: add some with `imgsim-edge index FOLDER`")
    elif as_json:
        typer.echo(render.as_json_lines(query, matches))
    elif null:
        typer.echo(render.as_null_separated(matches), nl=False)
    else:
        typer.echo(render.as_table(matches))
