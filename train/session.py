"""A training from its data to its report: the stages in their order."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..infer.errors import ImgsimError, PhotoError
from ..infer.photos.decode import load_photo
from ..infer.progress import say
from .backend import configure
from .classifier.fit import PlainTrainer, save_classifier
from .classifier.task import Task, Trainer, predict
from .data.checks import as_table, check, check_split, require_two_classes
from .data.find import LabelledPhotos, Sample, find_photos
from .data.near_duplicates import near_identical_groups
from .data.pixels import PixelStore
from .data.split import TEST, TRAIN, VALID, Split, apply_split, make_split, read_split, write_split
from .errors import DataError, RunError
from .linear.recipe import LinearTrainer
from .network import (
    DETAILS_LAYER,
    EMBEDDING_LAYER,
    FEATURES_LAYER,
    OUTPUT_LAYER,
    part_of,
)
from .report.metrics import MeasuredPhotos, Metrics, measure
from .report.page import write_report
from .run_folder import (
    CLASSES,
    METRICS,
    PLAIN,
    SPLIT,
    Run,
    Settings,
    create_run,
    has_checkpoint,
    make_state_folder,
    open_run,
    remove_state,
    resume_command,
    write_json,
)


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        run: its folder.
        metrics: of the test part; None where that is empty.
    """

    run: Run
    metrics: Metrics | None


