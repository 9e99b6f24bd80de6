"""`imgsim-edge train`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..infer.errors import UsageError
from ..infer.machine import available_cores
from ..infer.progress import say
from .backend import require_extra
from .network import BACKBONES, IMAGENET, NO_WEIGHTS
from .run_folder import LINEAR, PLAIN, Settings

_DEFAULT = Settings()
BackboneName = Enum("BackboneName", {name: name for name in BACKBONES}, type=str)  # type: ignore[misc]
_BACKBONE = BackboneName(_DEFAULT.backbone)
RecipeName = Enum("RecipeName", {name: name for name in (PLAIN, LINEAR)}, type=str)  # type: ignore[misc]
_RECIPE = RecipeName(PLAIN)
_PLAIN_ONLY = (
    "augment",
    "class_weights",
    "head_epochs",
    "tune_epochs",
    "tune_depth",
    "batch",
    "head_rate",
    "tune_rate",
    "patience",
)


def train_command(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A folder with one folder of photos for each class; several such folders, whose "
            "classes are then named FOLDER/CLASS; or a CSV file with the columns path and label.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A new folder for the result.", show_default=False)
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Where the backbone starts: imagenet (fetched by Keras from the network, once), "
            "none (random), or a file of Keras weights.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        RecipeName,
        typer.Option(
            help="plain: tell the classes of the data apart. linear: find similar photos of any "
            "kind, in minutes; labels decide only how photos of one class may differ."
        ),
    ] = _RECIPE,
    backbone: Annotated[
        BackboneName, typer.Option(help="The convolutional network under the embedding.")
    ] = _BACKBONE,
    width: Annotated[
        float, typer.Option(min=0.1, max=4.0, help="Multiplier of the backbone's channels.")
    ] = _DEFAULT.width,
    image_size: Annotated[
        int, typer.Option(min=32, max=1024, help="Side of the photos in pixels.")
    ] = _DEFAULT.image_size,
    embedding_units: Annotated[
        int, typer.Option(min=8, max=256, help="Numbers in an embedding.")
    ] = _DEFAULT.embedding_units,
    augment: Annotated[
        bool, typer.Option("--augment/--no-augment", help="Vary the training photos.")
    ] = _DEFAULT.augment,
    show_augmentations: Annotated[
        Path | None,
        typer.Option(help="Draw what the network will see into this picture, and stop."),
    ] = None,
    class_weights: Annotated[
        bool,
        typer.Option("--class-weights/--no-class-weights", help="Let rare classes count more."),
    ] = _DEFAULT.class_weights,
    head_epochs: Annotated[
        int, typer.Option(min=1, help="At most, for the head on the frozen backbone.")
    ] = _DEFAULT.head_epochs,
    tune_epochs: Annotated[
        int, typer.Option(min=0, help="At most, for fine-tuning; 0 leaves the backbone as it is.")
    ] = _DEFAULT.tune_epochs,
    tune_depth: Annotated[
        int, typer.Option(min=0, help="How many of the last convolutions fine-tuning changes.")
    ] = _DEFAULT.tune_depth,
    batch: Annotated[int, typer.Option(min=1, help="Photos in a step.")] = _DEFAULT.batch,
    head_rate: Annotated[
        float, typer.Option(help="Adam's learning rate for the head.")
    ] = _DEFAULT.head_rate,
    tune_rate: Annotated[
        float, typer.Option(help="Adam's learning rate for fine-tuning.")
    ] = _DEFAULT.tune_rate,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better validation loss that end a phase.")
    ] = _DEFAULT.patience,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the split and of everything drawn at random.")
    ] = _DEFAULT.seed,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cores to use; with 1, the same seed gives the same weights.",
            show_default="all",
        ),
    ] = None,
    from_labels: Annotated[
        bool,
        typer.Option(
            "--from-labels",
            help="Train on the photos that labels were taught by, instead of DATA; "
            "what they are is written to RUN.labels.csv.",
        ),
    ] = False,
    index: Annotated[
        Path | None,
        typer.Option(
            "--index", metavar="DIR", help="The index of --from-labels.", envvar="IMGSIM_EDGE_INDEX"
        ),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="The split.csv of an earlier run, to use again.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the stopped run in this folder.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Train a classifier on your own labelled photos, for `imgsim-edge export`."""
    require_extra()
    if resume is not None:
        others = (name for name in context.params if name not in ("resume", "as_json", "index"))
        if given := _given(context, others):
            raise UsageError(
                "--resume takes data and settings from the run: give nothing else "
                f"(leave out {', '.join(given)})"
            )
        from .session import resume_training

        outcome = resume_training(resume)
        _tell(outcome, as_json)
        return
    if data and from_labels:
        raise UsageError("--from-labels takes the photos from an index: name no folder beside it")
    if not data and not from_labels:
        raise UsageError(
            "name the folder of your labelled photos: imgsim-edge train DATA --out RUN"
        )
    settings = Settings(
        recipe=recipe.value,
        backbone=backbone.value,
        width=width,
        image_size=image_size,
        weights=_resolved(weights or NO_WEIGHTS),
        embedding_units=embedding_units,
        augment=augment,
        class_weights=class_weights,
        head_epochs=head_epochs,
        tune_epochs=tune_epochs,
        tune_depth=tune_depth,
        batch=batch,
        head_rate=head_rate,
        tune_rate=tune_rate,
        patience=patience,
        seed=seed,
        threads=threads or available_cores(),
    )
    if from_labels:
        if out is None:
            raise UsageError("name a new folder for the result: --out RUN")
        data = [_table_of_labels(index, out)]
    assert data is not None
    if show_augmentations is not None:
        from .report.contact_sheet import draw_augmentations

        draw_augmentations(data, show_augmentations, image_size, seed)
        typer.echo(show_augmentations)
        return
    if out is None:
        raise UsageError("name a new folder for the result: --out RUN")
    if weights is None:
        raise UsageError(
            "say where the backbone starts: --weights imagenet (fetched from the network), "
            "--weights FILE, or --weights none (random, for very many photos)"
        )
    if recipe.value == LINEAR and (given := _given(context, _PLAIN_ONLY)):
        raise UsageError(f"{', '.join(given)} and --recipe linear exclude each other")
    from .session import start_training

    _tell(start_training(data, out, settings, split), as_json)


