"""`imgsim-edge forget`, `relocate`, `verify` and `repair`: looking after an index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import visible
from . import IndexOption, JsonOption, counted, say


def forget_command(
    root: Annotated[Path, typer.Argument(help="A folder that was indexed.", show_default=False)],
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a folder with all its photos. Its files are not touched."""
    from ..index.image_index import ImageIndex

    with ImageIndex.open(index) as opened:
        count = opened.forget(root)
        left = len(opened)
    if as_json:
        typer.echo(json.dumps({"forgotten": count, "photos": left}))
    else:
        typer.echo(f"{counted(left, 'photo')} in the index ({count:,} forgotten)")


def relocate_command(
    old: Annotated[Path, typer.Argument(help="Where the folder was.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="Where it is now.", show_default=False)],
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the index that a folder of photos has moved, without reading them again."""
    from ..index.image_index import ImageIndex
    from ..output import text as render

    with ImageIndex.open(index) as opened:
        moved = opened.relocate(old, new)
    if as_json:
        typer.echo(json.dumps({"moved": list(map(str, moved))}))
    else:
        for path in moved:
            typer.echo(f"now at {render.shell_path(path)}")


def verify_command(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Read the whole index and check it. Exit status 1 if something is wrong."""
    from ..index.image_index import ImageIndex

    with ImageIndex.open(index) as opened:
        findings = opened.verify()
        photos = len(opened) if not findings else 0
    for finding in findings:
        if as_json:
            typer.echo(json.dumps(vars(finding)))
        else:
            typer.echo(visible(finding.what))
    if findings:
        say(f"{counted(len(findings), 'thing')} wrong: run `imgsim-edge repair`")
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps({"photos": photos, "wrong": 0}))
    else:
        typer.echo(f"nothing is wrong with the index of {counted(photos, 'photo')}")


def repair_command(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Rebuild what can be rebuilt of a damaged index, and name what cannot."""
    from ..index.image_index import ImageIndex

    findings = ImageIndex.repair(index)
    for finding in findings:
        typer.echo(json.dumps(vars(finding)) if as_json else visible(finding.what))
    if not findings:
        say("nothing was wrong")
