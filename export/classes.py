"""What an export needs to tell classes: a temperature, and where the classes lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..infer.arrays import Pixels, Vectors
from ..infer.encoder.classes import ClassRegions, PhotoClassifier
from ..infer.encoder.onnx_encoder import PROBABILITIES_NAME
from ..train.data.split import TEST, VALID
from ..train.run_folder import LINEAR, PLAIN
from .convert import LEAST_PROBABILITY
from .errors import ExportError
from .parity import BATCH
from .photos import RunPhotos

MOST_PHOTOS = 2000  # of each part that is looked at
TURNED_AWAY = 0.1  # fraction of known photos that may count as strangers
DIRECTIONS = 50  # in which known photos differ most, at most
_FOLDS = (20, 5)  # of few photos, which each fold misses dearly, and of many
_FEW_PHOTOS = 200
_TEMPERATURES = np.geomspace(0.05, 20, 241)
# What temperatures usually are, and how widely their logarithms scatter. Discriminants of few
# photos are much too sure of themselves; trained networks are a little (Guo et al., table 1).
USUAL_TEMPERATURE = {LINEAR: 6.0, PLAIN: 1.5}
_SCATTER = 0.7
_BINS = 10  # of the expected calibration error

Floats = NDArray[np.float64]


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


def fit_temperature(whole: Any, names: Sequence[str], photos: RunPhotos, usual: float) -> float:
    """Find the temperature that is most probable after the validation photos.

    Few photos say little: what temperatures usually are counts as well, as a prior.

    Args:
        whole: a Keras model that gives probabilities, see ``with_classes``.
        names: of the classes, in the order of its probabilities.
        photos: of the run.
        usual: temperature of such networks, of ``USUAL_TEMPERATURE``.

    Raises:
        ExportError: no photo is kept for validation.
    """
    if not photos.count((VALID,)):
        raise ExportError("the run has no validation photos to calibrate probabilities on")
    valid = photos.take((VALID,), MOST_PHOTOS)
    given = _run(whole, valid.pixels)[PROBABILITIES_NAME]
    logits = np.log(np.maximum(given.astype(np.float64), LEAST_PROBABILITY))
    truth = np.array([names.index(name) for name in valid.labels])
    return likeliest_temperature(logits, truth, usual)


def likeliest_temperature(logits: Floats, truth: Any, usual: float) -> float:
    """Find the temperature of highest posterior probability.

    Args:
        logits: shape = (photos, classes).
        truth: shape = (photos,), the class of each.
        usual: what it usually is.
    """
    surprise = [_cross_entropy(logits / t, truth) * len(truth) for t in _TEMPERATURES]
    unusual = (np.log(_TEMPERATURES / usual) / _SCATTER) ** 2 / 2
    return float(_TEMPERATURES[int(np.argmin(surprise + unusual))])


def fit_regions(
    trained: Vectors, trained_of: Any, valid: Vectors, valid_of: Any, classes: int
) -> ClassRegions:
    """Find where classes lie, and from where on a photo is a stranger.

    Nearness is measured by cross-validation over all known photos, so that few of them are enough
    to tell what is usual; the limit is the conformal quantile (Vovk et al., Algorithmic Learning in
    a Random World, 2005). Convolutions that were trained know their training photos: where these
    are nearer than those for validation by more than chance, the limit is lowered by as much.

    Args:
        trained: features of training photos, float32, shape = (photos, features).
        trained_of: the class of each, 0 to ``classes`` − 1.
        valid: likewise of photos for validation; may be none.
        valid_of: the class of each.
        classes: how many there are; each needs a photo.
    """
    features = np.concatenate([trained, valid])
    own = np.concatenate([trained_of, valid_of])
    folds = min(_FOLDS[len(own) >= _FEW_PHOTOS], len(own))
    fold = np.random.default_rng(0).permutation(len(own)) % folds
    near = np.empty(len(own))
    for n in range(folds):
        near[fold == n] = _regions(features[fold != n], own[fold != n], classes).nearness(
            features[fold == n]
        )
    rank = max(int(TURNED_AWAY * (len(near) + 1)), 1)
    least = float(np.sort(near)[rank - 1])
    seen, unseen = near[: len(trained)], near[len(trained) :]
    if len(unseen) > 1:
        lost = float(seen.mean() - unseen.mean())
        if lost > 2 * unseen.std(ddof=1) / np.sqrt(len(unseen)):
            least -= lost
    return replace(_regions(features, own, classes), least=least)


def _regions(features: Vectors, own: Any, classes: int) -> ClassRegions:
    centre = features.mean(axis=0)
    moved = _unit(features - centre)
    # A class without a photo in this part lies nowhere.
    means = [moved[own == n].sum(axis=0) for n in range(classes)]
    axes = np.linalg.svd(moved, full_matrices=False)[2]
    directions = axes[: min(DIRECTIONS, len(features) // 2)]
    return ClassRegions(centre, directions, _unit(np.stack(means)), -1.0)


def measure_classes(path: Path, whole: Any, photos: RunPhotos) -> MeasuredClasses | None:
    """Measure an exported file on the test part; None where that is empty."""
    if not photos.count((TEST,)):
        return None
    test = photos.take((TEST,), MOST_PHOTOS)
    classifier = PhotoClassifier(path)
    found = classifier.classify(test.pixels)
    truth = np.array([classifier.classes.index(label) for label in test.labels])
    calibrated, _ = classifier.encoder.probabilities_and_features(test.pixels)
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