def start_training(
    data: Sequence[Path], folder: Path, settings: Settings, split_file: Path | None = None
) -> Outcome:
    """Train a classifier on labelled photos.

    Args:
        data: folders or one CSV file, see :mod:`imgsim_edge.train.data.find`.
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
    run = create_run(folder, data, settings, split_file)
    try:
        return _start(run, found, known)
    except ImgsimError:
        if not has_checkpoint(run):
            shutil.rmtree(
                folder, ignore_errors=True
            )  # nothing is lost, and the folder is free again
        raise


def _start(run: Run, found: LabelledPhotos, known: dict[str, tuple[str, str]] | None) -> Outcome:
    store = PixelStore(found.samples, run.settings.image_size, run.settings.threads)
    try:
        split = _divide(run, found, known, store)
    except KeyboardInterrupt:
        say(f"go on with: {resume_command(run.folder)}")
        raise
    return _train(run, found.samples, store, split)


def _divide(
    run: Run, found: LabelledPhotos, known: dict[str, tuple[str, str]] | None, store: PixelStore
) -> Split:
    """Decode the photos, tell what is odd about them, and split them."""
    decoded = store.decode(run.state_folder)
    groups = near_identical_groups(decoded.thumbnails)
    say(as_table(check(found, decoded, groups)))
    kept = np.asarray([i for i in range(len(found.samples)) if i not in decoded.failures])
    samples = [found.samples[i] for i in kept]
    if known is None:
        part = make_split([sample.label for sample in samples], groups[kept], run.settings.seed)
    else:
        part = apply_split(known, samples, groups[kept])
        if findings := check_split(known, samples, part):
            say(as_table(findings))
    split = Split(kept[part.train], kept[part.test], kept[part.valid])
    write_split(run.folder / SPLIT, found.samples, split)
    write_json(run.folder / CLASSES, sorted({sample.label for sample in samples}))
    return split


def resume_training(folder: Path) -> Outcome:
    """Go on with a training that was stopped, from its last checkpoint.

    One that was stopped while its photos were read starts over.

    Args:
        folder: of the run.

    Raises:
        ImgsimError: as :func:`start_training`; also where the run is finished, or the data has
            changed in a way that it cannot take: photos gone, other labels, or classes added.
        KeyboardInterrupt: likewise.
    """
    run = open_run(folder)
    after_reading = (run.folder / CLASSES, run.state_path, run.classifier_path)
    if not any(path.is_file() for path in after_reading):
        return _start_over(run)
    if run.classifier_path.is_file() and not has_checkpoint(run):
        raise RunError(
            f"{folder} is finished: nothing to go on with "
            "(see report.html; start a new run in another folder)"
        )
    classes = run.classes()
    known = read_split(run.folder / SPLIT)
    found = find_photos(run.data)
    _check_same(run, found, classes, known)
    configure(run.settings.threads, run.settings.seed)
    part_of_photo = np.asarray([known.get(s.name, ("", ""))[1] for s in found.samples])
    split = Split(*(np.nonzero(part_of_photo == part)[0] for part in (TRAIN, TEST, VALID)))
    make_state_folder(run)
    store = PixelStore(found.samples, run.settings.image_size, run.settings.threads)
    if not store.reuse(run.state_folder):
        unreadable = store.decode(run.state_folder).failures
        _check_none_gone(
            run, [s.name for i, s in enumerate(found.samples) if i in unreadable], known
        )
    return _train(run, found.samples, store, split)


def _start_over(run: Run) -> Outcome:
    found = find_photos(run.data)
    require_two_classes(found.classes)
    given = run.given_split_path
    known = read_split(given) if given.is_file() else None
    configure(run.settings.threads, run.settings.seed)
    make_state_folder(run)
    return _start(run, found, known)


def _check_same(
    run: Run, found: LabelledPhotos, classes: Sequence[str], known: dict[str, tuple[str, str]]
) -> None:
    changed = [s.name for s in found.samples if s.name in known and known[s.name][0] != s.label]
    if changed:
        raise DataError(
            f"{len(changed)} photos of {run.folder} have another label than when it was started, "
            f"the first is {changed[0]} (give the old ones back, or start a new run)"
        )
    # A class whose photos are all unreadable was left out at the start, too.
    added = (s.label for s in found.samples if s.label not in classes and _is_readable(s))
    if label := next(added, None):
        raise DataError(
            f"the data has a class that {run.folder} was not started with: {label} "
            "(take it away again, or start a new run)"
        )
    _check_none_gone(run, set(known) - {sample.name for sample in found.samples}, known)


def _check_none_gone(run: Run, names: Iterable[str], known: Iterable[str]) -> None:
    if gone := sorted(set(names) & set(known)):
        raise DataError(
            f"{len(gone)} photos of {run.folder} cannot be read any more, the first is {gone[0]} "
            "(put them back, or start a new run)"
        )


def _is_readable(sample: Sample) -> bool:
    try:
        load_photo(sample.path)
    except PhotoError:
        return False
    return True


def _train(run: Run, samples: Sequence[Sample], store: PixelStore, split: Split) -> Outcome:
    classes = run.classes()
    number = {name: position for position, name in enumerate(classes)}
    labels = np.asarray([number.get(sample.label, -1) for sample in samples], dtype=np.intp)
    counts = ", ".join(f"{len(own)} {name}" for name, own in split.parts().items())
    say(f"{len(classes)} classes; photos: {counts}")
    task = Task(store, labels, len(classes), split)
    trainer: Trainer = (PlainTrainer if run.settings.recipe == PLAIN else LinearTrainer)(run, task)
    try:
        trained = trainer.train()
    except KeyboardInterrupt:
        say("stopping: keeping the best until now")
        if trainer.keep_best_so_far():
            say(f"it is in {run.classifier_path}")
        say(f"go on with: {resume_command(run.folder)}")
        raise
    classifier = save_classifier(run, trained)
    metrics = None
    if len(split.test):
        metrics = _measure(run, task, trainer, classifier, [samples[i].name for i in split.test])
        write_json(run.folder / METRICS, metrics.to_json())
    else:
        say(f"no photo is in the test part: there is no {METRICS}")
    write_report(run, trainer.history(), metrics, classes, split, lambda i: store.read([i])[0])
    remove_state(run)
    return Outcome(run, metrics)


def _measure(
    run: Run, task: Task, trainer: Trainer, classifier: Any, names: Sequence[str]
) -> Metrics:
    tested = task.split.test
    layers = (OUTPUT_LAYER, EMBEDDING_LAYER, DETAILS_LAYER, FEATURES_LAYER)
    answers = predict(part_of(classifier, *layers), task.store.read, tested, "testing")
    sizes = [classifier.get_layer(name).output.shape[1] for name in layers]
    probabilities, embedding, details, features = np.split(answers, np.cumsum(sizes)[:-1], axis=1)
    raw = trainer.raw_test_features()
    vectors = {"embedding": embedding, "details": details, "raw features of the backbone": raw}
    if not np.array_equal(features, raw):
        vectors["raw features after fine-tuning"] = features
    photos = MeasuredPhotos(tested, names, task.labels[tested])
    return measure(probabilities, photos, run.classes(), vectors)
