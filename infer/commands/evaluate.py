"""`imgsim-edge evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from . import JsonOption, progress, say, warn_problems


def evaluate_command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Sets of photos; in each, one folder for each class. Several are also measured as "
            "one collection.",
            show_default=False,
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="FILE", help="An encoder; repeat it to compare several."),
    ] = None,
    recall_at: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="K", help="The k of recall@k; may be repeated. [10, 100]"),
    ] = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="Each class, too.")] = False,
    graph: Annotated[
        bool, typer.Option(help="Find candidates by the graph, as large indexes do.")
    ] = True,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page that shows the worst queries, too."),
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of them, for each set.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the bootstrap that gives the intervals.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure how well encoders find photos of the same class, on labelled folders."""
    from ..encoder.onnx_encoder import Encoder
    from ..evaluation import tables as report
    from ..evaluation.labelled import labelled_photos
    from ..evaluation.metrics import RECALL_AT
    from ..evaluation.retrieval import evaluate, evaluate_together

    sets = [labelled_photos(folder) for folder in dict.fromkeys(folders)]
    names = dict.fromkeys(models or ["default"])
    encoders = {name: Encoder(name, threads=1) for name in names}  # every core embeds photos
    results = []
    for photos in sets:
        with progress(f"evaluating {photos.folder.name}") as show:
            results.append(evaluate(photos, encoders, recall_at or RECALL_AT, graph, show))
        if photos.outside:
            say(f"left out, being in no class folder: {photos.outside:,} in {photos.folder}")
        warn_problems(results[-1][0].problems)
    if len(sets) > 1:
        with progress("evaluating all as one collection") as show:
            results.append(evaluate_together(results, recall_at or RECALL_AT, graph, show))
    if html:
        from ..evaluation.page import evaluation_page
        from ..files import whole_file

        with whole_file(html) as part:
            part.write_bytes(evaluation_page(results, worst, seed))
    if as_json:
        for line in report.as_objects(results, per_class, seed):
            typer.echo(json.dumps(line))
    else:
        typer.echo("\n\n".join(report.as_tables(results, per_class, seed)))
