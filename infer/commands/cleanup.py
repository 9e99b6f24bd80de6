"""`imgsim-edge apply` and `imgsim-edge undo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import IndexOption, JsonOption, progress, say, say_some

if TYPE_CHECKING:
    from ..cleanup.apply import CleanupReport

JournalsOption = Annotated[
    Path | None,
    typer.Option("--journals", metavar="DIR", help="Where the journals are kept."),
]


def apply_command(
    plan: Annotated[Path, typer.Argument(help="A plan, as `duplicates --plan` writes it.")],
    trash: Annotated[bool, typer.Option("--trash", help="Send files to the trash.")] = False,
    hardlink: Annotated[
        bool,
        typer.Option("--hardlink", help="Make exact copies links to the file that stays."),
    ] = False,
    move_to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Move files to another folder.")
    ] = None,
    journals: JournalsOption = None,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the files of a plan go, in one of three ways, each of which `undo` takes back."""
    from ..cleanup.apply import HARDLINK, MOVE, TRASH, apply
    from ..cleanup.journal import default_journals
    from ..cleanup.plan import read_plan
    from ..index.image_index import ImageIndex

    ways = [
        name
        for name, chosen in (
            (TRASH, trash),
            (HARDLINK, hardlink),
            (MOVE, move_to is not None),
        )
        if chosen
    ]
    if len(ways) != 1:
        raise typer.BadParameter("give one of --trash, --hardlink and --move-to DIR")
    read = read_plan(plan)
    with ImageIndex.open(index) as opened:
        roots = opened.info().roots  # a plan can be edited: files elsewhere are not touched
    with progress("cleaning up") as show:
        report = apply(
            read,
            ways[0],
            journals or default_journals(),
            roots=roots,
            target=None if move_to is None else move_to.absolute(),
            progress=show,
        )
    done = {"trash": "sent to the trash", "hardlink": "linked", "move": "moved"}[ways[0]]
    _print_report(report, done, as_json)
    if report.done:
        say("`imgsim-edge undo` takes this back; `imgsim-edge index` brings the index up to date")
    if report.refused:
        raise typer.Exit(1)


def undo_command(
    journal: Annotated[
        Path | None,
        typer.Argument(help="The journal of an `apply`; the last one's where none is named."),
    ] = None,
    journals: JournalsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the last `apply` back."""
    from ..cleanup.apply import undo
    from ..cleanup.journal import default_journals

    with progress("putting back") as show:
        report = undo(journals or default_journals(), journal, progress=show)
    _print_report(report, "put back", as_json)
    if report.refused:
        raise typer.Exit(1)


def _print_report(report: CleanupReport, done: str, as_json: bool) -> None:
    from ..output import text as render

    say_some([f"left as it is: {one.path}: {one.reason}" for one in report.refused])
    if as_json:
        answer = {
            "done": [str(path) for path in report.done],
            "bytes": report.bytes,
            "refused": [{"path": str(r.path), "reason": r.reason} for r in report.refused],
            "journal": str(report.journal),
        }
        typer.echo(json.dumps(answer))
        return
    left = f", {len(report.refused):,} left as they are" if report.refused else ""
    files = "1 file" if len(report.done) == 1 else f"{len(report.done):,} files"
    typer.echo(f"{files} {done} ({render.size(report.bytes)}){left}")