def _table_of_labels(index: Path | None, out: Path) -> Path:
    """Write what labels say beside the run, where resuming and exporting find it."""
    from ..infer import ImageIndex, export_for_training

    table = out.with_name(f"{out.name}.labels.csv")
    if out.exists():  # a run that is there needs the table that was written for it
        raise UsageError(f"{out} exists already: choose another --out")
    with ImageIndex.open(index) as opened:
        written = export_for_training(opened, table)
    for problem in written.problems:
        say(f"left out: {problem.path} {problem.reason}")
    say(f"labels of {written.count:,} photos: {table}")
    return table


def _resolved(weights: str) -> str:
    """Name a file of weights so that a run can go on from another folder."""
    return weights if weights in (IMAGENET, NO_WEIGHTS) else str(Path(weights).resolve())


def _given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Name the parameters that the user gave, as they are written on the command line."""
    given = [
        name
        for name in names
        if (source := context.get_parameter_source(name)) and source.name != "DEFAULT"
    ]
    return ["DATA" if name == "data" else f"--{name.replace('_', '-')}" for name in given]


def _tell(outcome: Any, as_json: bool) -> None:
    folder, metrics = outcome.run.folder, outcome.metrics
    if as_json:
        content = {"run": str(folder), "test": metrics and metrics.to_json()}
        typer.echo(json.dumps(content, ensure_ascii=False))
        return
    typer.echo(f"classifier: {outcome.run.classifier_path}")
    if metrics is None:
        typer.echo("no photo is in the test part: nothing was measured")
        return
    own = metrics.accuracy
    typer.echo(
        f"test accuracy: {own.value:.1%} of {own.of} photos "
        f"(95 % confidence: {own.low:.1%} to {own.high:.1%})"
    )
    for found in metrics.retrieval:
        typer.echo(
            f"retrieval on the test photos by {found.what} ({found.dimension}-d): "
            f"mAP {found.mean_average_precision:.3f}, P@1 {found.precision_at_1:.3f}, "
            f"P@10 {found.precision_at_10:.3f}"
        )
