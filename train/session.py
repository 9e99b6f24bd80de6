"""A training from its data to its report: the stages in their order."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..infer.errors import ImgsimError
from .backend import configure
from .checkpoint import has_checkpoint
from .checks import as_table, check, require_two_classes
from .data import LabelledPhotos, Sample, find_photos
from .duplicates import near_identical_groups
from .errors import DataError, RunError
from .fit import Task, Trainer, save_classifier
from .general import GeneralTrainer
from .measure import Metrics, measure
from .network import (
    EMBEDDING_LAYER,
    EMBEDDING_UNITS,
    FEATURES_LAYER,
    OUTPUT_LAYER,
    output_units,
    part_of,
)
from .pixels import PixelStore
from .progress import say
from .report import write_report
from .run_folder import (
    CLASSES,
    GENERAL,
    METRICS,
    SPLIT,
    Run,
    Settings,
    create_run,
    open_run,
    remove_state,
    write_json,
)
from .split import TEST, TRAIN, VALID, Split, apply_split, make_split, read_split, write_split


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        run: its folder.
        metrics: of the test part; None where no class was large enough to test.
    """

    run: Run
    metrics: Metrics | None


def start_training(
    data: Sequence[Path], folder: Path, settings: Settings, split_file: Path | None = None
) -> Outcome:
    """Train a classifier on labelled photos.

    Args:
        data: folders or one CSV file, see :mod:`imgsim_edge.train.data`.
        folder: for everything that comes out; must be new or empty.
        settings: how.
        split_file: ``split.csv`` of an earlier run on the same photos, to use again.

    Raises:
        ImgsimError: of the data, the weights or the folder.
        KeyboardInterrupt: the user stopped it; the best until then is in the folder.
    """
    found = find_photos(data)
    require_two_classes(found.classes)  # before Keras is loaded; again when photos are decoded
    known = read_split(split_file) if split_file else None
    configure(settings.threads, settings.seed)
    run = create_run(folder, data, settings)
    try:
        return _start(run, found, known)
    except ImgsimError:
        if not has_checkpoint(run):
            shutil.rmtree(folder, ignore_errors=True)  # nothing is lost, and --out is free again
        raise


def _start(run: Run, found: LabelledPhotos, known: dict[str, tuple[str, str]] | None) -> Outcome:
    settings = run.settings
    store = PixelStore(found.samples, settings.image_size, settings.threads)
    decoded = store.decode(run.state_folder)
    groups = near_identical_groups(decoded.thumbnails)
    say(as_table(check(found, decoded, groups)))
    kept = np.asarray([i for i in range(len(found.samples)) if i not in decoded.failures])
    samples = [found.samples[i] for i in kept]
    part = (
        apply_split(known, samples, groups[kept])
        if known
        else make_split([sample.label for sample in samples], groups[kept], settings.seed)
    )
    split = Split(kept[part.train], kept[part.test], kept[part.valid])
    write_split(run.folder / SPLIT, found.samples, split)
    write_json(run.folder / CLASSES, sorted({sample.label for sample in samples}))
    return _train(run, found.samples, store, split)


def resume_training(folder: Path) -> Outcome:
    """Go on with a training that was stopped, from its last checkpoint.

    Args:
        folder: of the run.

    Raises:
        ImgsimError: as :func:`start_training`; also where the data has changed in a way that the
            run cannot take: photos gone, or classes added.
        KeyboardInterrupt: likewise.
    """
    run = open_run(folder)
    if run.settings.recipe == GENERAL:
        raise RunError("the general recipe keeps no checkpoints: start it again with another --out")
    classes = run.classes()
    known = read_split(run.folder / SPLIT)
    found = find_photos(run.data)
    _check_same(run, found, classes, known)
    configure(run.settings.threads, run.settings.seed)
    part_of_photo = np.asarray([known.get(s.name, ("", ""))[1] for s in found.samples])
    split = Split(*(np.nonzero(part_of_photo == part)[0] for part in (TRAIN, TEST, VALID)))
    run.state_folder.mkdir(exist_ok=True)
    store = PixelStore(found.samples, run.settings.image_size, run.settings.threads)
    if not store.reuse(run.state_folder):
        unreadable = store.decode(run.state_folder).failures
        _check_none_gone(
            run, [s.name for i, s in enumerate(found.samples) if i in unreadable], known
        )
    return _train(run, found.samples, store, split)


def _check_same(
    run: Run, found: LabelledPhotos, classes: Sequence[str], known: dict[str, tuple[str, str]]
) -> None:
    if added := sorted(set(found.classes) - set(classes)):
        raise DataError(
            f"the data has classes that {run.folder} was not started with: {', '.join(added)} "
            "(take them away again, or start a new run)"
        )
    _check_none_gone(run, set(known) - {sample.name for sample in found.samples}, known)


def _check_none_gone(run: Run, names: Iterable[str], known: Iterable[str]) -> None:
    if gone := sorted(set(names) & set(known)):
        raise DataError(
            f"{len(gone)} photos of {run.folder} cannot be read any more, the first is {gone[0]} "
            "(put them back, or start a new run)"
        )


def _train(run: Run, samples: Sequence[Sample], store: PixelStore, split: Split) -> Outcome:
    classes = run.classes()
    number = {name: position for position, name in enumerate(classes)}
    labels = np.asarray([number.get(sample.label, -1) for sample in samples], dtype=np.intp)
    counts = ", ".join(f"{len(own)} {name}" for name, own in split.parts().items())
    say(f"{len(classes)} classes; photos: {counts}")
    task = Task(store, labels, len(classes), split)
    trainer: Trainer | GeneralTrainer
    if run.settings.recipe == GENERAL:
        trainer = GeneralTrainer(run, task, [sample.path for sample in samples])
    else:
        trainer = Trainer(run, task)
    try:
        trained = trainer.train()
    except KeyboardInterrupt:
        if isinstance(trainer, GeneralTrainer):
            say("stopped; the general recipe keeps nothing of a run that is not done")
            raise
        say("stopping: keeping the best until now")
        if trainer.keep_best_so_far():
            say(f"it is in {run.classifier_path}")
        say(f"go on with: imgsim-edge train --resume {run.folder}")
        raise
    classifier = save_classifier(run, trained)
    metrics = None
    if len(split.test):
        answers = trainer.predict(
            part_of(classifier, OUTPUT_LAYER, EMBEDDING_LAYER, FEATURES_LAYER),
            split.test,
            "testing",
        )
        units = output_units(len(classes))
        probabilities, embedding, features = np.split(
            answers, [units, units + EMBEDDING_UNITS], axis=1
        )
        vectors = {
            "embedding": embedding,
            "raw features of the backbone": trainer.raw_test_features(),
        }
        if run.settings.tune_epochs:
            vectors["raw features after fine-tuning"] = features
        metrics = measure(probabilities, labels[split.test], classes, split.test, vectors)
        write_json(run.folder / METRICS, metrics.to_json())
        write_report(run, trainer.history(), metrics, samples, split, lambda i: store.read([i])[0])
    remove_state(run)
    return Outcome(run, metrics)
