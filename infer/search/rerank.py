"""Candidates in order: by their details, each averaged with those among them that are like it.

What the few numbers of an embedding lose is the order of the best few hundred, not their presence.
A candidate that looks like others that look like the query is the likelier to be right: each is
averaged with its nearest among the candidates, and scores what it or that average scores, whichever
is more. (In the literature: database-side feature augmentation, Arandjelović & Zisserman, "Three
things everyone should know to improve object retrieval", CVPR 2012; here among the candidates
alone, so that nothing is stored and nothing changes when photos come.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Vectors
from .scores import SCORE_DIGITS, cosines

CANDIDATES = 200  # that are put in order for up to half as many answers
AVERAGED = 5  # nearest others among the candidates
WEIGHT_POWER = 2  # of the cosine: what is less alike counts for less
MOST_AVERAGED = 1000  # candidates; those behind them keep the score of their own details


def candidates_for(k: int) -> int:
    """Tell how many candidates to fetch for so many answers: twice as many, at least 200."""
    return max(CANDIDATES, 2 * k)


def final_scores(query: Vectors, candidates: Vectors) -> NDArray[np.float64]:
    """Score candidates, given best first by what they were found by.

    Args:
        query: float32, shape = (n,), centred and of unit length.
        candidates: float32, shape = (c, n), likewise.

    Returns:
        float64, shape = (c,), in [−1, 1], rounded so that equal candidates score equally.
    """
    alone = cosines(query, candidates)
    rows = candidates[:MOST_AVERAGED].astype(np.float64)
    near = min(AVERAGED, len(rows) - 1)
    if near < 1:
        return alone
    like = np.round(rows @ rows.T, SCORE_DIGITS)
    np.fill_diagonal(like, -np.inf)
    nearest = np.argpartition(-like, near - 1, axis=1)[:, :near]
    weights = np.take_along_axis(like, nearest, axis=1).clip(0) ** WEIGHT_POWER
    averaged = rows + np.einsum("ij,ijn->in", weights, rows[nearest])
    lengths = np.linalg.norm(averaged, axis=1, keepdims=True)
    averaged /= np.where(lengths > 0, lengths, 1)
    found: NDArray[np.float64] = alone.copy()
    np.maximum(found[: len(rows)], cosines(query, averaged), out=found[: len(rows)])
    return found
