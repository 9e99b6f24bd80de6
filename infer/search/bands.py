"""A score in one word, from how rare it is in this collection and how high it is."""

from __future__ import annotations

from typing import Literal

from .rarity import Rarity

Band = Literal["same", "close", "related", "weak"]
BANDS: tuple[Band, ...] = ("same", "close", "related", "weak")  # the best first

SAME_SCORE = 0.9  # the same picture, or one that differs in little
# A small collection cannot tell that something is rare: then the score alone decides.
CLOSE_RARITY, CLOSE_SCORE = 2000, 0.6
RELATED_RARITY, RELATED_SCORE = 100, 0.35


def band(score: float, rarity: Rarity | None) -> Band:
    """Tell what an answer is to its query.

    Args:
        score: of the answer.
        rarity: of this collection's scores; None where that is not known.
    """
    rare = rarity.of_score(score) if rarity else 1.0
    if score >= SAME_SCORE:
        return "same"
    if score >= CLOSE_SCORE or rare >= CLOSE_RARITY:
        return "close"
    if score >= RELATED_SCORE or rare >= RELATED_RARITY:
        return "related"
    return "weak"
