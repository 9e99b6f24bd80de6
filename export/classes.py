"""What an export needs to tell classes apart: a temperature, and where the classes lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..infer.arrays import Pixels, Vectors
from ..infer.encoder.classes import ClassRegions, PhotoClassifier
from ..infer.encoder.onnx_encoder import OUTPUT_NAME, PROBABILITIES_NAME
from ..train.data.split import TEST, TRAIN, VALID
from .convert import LEAST_PROBABILITY
from .errors import ExportError
from .parity import BATCH
from .photos import RunPhotos

MOST_PHOTOS = 2000  # of each part that is looked at
TURNED_AWAY = 0.05  # fraction of the validation photos that count as strangers
_TEMPERATURES = np.geomspace(0.05, 20, 241)
_BINS = 10  # of the expected calibration error


@dataclass(frozen=True, eq=False)
class FittedClasses:
    """What was fitted for the classes.

    Attributes:
        temperature: with the lowest cross-entropy on the validation photos.
        regions: where the classes lie.
    """

    temperature: float
    regions: ClassRegions


@dataclass(frozen=True)
class MeasuredClasses:
    """How well the exported file tells classes apart, on photos that nothing was fitted to.

    Attributes:
        photos: of the test part.
        accuracy: of the most probable class.
        calibration_error: expected, over ten bins of the highest probability (Guo et al. 2017).
        before: that error without the temperature.
        strangers: fraction of these photos, all of known classes, that count as none of them.
    """

    photos: int
    accuracy: float
    calibration_error: float
    before: float
    strangers: float


def fit_classes(whole: Any, names: Sequence[str], photos: RunPhotos) -> FittedClasses:
    """Fit temperature and regions.

    Args:
        whole: a Keras model that gives embeddings and probabilities, see ``with_classes``.
        names: of the classes, in the order of its probabilities.
        photos: of the run.

    Raises:
        ExportError: no photo is kept for validation, or a class has none to train on.
    """
    if not photos.count((VALID,)):
        raise ExportError("the run has no validation photos to calibrate probabilities on")
    place = {name: n for n, name in enumerate(names)}
    valid = photos.take((VALID,), MOST_PHOTOS)
    given = _run(whole, valid.pixels)
    truth = np.array([place[label] for label in valid.labels])
    logits = np.log(np.maximum(given[PROBABILITIES_NAME].astype(np.float64), LEAST_PROBABILITY))
    losses = [_cross_entropy(logits / t, truth) for t in _TEMPERATURES]

    trained = photos.take((TRAIN,), MOST_PHOTOS)
    embeddings = _unit(_run(whole, trained.pixels)[OUTPUT_NAME])
    own = np.array([place[label] for label in trained.labels])
    missing = [name for n, name in enumerate(names) if not (own == n).any()]
    if missing:
        raise ExportError(f"class {missing[0]!r} has no training photo to know it by")
    centre = embeddings.mean(axis=0)
    means = [_unit(embeddings[own == n] - centre).mean(axis=0) for n in range(len(names))]
    regions = ClassRegions(centre, _unit(np.stack(means)), -1.0)
    near = regions.nearness(_unit(given[OUTPUT_NAME]))
    least = float(np.quantile(near, TURNED_AWAY))
    return FittedClasses(
        float(_TEMPERATURES[int(np.argmin(losses))]), ClassRegions(centre, regions.means, least)
    )


def measure_classes(path: Path, whole: Any, photos: RunPhotos) -> MeasuredClasses | None:
    """Measure an exported file on the test part; None where that is empty."""
    if not photos.count((TEST,)):
        return None
    test = photos.take((TEST,), MOST_PHOTOS)
    classifier = PhotoClassifier(path)
    found = classifier.classify(test.pixels)
    truth = np.array([classifier.classes.index(label) for label in test.labels])
    _, calibrated = classifier.encoder.embeddings_and_probabilities(test.pixels)
    return MeasuredClasses(
        photos=len(truth),
        accuracy=float((calibrated.argmax(axis=1) == truth).mean()),
        calibration_error=calibration_error(calibrated, truth),
        before=calibration_error(_run(whole, test.pixels)[PROBABILITIES_NAME], truth),
        strangers=float(np.mean([one.is_stranger for one in found])),
    )


def calibration_error(probabilities: Vectors, truth: Any) -> float:
    """Average, over bins of the highest probability, how far it is from the fraction right."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((top * _BINS).astype(int), _BINS - 1)
    gaps = [abs(top[bins == n].sum() - right[bins == n].sum()) for n in range(_BINS)]
    return float(sum(gaps) / len(truth))


def _cross_entropy(logits: Any, truth: Any) -> float:
    logits = logits - logits.max(axis=1, keepdims=True)
    norm = np.log(np.exp(logits).sum(axis=1))
    return float((norm - logits[np.arange(len(truth)), truth]).mean())


def _run(whole: Any, pixels: Pixels) -> dict[str, Vectors]:
    whole.jit_compile = False  # XLA would compile longer than these few photos take
    parts = [whole.predict_on_batch(pixels[at : at + BATCH]) for at in range(0, len(pixels), BATCH)]
    given = {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}
    if given[PROBABILITIES_NAME].shape[1] == 1:  # one unit tells two classes apart
        second = given[PROBABILITIES_NAME]
        given[PROBABILITIES_NAME] = np.hstack([1 - second, second])
    return given


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
