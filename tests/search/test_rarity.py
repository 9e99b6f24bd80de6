"""A score can be put in words: the share of random pairs that are as similar."""

from __future__ import annotations

import numpy as np
import pytest
from imgsim_edge.infer.search.rarity import Background, odds


def unit_vectors(count, dimension=64, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cosines_of_pairs(vectors):
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def test_the_share_is_that_of_random_pairs():
    vectors = unit_vectors(1500)
    background, cosines = Background.of(vectors), cosines_of_pairs(vectors)
    assert background.pairs == len(cosines)
    for score in (-0.2, 0.0, 0.1, 0.3, 0.5):
        assert background.share(score) == pytest.approx((cosines >= score).mean(), rel=0.1)


def test_a_sample_stands_for_a_large_collection():
    background = Background.of(unit_vectors(20_000))
    elsewhere = cosines_of_pairs(unit_vectors(2000, seed=1))
    for score in (0.0, 0.2, 0.4):
        assert background.share(score) == pytest.approx((elsewhere >= score).mean(), rel=0.25)


def test_shares_end_at_one_pair_and_at_all_pairs():
    background = Background.of(unit_vectors(100))
    assert background.share(1.0) == pytest.approx(1 / background.pairs)
    assert background.share(-1.0) == 1.0


def test_the_score_of_a_share_is_its_inverse():
    background = Background.of(unit_vectors(500))
    for share in (0.5, 0.01, 0.0001):
        assert background.share(background.score(share)) == pytest.approx(share, rel=0.01)


def test_many_equal_scores_count_all():
    vectors = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)  # as dead ReLU units give
    background = Background.of(vectors)
    assert background.share(0.0) == 1.0
    assert background.share(1.0) == pytest.approx((cosines_of_pairs(vectors) == 1.0).mean())


def test_it_survives_being_written_as_text():
    background = Background.of(unit_vectors(300))
    assert Background.from_text(background.to_text()) == background
    assert len(background.to_text()) < 4096


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"pairs": 3, "scores": [], "counts": []}',
        '{"pairs": 3, "scores": [0.1, 0.5], "counts": [1, 3]}',
        '{"pairs": 3, "scores": [0.5, 0.1], "counts": [0, 3]}',
        '{"pairs": 3, "scores": [0.5, 0.1], "counts": [1, 4]}',
        '{"pairs": 3, "scores": [0.5, null], "counts": [1, 3]}',
    ],
)
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="no distribution of cosines"):
        Background.from_text(text)


def test_one_photo_has_no_background():
    with pytest.raises(ValueError, match="two photos"):
        Background.of(unit_vectors(1))


def test_odds_are_words_with_two_digits():
    assert odds(1.0) == "1 random pair in 1.0"
    assert odds(1 / 24) == "1 random pair in 24"
    assert odds(1 / 2437) == "1 random pair in 2,400"
    assert odds(1 / 1_999_000) == "1 random pair in 2,000,000"
