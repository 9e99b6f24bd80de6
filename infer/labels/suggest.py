"""Which photos of an index show what a label says, and about which a person should be asked.

Two stages keep it quick and small: a classifier of embeddings alone goes through all photos, a part
at a time, and keeps the best; one of embeddings and details puts those in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ids, Vectors
from ..errors import UsageError
from ..index.image_index import ImageIndex, IndexedPhoto
from ..search.exact import Chunk
from .classifier import Centre, Classifier, band, learn

SAMPLE = 2000  # photos of the collection that stand for what is not shown
CANDIDATES = 1000  # photos whose details are looked at, at least
CANDIDATES_PER_ANSWER = 2
ASK = 10  # photos that are marked as worth asking about
FEW_ALLOWED = 20_000  # photos, up to which they are read alone and not picked out of all
MOST_NEW = 10_000  # of new photos, the best, are looked at for a label
LIKELY = 0.5  # probability from which on a new photo is told of
EXAMPLES = 1000  # that are learnt from, at most; of more, some are drawn at random


@dataclass(frozen=True)
class Suggestion:
    """A photo that may show what a label says.

    Attributes:
        rank: 1 for the most likely.
        photo: as the index knows it.
        probability: that it shows it, in (0, 1).
        band: that probability in a word of ``classifier.BANDS``.
        ask: an answer about it would teach the label most.
    """

    rank: int
    photo: IndexedPhoto
    probability: float
    band: str
    ask: bool


@dataclass(frozen=True)
class Suggestions:
    """What an index suggests for a label.

    Attributes:
        label: its name.
        answers: the most likely photos that are no examples yet, the likeliest first.
        questions: the photos worth asking about, the most informative first; some of them may be
            no answers.
        expected: how many photos of the collection are thought to show it, examples included.
        quality: area under the ROC curve of examples, each left out in turn, against the
            collection; None where the examples are too few to tell.
    """

    label: str
    answers: list[Suggestion]
    questions: list[Suggestion]
    expected: int
    quality: float | None


def suggest(
    index: ImageIndex,
    label: str,
    k: int = 50,
    *,
    within: Path | str | None = None,
    among: Collection[int] | None = None,
) -> Suggestions:
    """Suggest photos for a label. Changes nothing; sees one committed state of the index.

    Args:
        index: where the photos and the examples are.
        label: its name.
        k: how many answers at most.
        within: only photos below this folder are answers.
        among: only photos with these ids are.

    Raises:
        UsageError: there is no such label, k is less than 1, no example of what it shows is in
            the index, or the index holds nothing besides examples.
    """
    if k < 1:
        raise UsageError(f"the number of answers must be at least 1, not {k}")
    with index.frozen() as frozen:
        return _suggest(frozen, label, k, within, among)


def suggest_among_new(
    index: ImageIndex, new: Collection[int], *, least: float = LIKELY
) -> list[Suggestions]:
    """Suggest new photos for all labels that have examples; labels without an answer are left out.

    Args:
        index: where they are.
        new: their ids, such as ``AddReport.fresh``. Each label has ``MOST_NEW`` answers at most.
        least: probability that an answer has at least.
    """
    found = []
    with index.frozen() as frozen:
        known = [label.name for label in frozen.labels() if label.yes] if new else []
        for name in known:
            try:
                all_of_them = _suggest(frozen, name, min(len(new), MOST_NEW), None, new)
            except UsageError:  # no example of it is in this index, or nothing else is
                continue
            likely = [one for one in all_of_them.answers if one.probability >= least]
            if likely:
                found.append(replace(all_of_them, answers=likely))
    return found


def _suggest(
    index: ImageIndex,
    label: str,
    k: int,
    within: Path | str | None,
    among: Collection[int] | None,
) -> Suggestions:
    verdicts = index.examples(label)
    examples = index.photos_of(verdicts)
    shown = _once([photo for photo in examples if verdicts[photo.digest]])
    not_shown = _once([photo for photo in examples if not verdicts[photo.digest]])
    if not shown:
        raise UsageError(
            f"no photo of the index is an example of {label!r}: teach it one that shows it"
        )
    told = np.array(sorted(photo.id for photo in examples), dtype=np.int64)
    allowed = None if among is None else np.array(sorted(among), dtype=np.int64)
    if within is not None:
        below = np.array([photo.id for photo in index.photos(within=within)], dtype=np.int64)
        allowed = below if allowed is None else np.intersect1d(below, allowed)

    sample = np.setdiff1d(index.draw(SAMPLE), told)
    if not len(sample):
        raise UsageError("the index holds nothing but examples: index more photos")
    known = [index.vectors(part.tolist()) for part in (_ids(shown), _ids(not_shown), sample)]
    rough = _Learnt.of([vectors for _, vectors in known])
    wanted = max(CANDIDATES, CANDIDATES_PER_ANSWER * k)
    if allowed is not None and len(allowed) <= FEW_ALLOWED:
        parts: Iterable[Chunk] = [Chunk(*index.vectors(allowed.tolist()), 0)]
    else:
        parts = index.vector_parts()
    found = rough.best(parts, wanted, told, allowed)
    finer, scores, candidates = rough, found.scores, found.ids
    details = index.details(candidates.tolist())
    if details.shape[1]:
        finer = _Learnt.of(
            [vectors for _, vectors in known], [index.details(ids.tolist()) for ids, _ in known]
        )
        scores = finer.classifier.scores(finer.centre.features(found.vectors, details))
    probabilities = finer.classifier.probabilities(scores)
    order = np.argsort(-scores, kind="stable")
    answers = order[:k]
    # Uncertainty sampling: Lewis and Gale, A sequential algorithm for training text classifiers.
    doubtful = np.argsort(np.abs(probabilities - 0.5), kind="stable")[:ASK]
    photos = {
        photo.id: photo
        for photo in index.photos(candidates[np.union1d(answers, doubtful)].tolist())
    }
    asked = set(doubtful.tolist())
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(1, len(order) + 1)

    def suggestion(at: int) -> Suggestion:
        probability = float(probabilities[at])
        photo = photos[int(candidates[at])]
        return Suggestion(int(place[at]), photo, probability, band(probability), at in asked)

    return Suggestions(
        label,
        [suggestion(int(at)) for at in answers if int(candidates[at]) in photos],
        [suggestion(int(at)) for at in doubtful if int(candidates[at]) in photos],
        len(shown) + round(float(probabilities.sum())),
        finer.classifier.quality,
    )


@dataclass(frozen=True, eq=False)
class _Learnt:
    """A classifier, and from where it looks at photos."""

    centre: Centre
    classifier: Classifier

    @classmethod
    def of(cls, embeddings: list[Vectors], details: list[Vectors] | None = None) -> _Learnt:
        """Learn from examples, photos that are said to be none, and a sample of the collection."""
        details = details or [np.empty((len(own), 0), np.float32) for own in embeddings]
        centre = Centre(embeddings[2].mean(axis=0), details[2].mean(axis=0))
        parts = (centre.features(*both) for both in zip(embeddings, details, strict=True))
        return cls(centre, learn(*parts))

    def best(self, parts: Iterable[Chunk], count: int, told: Ids, allowed: Ids | None) -> _Found:
        """Find the photos with the highest scores, of embeddings alone, that are no examples.

        For unit vectors e and the mean m, |e − m|² = 1 − 2 e·m + |m|²: the centred vectors need
        not be written down.
        """
        mean = self.centre.embedding
        both = np.stack([self.classifier.weights.astype(np.float32), mean], axis=1)
        offset, square = float(both[:, 0] @ mean), float(mean @ mean)
        best = _Found(np.empty(0, np.int64), np.empty((0, len(mean)), np.float32), np.empty(0))
        for part in parts:
            products = part.vectors @ both
            length = np.sqrt(np.maximum(1 - 2 * products[:, 1] + square, 1e-12))
            scores = ((products[:, 0] - offset) / length).astype(np.float64)
            floor = best.scores.min() if len(best.ids) == count else -np.inf
            take = np.flatnonzero(scores > floor)
            take = take[~np.isin(part.ids[take], told)]
            if allowed is not None:
                take = take[np.isin(part.ids[take], allowed)]
            ids = np.concatenate([best.ids, part.ids[take]])
            vectors = np.concatenate([best.vectors, part.vectors[take]])
            every = np.concatenate([best.scores, scores[take]])
            keep = np.arange(len(every))
            if len(every) > count:
                keep = np.sort(np.argpartition(-every, count)[:count])
            best = _Found(ids[keep], vectors[keep], every[keep])
        return best


@dataclass(frozen=True, eq=False)
class _Found:
    ids: Ids
    vectors: Vectors
    scores: NDArray[np.float64]


def _once(photos: list[IndexedPhoto]) -> list[IndexedPhoto]:
    """Take one of the copies of each content, and of very many some."""
    different = list({photo.digest: photo for photo in photos}.values())
    if len(different) > EXAMPLES:
        drawn = np.random.default_rng(0).choice(len(different), EXAMPLES, replace=False)
        different = [different[n] for n in drawn]
    return different


def _ids(photos: list[IndexedPhoto]) -> Ids:
    return np.array(sorted(photo.id for photo in photos), dtype=np.int64)
