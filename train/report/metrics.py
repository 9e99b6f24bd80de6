"""Stage 6 of training: how good the classifier is on photos that it never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...infer.evaluation import metrics as retrieval

CONFIDENCE = 0.95  # of the intervals
_Z = 1.959964  # of the normal distribution, for 95 %
MOST_WRONG = 24  # photos shown

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Share:
    """A share with its 95 % confidence interval (Wilson 1927), all 0 to 1.

    Attributes:
        value: what was counted.
        low: lower end of the interval.
        high: upper end.
        of: number of photos it was counted on.
    """

    value: float
    low: float
    high: float
    of: int


@dataclass(frozen=True)
class MeasuredPhotos:
    """The photos that are measured on.

    Attributes:
        samples: shape = (photos,), their indices in the data set.
        names: as in the data set.
        labels: shape = (photos,), their true classes.
    """

    samples: NDArray[np.intp]
    names: Sequence[str]
    labels: NDArray[np.intp]


@dataclass(frozen=True)
class ClassQuality:
    """How one class fares on the test part.

    Attributes:
        name: of the class.
        photos: of it in the test part.
        precision: of those called so, how many are; None where none was called so.
        recall: of those that are, how many were called so; None where there are none.
        f1: harmonic mean of the two, counted on the photos that are so or are called so; None
            where there are no photos.
    """

    name: str
    photos: int
    precision: Share | None
    recall: Share | None
    f1: Share | None


@dataclass(frozen=True)
class Mistake:
    """A test photo that was called something else.

    Attributes:
        sample: index of the photo in the data set.
        path: its name in the data set, a path with forward slashes.
        truth: its label.
        called: what the classifier says.
        confidence: with which it says so, 0 to 1.
    """

    sample: int
    path: str
    truth: str
    called: str
    confidence: float


@dataclass(frozen=True)
class Found:
    """How well vectors find test photos of the same class.

    Attributes:
        what: the vectors' name.
        dimension: their length.
        mean_average_precision: 0 to 1.
        precision_at_1: 0 to 1.
        precision_at_10: 0 to 1.
    """

    what: str
    dimension: int
    mean_average_precision: float
    precision_at_1: float
    precision_at_10: float


@dataclass(frozen=True)
class Metrics:
    """Everything that is measured on the test part.

    Attributes:
        accuracy: share of photos called right.
        classes: in the order of the network's outputs.
        confusion: counts; a row for each true class, a column for each called one.
        retrieval: of each kind of vectors.
        mistakes: the most confidently wrong first.
    """

    accuracy: Share
    classes: tuple[ClassQuality, ...]
    confusion: tuple[tuple[int, ...], ...]
    retrieval: tuple[Found, ...]
    mistakes: tuple[Mistake, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the numbers as plain dicts and lists."""
        return asdict(self)


def measure(
    probabilities: Floats,
    photos: MeasuredPhotos,
    classes: Sequence[str],
    vectors: dict[str, Floats],
) -> Metrics:
    """Measure a classifier on the test part.

    Args:
        probabilities: shape = (photos, 1) for two classes, else (photos, classes).
        photos: the test part.
        classes: names of the classes.
        vectors: name → shape = (photos, dimension), what to measure retrieval on.
    """
    if probabilities.shape[1] == 1:
        probabilities = np.concatenate([1 - probabilities, probabilities], axis=1)
    labels = photos.labels
    called = probabilities.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), np.intp)
    np.add.at(confusion, (labels, called), 1)
    confidence = probabilities[np.arange(len(called)), called]
    wrong = np.nonzero(called != labels)[0]
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return Metrics(
        accuracy=share(int(np.trace(confusion)), len(labels)),
        classes=tuple(_class(confusion, i, name) for i, name in enumerate(classes)),
        confusion=tuple(tuple(map(int, row)) for row in confusion),
        retrieval=tuple(
            found for name, own in vectors.items() if (found := _found(name, own, labels))
        ),
        mistakes=tuple(
            Mistake(
                sample=int(photos.samples[i]),
                path=photos.names[i],
                truth=classes[labels[i]],
                called=classes[called[i]],
                confidence=float(confidence[i]),
            )
            for i in wrong[:MOST_WRONG]
        ),
    )


def share(count: int, of: int) -> Share:
    """Give ``count / of`` with Wilson's score interval, which holds for few photos too."""
    if of == 0:
        return Share(0.0, 0.0, 1.0, 0)
    value = count / of
    middle = (value + _Z**2 / (2 * of)) / (1 + _Z**2 / of)
    half = _Z / (1 + _Z**2 / of) * math.sqrt(value * (1 - value) / of + _Z**2 / (4 * of**2))
    return Share(value, max(0.0, middle - half), min(1.0, middle + half), of)


def _class(confusion: NDArray[np.intp], index: int, name: str) -> ClassQuality:
    right = int(confusion[index, index])
    photos, called = int(confusion[index].sum()), int(confusion[:, index].sum())
    either = photos + called - right
    return ClassQuality(
        name,
        photos,
        precision=share(right, called) if called else None,
        recall=share(right, photos) if photos else None,
        f1=_f1(share(right, either)) if photos else None,
    )


def _f1(overlap: Share) -> Share:
    """Turn the share p of right ones among those that are or are called so into F1 = 2p / (1 + p).

    The formula rises with p, so the ends of p's interval become those of F1's.
    """
    value, low, high = (2 * p / (1 + p) for p in (overlap.value, overlap.low, overlap.high))
    return Share(value, low, high, overlap.of)


def _found(name: str, vectors: Floats, labels: NDArray[np.intp]) -> Found | None:
    measured = retrieval.measure(vectors, [str(label) for label in labels])
    if not len(measured.queries):
        return None  # no class has two test photos: there is nothing to find
    mean = {measure: float(measured.of(measure).mean()) for measure in measured.names}
    return Found(name, vectors.shape[1], mean["mAP"], mean["P@1"], mean["P@10"])
