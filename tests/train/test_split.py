"""How photos are divided into those that train, test and validate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imgsim_edge.train.data.checks import check_split
from imgsim_edge.train.data.find import Sample
from imgsim_edge.train.data.split import Split, apply_split, make_split, read_split, write_split
from imgsim_edge.train.errors import DataError, RunError


def samples_of(labels: list[str]) -> list[Sample]:
    names = [f"{label}/{i}.jpg" for i, label in enumerate(labels)]
    return [Sample(Path(n), n, label) for n, label in zip(names, labels, strict=True)]


def one_photo() -> Split:
    none = np.zeros(0, np.intp)
    return Split(np.zeros(1, np.intp), none, none)


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


def test_a_group_that_fits_is_preferred_to_a_larger_one() -> None:
    """Else a class of 40 whose first group has 30 photos would hardly be trained on."""
    labels, groups = ["a"] * 40, np.asarray([0] * 30 + list(range(30, 40)))
    for seed in range(20):
        split = make_split(labels, groups, seed)
        assert (len(split.train), len(split.test), len(split.valid)) == (30, 4, 6)


def test_a_part_in_which_no_group_fits_gets_the_smallest() -> None:
    labels, groups = ["a"] * 20, np.asarray([0] * 8 + [8] * 7 + [15] * 5)
    for seed in range(20):
        split = make_split(labels, groups, seed)
        assert (len(split.train), len(split.test), len(split.valid)) == (8, 5, 7)


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
    samples = samples_of(["a", "a", "a", "a", "a"])
    parts = ("test", "train", "valid")
    known = {sample.name: ("a", part) for sample, part in zip(samples, parts, strict=False)}
    split = apply_split(known, samples, np.asarray([0, 1, 2, 0, 4]))
    assert split.test.tolist() == [0, 3]
    assert split.train.tolist() == [1, 4]
    assert split.valid.tolist() == [2]


def test_names_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    name = "caf\udce9/\udcff.jpg"
    write_split(tmp_path / "split.csv", [Sample(Path(name), name, "caf\udce9")], one_photo())
    assert b"caf\xe9/\xff.jpg,caf\xe9,train\n" in (tmp_path / "split.csv").read_bytes()
    assert read_split(tmp_path / "split.csv") == {name: ("caf\udce9", "train")}


def test_a_split_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot write .*gone/split\.csv: No such file"):
        write_split(tmp_path / "gone" / "split.csv", samples_of(["a"]), one_photo())


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


@pytest.mark.parametrize(
    ("parts", "left"), [(("test", "valid"), "train"), (("test", "train"), "valid")]
)
def test_a_split_that_leaves_nothing_to_train_or_validate_on_is_refused(
    parts: tuple[str, ...], left: str
) -> None:
    samples = samples_of(["a", "a"])
    known = {sample.name: ("a", part) for sample, part in zip(samples, parts, strict=True)}
    with pytest.raises(DataError, match=f"none of these photos into the part {left}"):
        apply_split(known, samples, np.arange(2))


def test_what_a_given_split_leaves_out_is_told() -> None:
    samples = samples_of(["a", "a", "b", "b"])
    known = {sample.name: ("", "") for sample in samples[:3]}
    none = np.zeros(0, np.intp)
    findings = check_split(known, samples, Split(np.asarray([1, 2, 3]), np.asarray([0]), none))
    assert [(found.what, found.examples) for found in findings] == [
        ("not in the split file", ("b/3.jpg",)),
        ("without test photos", ("b",)),
    ]


def test_a_split_of_other_photos_is_refused() -> None:
    with pytest.raises(DataError, match="other data"):
        apply_split({"x.jpg": ("a", "test")}, samples_of(["a"]), np.arange(1))
