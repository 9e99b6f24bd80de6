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
    every = candidates.astype(np.float64)
    alone = cosines(query, every)
    rows = every[:MOST_AVERAGED]
    near = min(AVERAGED, len(rows) - 1)
    if near < 1:
        return alone
    like = rows @ rows.T
    np.round(like, SCORE_DIGITS, out=like)
    nearest = _nearest_others(like, near)
    weights = np.take_along_axis(like, nearest, axis=1).clip(0) ** WEIGHT_POWER
    # What an average scores and how long it is follow from the cosines that are there already: no
    # vector is added up.
    products = alone[: len(rows)] + (weights * alone[nearest]).sum(axis=1)
    towards = (weights * np.take_along_axis(like, nearest, axis=1)).sum(axis=1)
    among = like[nearest[:, :, None], nearest[:, None, :]]
    squares = like.diagonal() + 2 * towards + np.einsum("ij,ijk,ik->i", weights, among, weights)
    averaged = np.round(products / np.sqrt(np.where(squares > 0, squares, 1)), SCORE_DIGITS)
    found: NDArray[np.float64] = alone.copy()
    np.maximum(found[: len(rows)], averaged.clip(-1.0, 1.0), out=found[: len(rows)])
    return found


def _nearest_others(like: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Find the rows that each row is most like, but for itself: shape = (c, count)."""
    left = like.copy()
    np.fill_diagonal(left, -np.inf)
    nearest = np.empty((len(like), count), dtype=np.int64)
    every = np.arange(len(like))
    for place in range(count):  # for few of many, quicker than sorting or partitioning rows
        nearest[:, place] = left.argmax(axis=1)
        left[every, nearest[:, place]] = -np.inf
    return nearest
