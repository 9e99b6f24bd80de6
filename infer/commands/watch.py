"""`imgsim-edge watch`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import IndexOption, JsonOption, ModelOption, counted, heed_sigterm, one_thread_for_numpy, say
from .labels import suggest_fresh

if TYPE_CHECKING:
    from ..index.report import AddReport


def watch_command(
    folders: Annotated[list[Path], typer.Argument(help="Folders of photos.", show_default=False)],
    index: IndexOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow folders and keep the index current with them."""
    one_thread_for_numpy()
    from ..errors import UsageError
    from ..index.image_index import ImageIndex

    try:
        from ..index.watch import Watcher
    except ModuleNotFoundError as error:
        raise UsageError(
            f"`imgsim-edge watch` needs {error.name}: pip install 'imgsim-edge[watch]'"
        ) from error
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder: give folders of photos")

    with ImageIndex.create(index, model) as opened:

        def report(done: AddReport) -> None:
            counts = {
                "added": done.added,
                "changed": done.changed,
                "moved": done.moved,
                "removed": done.removed,
            }
            suggested = suggest_fresh(opened, done.fresh)
            if as_json:
                record = {"photos": len(opened), **counts, "suggested": suggested}
                typer.echo(json.dumps(record))
            else:
                told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
                typer.echo(f"{told}: {counted(len(opened), 'photo')} in the index")

        heed_sigterm()
        say(f"following {', '.join(map(str, folders))}; Ctrl-C stops it")
        try:
            Watcher(opened, folders, report, say).run()
        except KeyboardInterrupt:
            say(f"stopped: {counted(len(opened), 'photo')} in the index")
