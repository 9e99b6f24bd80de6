"""`imgsim-edge similar`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from . import IndexOption, JsonOption, ModelOption, say

# One query is no work for NumPy's own threads, but starting them costs a fifth of the command: they
# spin before they sleep. It counts where NumPy is not loaded yet.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


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
