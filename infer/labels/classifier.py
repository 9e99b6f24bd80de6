"""A classifier learnt from a few examples and the collection around them.

Logistic regression on a photo's embedding and details, both seen from the collection's mean. What
is no example counts, in a sample, as "not": photos of the sample that look as if they showed the
thing all the same are left out and the rest is learnt again. With a strong ridge the weights point
from the mean of the collection to the mean of the examples, so that a single example is a search
by likeness; with a weak one, what the collection has in common is discounted. With few examples it
is the strong one, which finds the last photos of a kind sooner; with more, leaving one photo out at
a time decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Vectors

BANDS = ((0.9, "sure"), (0.5, "likely"), (0.1, "perhaps"), (0.0, "unlikely"))
# The fewest examples, and the ridges that are tried then: of the weights' square, where an example
# weighs one. Of several, cross-validation takes one; with very many there is nothing to choose.
RIDGES = ((100, (0.03,)), (10, (0.3, 0.1, 0.03)), (1, (1.0,)))
FEW = 3  # fewer examples than this cannot be cross-validated
_STEPS = 12  # Newton's, at most
_SETTLED = 1e-3  # largest change of a weight that is none
_EM_ROUNDS = 60
_LEAST_SHOWN = 0.5  # photos of the sample that are taken to show the thing, at least
# What turns a standardised score into a logit: its offset and its slope are linear in what
# `circumstances` tells. `tests/benchmarks/labels_calibration.py` fits them.
_OFFSET = (-4.395, 0.261, 1.781, -1.028, 0.306, -0.936, -0.128, -0.256)
_SLOPE = (0.699, 0.257, 0.223, -0.051, -0.084, 0.019, -0.418, -0.005, -0.110, -0.171)
_LEAST_SLOPE = 0.2

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Centre:
    """The collection's mean, from which photos are looked at.

    Attributes:
        embedding: float32, shape = (dimension,).
        details: float32, shape = (details,); of no numbers where there are none.
    """

    embedding: Vectors
    details: Vectors

    def features(self, embeddings: Vectors, details: Vectors) -> Vectors:
        """Put both vectors of photos side by side, each centred and of unit length.

        Args:
            embeddings: float32, shape = (n, dimension).
            details: float32, shape = (n, details).

        Returns:
            float32, shape = (n, dimension + details).
        """
        parts = [_centred(embeddings, self.embedding)]
        if self.details.size:
            parts.append(_centred(details, self.details))
        both: Vectors = np.hstack(parts) / np.float32(np.sqrt(len(parts)))
        return both


@dataclass(frozen=True, eq=False)
class Classifier:
    """Tells how likely photos show a thing.

    Attributes:
        weights: float64, shape = (features,).
        slope: of the probability's logit over the score.
        offset: of that logit.
        prevalence: fraction of the collection that is thought to show the thing, in (0, 1).
        quality: area under the ROC curve of examples, each left out in turn, against the
            collection, in [0, 1]; None with fewer than ``FEW`` examples.
    """

    weights: Floats
    slope: float
    offset: float
    prevalence: float
    quality: float | None

    def scores(self, features: Vectors) -> Floats:
        """Give the scores of photos: float64, shape = (n,); features as :meth:`Centre.features`."""
        scores: Floats = features @ self.weights
        return scores

    def probabilities(self, scores: Floats) -> Floats:
        """Turn scores into probabilities: float64, shape = (n,), in (0, 1)."""
        return _sigmoid(self.slope * scores + self.offset)


def band(probability: float) -> str:
    """Put a probability in a word of ``BANDS``."""
    return next(word for least, word in BANDS if probability >= least)


def learn(shown: Vectors, not_shown: Vectors, sample: Vectors) -> Classifier:
    """Learn from examples.

    Args:
        shown: features of examples, float32, shape = (n, features), n at least 1.
        not_shown: likewise of photos that are said not to show the thing; may be none.
        sample: likewise of photos of the collection, drawn at random, without the examples.

    Raises:
        ValueError: there is no example, or no sample.
    """
    if not len(shown) or not len(sample):
        raise ValueError("nothing to learn from: need an example and a sample of the collection")
    found = separate(shown, not_shown, sample)
    for_offset, for_slope = circumstances(found)
    slope = max(float(for_slope @ np.array(_SLOPE)), _LEAST_SLOPE) / found.spread
    offset = float(for_offset @ np.array(_OFFSET)) - slope * found.middle
    likely = _sigmoid(offset + slope * found.sample)
    quality = _area(found.shown, found.sample_left_out[likely < 0.5])
    return Classifier(
        found.weights,
        slope,
        offset,
        float(likely.mean().clip(_LEAST_SHOWN / len(sample), 1.0)),
        quality if len(shown) >= FEW else None,
    )


@dataclass(frozen=True, eq=False)
class Separation:
    """Examples set apart from a collection by scores that mean nothing in themselves yet.

    Attributes:
        weights: float64, shape = (features,).
        shown: scores of the examples, each by weights learnt without it.
        not_shown: likewise of what is said not to show the thing.
        sample: scores of the sample.
        sample_left_out: likewise, each by weights learnt without it.
    """

    weights: Floats
    shown: Floats
    not_shown: Floats
    sample: Floats
    sample_left_out: Floats

    @property
    def middle(self) -> float:
        """Median of the sample."""
        return float(np.median(self.sample))

    @property
    def spread(self) -> float:
        """How far the sample scatters below: what shows the thing, however common, is above."""
        return max(self.middle - float(np.quantile(self.sample, 0.16)), 1e-9)


def separate(shown: Vectors, not_shown: Vectors, sample: Vectors) -> Separation:
    """Learn scores by which examples stand out; arguments as of :func:`learn`."""
    told = len(shown) + len(not_shown)
    x = np.vstack([shown, not_shown, sample])
    y = np.arange(len(x)) < len(shown)
    weight = np.ones(len(x))
    # What stands against the examples weighs, in each part, at most as much as they do.
    weight[len(shown) : told] = min(1.0, len(shown) / max(len(not_shown), 1))
    weight[told:] = len(shown) / len(sample)
    ways, start = [], None
    for ridge in next(ridges for fewest, ridges in RIDGES if len(shown) >= fewest):
        best = _fit(x, y, weight, ridge, start)
        start = best.solution  # the next ridge's is not far
        kept = ~_shows_it(best.left_out[: len(shown)], best.left_out[told:])
        if not kept.all():
            lighter = weight.copy()
            lighter[told:] = np.where(kept, len(shown) / kept.sum(), 0.0)
            best = _fit(x, y, lighter, ridge, best.solution)
        ways.append(best)
    best = min(ways, key=lambda way: way.loss)
    weights = best.solution[:-1]
    return Separation(
        weights,
        best.left_out[: len(shown)],
        best.left_out[len(shown) : told],
        x[told:] @ weights,
        best.left_out[told:],
    )


def circumstances(found: Separation) -> tuple[Floats, Floats]:
    """Tell what a score's meaning depends on, in scores standardised by the sample's lower half.

    How many examples there are, and how high they score, each left out, or else the best of the
    sample; how much of the sample scores (nearly) as high, and how far it reaches up, which tells
    how much of it shows the thing; how large it is: in a small collection, what somebody
    names is a larger part than in a large one; how high what does not show it scores.

    Returns:
        what the offset of the logit is linear in, and what its slope is.
    """
    shown = (found.shown - found.middle) / found.spread
    sample = (found.sample - found.middle) / found.spread
    few = len(shown) < FEW
    reach = max(float(sample.max() if few else shown.mean()), 1.0)
    count, size = np.log(len(shown)), np.log(len(sample) / 1000)
    alike, more = (
        np.log((float((sample > part * reach).sum()) + 0.5) / len(sample)) for part in (0.7, 1.0)
    )
    upper = np.log(max(float(np.quantile(sample, 0.9)), 0.05))
    no = (found.not_shown - found.middle) / found.spread
    height = float(no.mean()) / reach if len(no) else 0.0
    far = np.log(reach)
    scatter = np.log(max(float(sample.std()), 1e-9))
    both = (1.0, count, float(few), far, alike)
    slope = (*both, alike * count, scatter, more, size, np.log(len(shown) + 1) * few)
    return np.array([*both, size, upper, height]), np.array(slope)


@dataclass(frozen=True, eq=False)
class _Fit:
    solution: Floats  # weights and intercept
    left_out: Floats  # scores, each by weights learnt without that photo
    loss: float  # mean cross-entropy of those


def _fit(x: Vectors, y: Bools, weight: Floats, ridge: float, start: Floats | None = None) -> _Fit:
    """Fit by Newton's method, and leave each photo out by one step from the common solution.

    The latter is approximate leave-one-out: Rahnama Rad and Maleki, A scalable estimate of the
    out-of-sample prediction error via approximate leave-one-out cross-validation, JRSS B 2020.
    """
    z = np.hstack([x, np.ones((len(x), 1), np.float32)])
    penalty = np.full(z.shape[1], ridge)
    penalty[-1] = 1e-6  # the intercept is free
    if start is None:
        w = np.zeros(z.shape[1])
        w[-1] = np.log(weight[y].sum() / weight[~y].sum())
    else:
        w = start.copy()
    for _ in range(_STEPS):
        p = _sigmoid(z @ w.astype(np.float32))
        curve = weight * p * (1 - p)
        slope = z.T @ (weight * (p - y)).astype(np.float32) + penalty * w
        half = z * np.sqrt(curve).astype(np.float32)[:, None]
        hessian = (half.T @ half).astype(np.float64) + np.diag(penalty)
        step = np.linalg.solve(hessian, slope)
        w -= step
        if np.abs(step).max() < _SETTLED * max(1.0, np.abs(w).max()):
            break
    logits = (z @ w.astype(np.float32)).astype(np.float64)
    p = _sigmoid(logits)
    inverse = np.linalg.inv(hessian).astype(np.float32)
    lever = np.einsum("ij,ij->i", z @ inverse, z).astype(np.float64)
    bend = np.minimum(weight * p * (1 - p) * lever, 0.99)
    left_out = logits + lever * weight * (p - y) / (1 - bend)
    losses = np.logaddexp(0.0, np.where(y, -left_out, left_out))
    return _Fit(w, left_out - w[-1], float(weight @ losses / weight.sum()))


def _shows_it(shown: Floats, sample: Floats) -> Bools:
    """Tell which photos of the sample seem to show the thing: bool, shape = (n,), never all."""
    if len(shown) < FEW:
        return np.zeros(len(sample), dtype=bool)
    a, b = _mixture(shown, sample)
    found: Bools = (a + b * sample > 0) & (sample > np.median(sample))
    return found


def _mixture(shown: Floats, sample: Floats) -> tuple[float, float]:
    """Learn from scores alone what a score says: offset and slope of the logit.

    The examples are drawn from what shows the thing, the sample from everything; the ratio of the
    two densities is taken to be exponential in the score, and expectation maximisation finds it
    together with the fraction that shows it (Qin, Empirical likelihood ratio based confidence
    intervals for mixture proportions, Annals of Statistics 1999).
    """
    middle, spread = float(np.median(sample)), float(sample.std()) or 1.0
    part = (sample - middle) / spread
    z = np.concatenate([(shown - middle) / spread, part])
    likely = np.zeros(len(sample))
    a, b, prior = -6.0, 1.0, 0.0
    for _ in range(_EM_ROUNDS):
        count = max(likely.sum(), _LEAST_SHOWN)
        a, b = _line(z, np.concatenate([np.ones(len(shown)), likely]), a, b)
        # The examples came on top of the collection's own: back to its odds.
        prior = float(np.log((len(shown) + count) / count))
        before, likely = likely, _sigmoid(a + b * part - prior)
        if np.abs(likely - before).max() < 1e-4:
            break
    return a - prior - b * middle / spread, b / spread


def _line(x: Floats, y: Floats, a: float, b: float) -> tuple[float, float]:
    """Fit logit p = a + b x to targets in [0, 1], with a mild prior that keeps b finite."""
    for _ in range(_STEPS):
        p = _sigmoid(a + b * x)
        q = p * (1 - p)
        g = np.array([(p - y).sum(), ((p - y) * x).sum() + 0.05 * b])
        h = np.array([[q.sum(), (q * x).sum()], [(q * x).sum(), (q * x * x).sum() + 0.05]])
        h[0, 0] += 1e-6
        step = np.linalg.solve(h, g).clip(-3, 3)
        a, b = a - float(step[0]), b - float(step[1])
        if np.abs(step).max() < 1e-4:
            break
    return a, b


def _area(shown: Floats, sample: Floats) -> float:
    """Measure how often an example scores higher than a photo of the collection."""
    if not len(sample):
        return 1.0
    return float((np.searchsorted(np.sort(sample), shown) / len(sample)).mean())


def _centred(vectors: Vectors, mean: Vectors) -> Vectors:
    moved = vectors - mean
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.where(lengths > 0, lengths, 1), np.float32)


def _sigmoid(x: Floats) -> Floats:
    result: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return result
