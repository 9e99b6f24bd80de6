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
# What turns a standardised score into a logit: its offset, and the logarithm of its slope, are
# linear in what `_circumstances` tells. Fitted to labels drawn from photos like those of `train`.
_OFFSET = (-0.338, 0.570, 1.847, -1.457, 1.413, 0.114, -0.051, -1.109, -0.424, -0.259)
_LOG_SLOPE = (1.353, 0.141, 0.598, 0.188, 0.110, -0.720, -0.491, -0.047, -0.356, 0.133)

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
    told = len(shown) + len(not_shown)
    x = np.vstack([shown, not_shown, sample])
    y = np.arange(len(x)) < len(shown)
    weight = np.ones(len(x))
    # What stands against the examples weighs, in each part, at most as much as they do.
    weight[len(shown) : told] = min(1.0, len(shown) / max(len(not_shown), 1))
    weight[told:] = len(shown) / len(sample)
    ways = []
    for ridge in next(ridges for fewest, ridges in RIDGES if len(shown) >= fewest):
        best = _fit(x, y, weight, ridge)
        kept = ~_shows_it(best.left_out[: len(shown)], best.left_out[told:])
        if not kept.all():
            lighter = weight.copy()
            lighter[told:] = np.where(kept, len(shown) / kept.sum(), 0.0)
            best = _fit(x, y, lighter, ridge, best.solution)
        ways.append(best)
    best = min(ways, key=lambda way: way.loss)
    scores, others = best.left_out[: len(shown)], x[told:] @ best.solution[:-1]
    slope, offset = _calibrate(scores, others)
    likely = _sigmoid(offset + slope * others)
    quality = _area(scores, best.left_out[told:][likely < 0.5])
    return Classifier(
        best.solution[:-1],
        slope,
        offset,
        float(likely.mean().clip(_LEAST_SHOWN / len(sample), 1.0)),
        quality if len(shown) >= FEW else None,
    )


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


def _calibrate(shown: Floats, sample: Floats) -> tuple[float, float]:
    """Turn scores into probabilities: slope and offset of the logit.

    Scores are measured by the lower half of the sample, which does not show the thing, however
    common it is.
    """
    middle = float(np.median(sample))
    spread = max(middle - float(np.quantile(sample, 0.16)), 1e-9)
    told = _circumstances((shown - middle) / spread, np.sort((sample - middle) / spread))
    slope = float(np.exp(np.clip(told @ np.array(_LOG_SLOPE), -4, 4))) / spread
    return slope, float(told @ np.array(_OFFSET)) - slope * middle


def _circumstances(shown: Floats, sample: Floats) -> Floats:
    """Tell what a score's meaning depends on, from standardised scores, the sample's sorted.

    How many examples there are; how high they, each left out, or else the best of the sample score;
    how far the sample reaches up, and how much of it nearly as high as the examples, which tells
    how much of it shows the thing; and how large it is: in a small collection a thing that somebody
    names is a larger part than in a large one.
    """
    few = len(shown) < FEW
    reach = max(float(sample[-1] if few else shown.mean()), 1.0)
    upper, top = np.maximum(np.quantile(sample, (0.9, 0.98)), 1e-3)
    fifth = max(float(np.quantile(sample, 0.8)), 0.05)
    alike = (float((sample > 0.7 * reach).sum()) + 0.5) / len(sample)
    count = np.log([len(shown), reach, upper, top, len(shown) + 1, len(sample), fifth, alike])
    return np.array([1.0, count[0], few, *count[1:4], count[4] * few, *count[5:]])


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
