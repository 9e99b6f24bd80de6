"""A score can be put in words: the share of random pairs that are as similar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.catalogue.rows import PhotoRow
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.search.rarity import Rarity, in_words


def unit_vectors(count, dimension=64, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cosines_of_pairs(vectors):
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def test_rarity_is_one_in_so_many_random_pairs():
    vectors = unit_vectors(1500)
    rarity, cosines = Rarity.of(vectors), cosines_of_pairs(vectors)
    assert rarity.pairs == len(cosines)
    for score in (-0.2, 0.0, 0.1, 0.3, 0.5):
        assert 1 / rarity.of_score(score) == pytest.approx((cosines >= score).mean(), rel=0.1)


def test_a_sample_stands_for_a_large_collection():
    rarity = Rarity.of(unit_vectors(20_000))
    elsewhere = cosines_of_pairs(unit_vectors(2000, seed=1))
    for score in (0.0, 0.2, 0.4):
        assert 1 / rarity.of_score(score) == pytest.approx((elsewhere >= score).mean(), rel=0.25)


def test_it_ends_at_one_pair_and_at_all_pairs():
    rarity = Rarity.of(unit_vectors(100))
    assert 1 / rarity.of_score(1.0) == pytest.approx(1 / rarity.pairs)
    assert 1 / rarity.of_score(-1.0) == 1.0


def test_the_score_of_a_rarity_is_its_inverse():
    rarity = Rarity.of(unit_vectors(500))
    for one_in in (2, 100, 10_000):
        assert rarity.of_score(rarity.score(one_in)) == pytest.approx(one_in, rel=0.01)


def test_a_score_of_one_kind_becomes_one_of_another_that_is_as_rare():
    few, many = Rarity.of(unit_vectors(800, 8)), Rarity.of(unit_vectors(800, 256))
    scores = np.array([-0.3, 0.0, 0.5, 0.8])
    turned = few.as_rare_by(many, scores)
    for score, own in zip(scores, turned, strict=True):
        assert many.of_score(own) == pytest.approx(few.of_score(score), rel=0.05)
    assert (np.diff(turned) > 0).all()
    assert few.as_rare_by(many, np.array([-1.0, 1.0])).tolist() == [-1.0, 1.0]


def test_many_equal_scores_count_all():
    vectors = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)  # as dead ReLU units give
    rarity = Rarity.of(vectors)
    assert 1 / rarity.of_score(0.0) == 1.0
    assert 1 / rarity.of_score(1.0) == pytest.approx((cosines_of_pairs(vectors) == 1.0).mean())


def test_it_survives_being_written_as_text():
    rarity = Rarity.of(unit_vectors(300))
    assert Rarity.from_text(rarity.to_text()) == rarity
    assert len(rarity.to_text()) < 4096


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
        Rarity.from_text(text)


def test_one_photo_has_no_rarity():
    with pytest.raises(ValueError, match="two photos"):
        Rarity.of(unit_vectors(1))


def test_words_have_two_digits():
    assert in_words(1.0) == "1 in 1.0"
    assert in_words(24) == "1 in 24"
    assert in_words(2437) == "1 in 2,400"
    assert in_words(1_999_000) == "1 in 2,000,000"


def test_photos_that_nobody_has_compared_yet_are_compared_when_the_index_is_opened(
    tmp_path: Path,
) -> None:
    """So are those of an older format, and of a first run that was ended."""
    vectors = unit_vectors(60) + 0.35  # much in common, as photos have: cosines of about 0.9
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with Catalogue.create(tmp_path, "0" * 32, "none", 64).writer() as writer:
        folder = writer.add_folders(writer.add_root(tmp_path / "photos", ()).id, {"": False})[""]
        rows = [
            PhotoRow(n, folder.id, f"{n}.jpg", 1, 1, n.to_bytes(16, "big"), 4, 3) for n in range(60)
        ]
        writer.commit(Batch(rows, dict(enumerate(vectors))))
    with ImageIndex.open(tmp_path) as index:
        itself, *others = index.similar(vectors[7], k=60)
    assert (itself.path.name, itself.band) == ("7.jpg", "same")
    assert itself.rarity is not None and itself.rarity > 1000
    assert {match.band for match in others} <= {"related", "weak"}
    assert [match.band for match in others].count("weak") > 40
