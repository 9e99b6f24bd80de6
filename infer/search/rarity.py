"""What a score is worth: how rarely two photos taken at random are as similar.

A score of 0.4 may be common for one encoder or collection and rare for another. Its rarity is N
where one random pair in N scores at least that. An index holds the distribution of its own pairs;
an encoder's metadata hold that of the photos it was made with, under the key ``METADATA_KEY``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EncoderError

METADATA_KEY = "background_cosines"  # in an encoder's metadata_props
SAMPLE = 2000  # photos; all pairs among them are compared, two million
POINTS = 128  # of the distribution that are kept, evenly spaced by the logarithm of the share
SCORE_DIGITS = 5  # decimals of a kept score


@dataclass(frozen=True)
class Rarity:
    """How the cosines of random pairs of photos are distributed, in detail at the similar end.

    Attributes:
        pairs: how many were compared.
        scores: cosines, falling.
        counts: how many pairs have at least that cosine, rising; the last is ``pairs``.
    """

    pairs: int
    scores: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, vectors: NDArray[Any], seed: int = 0) -> Rarity:
        """Compare all pairs among (at most ``SAMPLE``) photos drawn at random.

        Args:
            vectors: float, shape = (n, dimension), of unit length, n at least 2.
            seed: of the draw.

        Raises:
            ValueError: fewer than two vectors.
        """
        if len(vectors) < 2:
            raise ValueError("rarity needs at least two photos")
        random = np.random.default_rng(seed)
        chosen = np.sort(random.permutation(len(vectors))[:SAMPLE])
        sample = np.asarray(vectors[chosen], dtype=np.float32)
        cosines = (sample @ sample.T)[np.triu_indices(len(sample), 1)].astype(np.float64)
        cosines = np.sort(cosines.clip(-1, 1))[::-1]
        ranks = np.geomspace(1, len(cosines), POINTS).astype(np.int64)
        # Rounded down and counted afterwards, so that each kept point is exact.
        unit = 10.0**SCORE_DIGITS
        scores = np.unique(np.floor(cosines[ranks - 1] * unit) / unit)[::-1]
        counts = np.searchsorted(-cosines, -scores, "right")
        return cls(len(cosines), tuple(scores.tolist()), tuple(counts.tolist()))

    def of_score(self, score: float) -> float:
        """Tell N where one random pair in N scores at least that; at least 1.

        Never more than the pairs of the sample: what is rarer, the sample cannot tell.
        """
        return float(np.exp(-np.interp(-score, self._falling, self._log_shares)))

    def score(self, rarity: float) -> float:
        """Tell the score that only one random pair in so many reaches: the inverse."""
        log_share = -np.log(min(max(rarity, 1.0), self.pairs))
        return float(np.interp(log_share, self._log_shares, self.scores))

    def as_rare_by(self, other: Rarity, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn scores of this kind into those of another kind that are as rare there.

        Args:
            other: how the scores of that kind are distributed.
            scores: in [−1, 1], any shape; what is rarer than the sample can tell lies between its
                last point and 1, which stays 1.
        """
        grid = np.union1d(self._log_shares, other._log_shares)[::-1]  # from common to rare
        own = np.interp(grid, self._log_shares, self.scores)
        theirs = np.interp(grid, other._log_shares, other.scores)
        found: NDArray[np.float64] = np.interp(scores, [-1.0, *own, 1.0], [-1.0, *theirs, 1.0])
        return found

    @cached_property
    def _falling(self) -> NDArray[np.float64]:
        return np.negative(self.scores)

    @cached_property
    def _log_shares(self) -> NDArray[np.float64]:
        return np.log(np.divide(self.counts, self.pairs))

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, str]) -> Rarity | None:
        """Read what an encoder's metadata say; None where they say nothing.

        Raises:
            EncoderError: they say it in a form that cannot be read.
        """
        text = metadata.get(METADATA_KEY)
        try:
            return None if text is None else cls.from_text(text)
        except ValueError as error:
            raise EncoderError(f"the model's metadata are damaged: {error}") from error

    def to_text(self) -> str:
        """Write it as JSON, some 2 kB."""
        return json.dumps({"pairs": self.pairs, "scores": self.scores, "counts": self.counts})

    @classmethod
    @lru_cache(maxsize=8)  # the same note is read for every query
    def from_text(cls, text: str) -> Rarity:
        """Read what :meth:`to_text` wrote.

        Raises:
            ValueError: the text is something else.
        """
        try:
            values = json.loads(text)
            pairs = int(values["pairs"])
            scores = tuple(float(v) for v in values["scores"])
            counts = tuple(int(v) for v in values["counts"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no distribution of cosines: {error}") from error
        whole = 0 < len(scores) == len(counts) and counts[0] > 0 and counts[-1] == pairs
        falling = all(a > b for a, b in pairwise(scores))
        rising = all(a < b for a, b in pairwise(counts))
        if not (whole and falling and rising):
            raise ValueError("no distribution of cosines: its points are not in order")
        return cls(pairs, scores, counts)


def in_words(rarity: float) -> str:
    """Write a rarity as people read it: ``"1 in 2,400"``."""
    if rarity < 10:
        return f"1 in {rarity:.1f}"
    digits = 10 ** (len(str(int(rarity))) - 2)  # two digits carry all that a sample can tell
    return f"1 in {round(rarity / digits) * digits:,}"
