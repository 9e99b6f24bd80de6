"""How photos are divided into those that train, test and validate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imgsim_edge.train.data import Sample
from imgsim_edge.train.errors import DataError
from imgsim_edge.train.split import apply_split, make_split, read_split, write_split


def samples_of(labels: list[str]) -> list[Sample]:
    names = [f"{label}/{i}.jpg" for i, label in enumerate(labels)]
    return [Sample(Path(n), n, label) for n, label in zip(names, labels, strict=True)]


def test_each_class_is_split_75_10_15() -> None:
    labels = ["a"] * 100 + ["b"] * 40
    split = make_split(labels, np.arange(140), seed=0)
    counts = {part: Counter(labels[i] for i in own) for part, own in split.parts().items()}
    assert counts == {
        "train": {"a": 75, "b": 30},
        "test": {"a": 10, "b": 4},
        "valid": {"a": 15, "b": 6},
    }


def test_the_seed_decides() -> None:
    labels, groups = ["a"] * 30 + ["b"] * 30, np.arange(60)
    one, same, other = (make_split(labels, groups, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.test, same.test)
    assert not np.array_equal(one.test, other.test)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=80),
    st.integers(0, 1000),
)
def test_no_photo_is_lost_and_no_group_is_torn(photos: list[tuple[str, int]], seed: int) -> None:
    labels = [label for label, _ in photos]
    first = {group: i for i, (_, group) in reversed(list(enumerate(photos)))}
    groups = np.asarray([first[group] for _, group in photos])
    split = make_split(labels, groups, seed)
    everything = np.concatenate([split.train, split.test, split.valid])
    assert sorted(everything.tolist()) == list(range(len(photos)))
    sides = [set(groups[own].tolist()) for own in split.parts().values()]
    assert sum(map(len, sides)) == len(set().union(*sides))


@pytest.mark.parametrize(("photos", "in_training"), [(1, 1), (2, 2), (3, 1), (4, 2)])
def test_small_classes_are_tested_from_three_photos_on(photos: int, in_training: int) -> None:
    split = make_split(["a"] * photos, np.arange(photos), seed=0)
    assert len(split.train) == in_training


def test_a_split_can_be_used_again(tmp_path: Path) -> None:
    labels = ["a"] * 20 + ["b"] * 20
    samples = samples_of(labels)
    split = make_split(labels, np.arange(40), seed=3)
    write_split(tmp_path / "split.csv", samples, split)
    again = apply_split(read_split(tmp_path / "split.csv"), samples, np.arange(40))
    for one, other in zip(split.parts().values(), again.parts().values(), strict=True):
        assert np.array_equal(one, other)


def test_a_new_copy_of_a_test_photo_stays_out_of_training() -> None:
    samples = samples_of(["a", "a", "a", "a"])
    known = {samples[0].name: ("a", "test"), samples[1].name: ("a", "train")}
    split = apply_split(known, samples, np.asarray([0, 1, 0, 3]))
    assert split.test.tolist() == [0, 2]
    assert split.train.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("photo,part\n", "no split file"),
        ("path,label,part\na.jpg,a\n", "row 2 is damaged"),
        ("path,label,part\na.jpg,a,exam\n", "row 2 is damaged"),
    ],
)
def test_a_damaged_split_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "split.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_split(tmp_path / "split.csv")


def test_a_split_of_other_photos_is_refused() -> None:
    with pytest.raises(DataError, match="other data"):
        apply_split({"x.jpg": ("a", "test")}, samples_of(["a"]), np.arange(1))
