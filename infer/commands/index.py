"""`imgsim-edge index` and `imgsim-edge info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import (
    IndexOption,
    JsonOption,
    ModelOption,
    ThreadsOption,
    counted,
    exit_status,
    heed_sigterm,
    one_thread_for_numpy,
    progress,
    say,
    warn_problems,
)
from .labels import suggest_fresh

if TYPE_CHECKING:
    from ..index.report import AddReport


def index_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of photos; all that were indexed before if none is named."),
    ] = None,
    index: IndexOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="GLOB",
            help="Pass over files and folders of this name or path; remembered. '' forgets it.",
        ),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try unchanged files again that could not be read.")
    ] = False,
    vectors: Annotated[
        Path | None,
        typer.Option(
            "--from-vectors",
            metavar="DIR",
            help="Take in the shards that `embed` has made, and read no photo.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Index folders of photos, or bring an index up to date with them."""
    if vectors is not None:
        if paths or exclude is not None or retry:
            raise typer.BadParameter("shards are taken as they are", param_hint="--from-vectors")
        _take_in(vectors, index, model, as_json)
        return
    one_thread_for_numpy()
    from ..index.image_index import ImageIndex

    heed_sigterm()
    with (
        ImageIndex.create(index, model) if paths else ImageIndex.open(index, model) as opened,
        progress("indexing") as show,
        progress("building the graph") as show_graph,
    ):
        try:
            report = opened.add(
                paths or None,
                show,
                threads,
                graph_progress=show_graph,
                exclude=None if exclude is None else [glob for glob in exclude if glob],
                retry=retry,
            )
        except KeyboardInterrupt as interrupt:
            say(
                f"interrupted: {len(opened):,} photos are in the index; "
                "run the same command again to go on"
            )
            raise typer.Exit(exit_status(interrupt)) from None
        photos = len(opened)
        suggested = suggest_fresh(opened, report.fresh)
    _print_report(report, photos, as_json, suggested)


def _take_in(vectors: Path, index: str | None, model: str | None, as_json: bool) -> None:
    """Fill an index with vectors that were made elsewhere."""
    from ..index.image_index import ImageIndex

    one_thread_for_numpy()
    made_by = model or ImageIndex.encoder_of(vectors)
    heed_sigterm()
    with (
        ImageIndex.create(index, made_by) as opened,
        progress("taking in", "photos") as show,
        progress("building the graph") as show_graph,
    ):
        try:
            report = opened.add_vectors(vectors, show, graph_progress=show_graph)
        except KeyboardInterrupt as interrupt:
            say(
                f"interrupted: {counted(len(opened), 'photo')} in the index; "
                "run the same command again to go on"
            )
            raise typer.Exit(exit_status(interrupt)) from None
        photos = len(opened)
        suggested = suggest_fresh(opened, report.fresh)
    _print_report(report, photos, as_json, suggested)


def info_command(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Say what the index holds."""
    from ..index.image_index import ImageIndex
    from ..output import text as render

    with ImageIndex.open(index) as opened:
        info, place = opened.info(), opened.place
    if as_json:
        values = {**vars(info), "graph": vars(info.graph) if info.graph else None}
        typer.echo(json.dumps(values, default=str))
        return
    graph = "none: queries are answered exactly"
    if info.graph:
        recall = f"recall@10 {info.graph.recall:.3f} with ef {info.graph.ef_search}"
        graph = f"{info.graph.count:,} vectors, {recall}"
    if not info.hnswlib:
        graph = (
            "not used: hnswlib is not installed, queries are answered exactly "
            "(pip install 'imgsim-edge[graph]' needs a C++ compiler)"
        )
    if "://" in place:
        graph = "of pgvector, in the database"
    rows = [
        ("index", place if "://" in place else render.shell_path(info.folder)),
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


def _print_report(report: AddReport, photos: int, as_json: bool, suggested: dict[str, int]) -> None:
    """Print what an `index` run did: the counts as its result, the problems as warnings."""
    counts = {
        "added": report.added,
        "changed": report.changed,
        "moved": report.moved,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "described": report.described,
        "unreadable": len(report.problems),
    }
    warn_problems(report.problems)
    for folder in report.away:
        say(f"{folder} is not there, empty or not mounted: its photos are kept")
    if report.seen:
        say(f"passed over: {', '.join(map(str, report.passed_over))}")
    if as_json:
        problems = [{"path": str(u.path), "reason": u.reason} for u in report.problems]
        away = [str(folder) for folder in report.away]
        told_apart = {"unreadable": problems, "away": away, "passed_over": dict(report.seen)}
        told_apart |= {"suggested": suggested}
        typer.echo(json.dumps({"photos": photos, **counts, **told_apart}))
    else:
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        typer.echo(f"{counted(photos, 'photo')} in the index ({told or 'nothing to do'})")
