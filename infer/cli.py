"""The command line, a thin shell over the Python API.

Results go to stdout and nothing else does. A user's error is one line on stderr and exit status 1.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from .errors import ImgsimError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .update import AddReport, Progress

NAMED_PROBLEMS = 20  # unreadable files that are named one by one; the others are counted

# Commands that live in other rooms, loaded when they are called: name → module, function, help.
_ELSEWHERE = {
    "train": ("imgsim_edge.train.cli", "train_command"),
    "export": ("imgsim_edge.export.cli", "export_command"),
}


class _Commands(TyperGroup):
    """The commands of this module, and those of other rooms once they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_ELSEWHERE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, function = _ELSEWHERE[cmd_name]
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(getattr(import_module(module), function))
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find similar photos on small machines: offline, on the CPU.",
)

IndexOption = Annotated[
    Path | None,
    typer.Option("--index", metavar="DIR", help="The index's folder.", envvar="IMGSIM_EDGE_INDEX"),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="FILE", help="An encoder: an .onnx file or a shipped name."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"imgsim-edge {version('imgsim-edge')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Find similar photos on small machines: offline, on the CPU."""


@app.command("index")
def index_command(
    paths: Annotated[list[Path], typer.Argument(help="Folders of photos.", show_default=False)],
    index: IndexOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Index folders of photos, or bring an index up to date with them."""
    from .index import ImageIndex

    with ImageIndex.create(index, model) as opened, _progress("indexing") as progress:
        try:
            report = opened.add(paths, progress)
        except KeyboardInterrupt:
            _say(
                f"interrupted: {len(opened):,} photos are in the index; "
                "run the same command again to go on"
            )
            raise typer.Exit(130) from None
        photos = len(opened)
    _tell(report, photos, as_json)


@app.command("similar")
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
    from . import render
    from .index import ImageIndex

    with ImageIndex.open(index, model) as opened:
        matches = opened.similar(query, k)
    if not matches:
        _say("the index holds no other photo: add some with `imgsim-edge index FOLDER`")
    elif as_json:
        typer.echo(render.as_json_lines(query, matches))
    elif null:
        typer.echo(render.as_null_separated(matches), nl=False)
    else:
        typer.echo(render.as_table(matches))


@app.command("info")
def info_command(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Say what the index holds."""
    from . import render
    from .index import ImageIndex

    with ImageIndex.open(index) as opened:
        info = opened.info()
    if as_json:
        values = {**vars(info), "graph": vars(info.graph) if info.graph else None}
        typer.echo(json.dumps(values, default=str))
        return
    graph = "none (queries are answered exactly)"
    if info.graph:
        recall = f"recall@10 {info.graph.recall:.3f} with ef {info.graph.effort}"
        graph = f"{info.graph.count:,} vectors, {recall}"
    rows = [
        ("index", render.shell_path(info.folder)),
        ("photos", f"{info.photos:,}"),
        ("unreadable", f"{info.unreadable:,} files"),
        *(
            ("folder", render.shell_path(root) + (" (away)" if root in info.away else ""))
            for root in info.roots
        ),
        ("encoder", f"{info.model}, {info.dimension} numbers, digest {info.encoder_digest}"),
        ("graph", graph),
        (
            "size",
            f"{render.size(info.bytes)}, {info.bytes / max(info.photos, 1):,.0f} bytes a photo",
        ),
    ]
    for name, value in rows:
        typer.echo(f"{name:<11} {value}")


def _tell(report: AddReport, photos: int, as_json: bool) -> None:
    """Print what an `index` run did: the counts as its result, the problems as warnings."""
    counts = {
        "added": report.added,
        "changed": report.changed,
        "moved": report.moved,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "unreadable": len(report.unread),
    }
    for unread in report.unread[:NAMED_PROBLEMS]:
        _say(f"cannot read {unread.path}: {unread.reason}")
    if len(report.unread) > NAMED_PROBLEMS:
        _say(f"… and {len(report.unread) - NAMED_PROBLEMS:,} more")
    for folder in report.away:
        _say(f"{folder} is not there or empty: its photos are kept as away")
    if as_json:
        unread_files = [{"path": str(u.path), "reason": u.reason} for u in report.unread]
        away = [str(folder) for folder in report.away]
        typer.echo(json.dumps({"photos": photos, **counts, "unread": unread_files, "away": away}))
    else:
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        typer.echo(f"{photos:,} photos in the index ({told or 'nothing to do'})")


@contextmanager
def _progress(what: str) -> Iterator[Progress | None]:
    """Show a progress bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def _say(line: str) -> None:
    typer.echo(line, err=True)


def main() -> None:
    """Run the command line."""
    debug = "--debug" in sys.argv
    if not debug:
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files are not for the user
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")  # paths need not be valid UTF-8
    try:
        app()
    except ImgsimError as error:
        if debug:
            raise
        _say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _say("interrupted")
        os._exit(130)


if __name__ == "__main__":
    main()
