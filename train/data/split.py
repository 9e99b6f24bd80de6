"""Stage 3 of training: which photos train, which choose the best epoch, which test.

Stratified and seeded; near-identical photos stay on one side. Splitting comes before augmentation,
so that no altered copy of a test photo is ever trained on.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..run_folder import write_csv
from .find import Sample

TRAIN, TEST, VALID = "train", "test", "valid"
SHARES = {TRAIN: 0.75, TEST: 0.10, VALID: 0.15}
FEWEST_TO_SPLIT = 3  # distinct photos of a class; of fewer, all are trained on

_COLUMNS = ("path", "label", "part")


@dataclass(frozen=True)
class Split:
    """The parts of a data set, as sorted indices into its samples."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    valid: NDArray[np.intp]

    def parts(self) -> dict[str, NDArray[np.intp]]:
        """Give the three parts by name."""
        return {TRAIN: self.train, TEST: self.test, VALID: self.valid}


def make_split(labels: Sequence[str], groups: NDArray[np.intp], seed: int) -> Split:
    """Split a data set 75 : 10 : 15 into train, test and valid, class by class.

    Args:
        labels: the class of each photo.
        groups: shape = (photos,); photos with one number go to one side.
        seed: the same seed gives the same split of the same photos.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[int(group)].append(index)
    by_class: dict[str, list[list[int]]] = defaultdict(list)
    for group in members.values():  # a group over two classes counts for the class of its first
        by_class[labels[group[0]]].append(group)

    generator = np.random.default_rng(seed)
    part_of = np.full(len(labels), TRAIN, dtype=object)
    for label in sorted(by_class):
        own = by_class[label]
        own = [own[position] for position in generator.permutation(len(own))]
        if len(own) < FEWEST_TO_SPLIT:
            continue
        total = sum(map(len, own))
        for part, after in ((TEST, 2), (VALID, 1)):
            fitting = _fitting(own, max(1, round(total * SHARES[part])))
            fitting = fitting[: len(own) - after]  # each part after it needs a group, too
            for group in fitting or [min(own, key=len)]:
                part_of[group] = part
            own = [group for group in own if part_of[group[0]] == TRAIN]
    return _split(part_of)


def _fitting(groups: Sequence[list[int]], wanted: int) -> list[list[int]]:
    """Take groups in their order that have no more than ``wanted`` photos together."""
    taken, count = [], 0
    for group in groups:
        if count + len(group) <= wanted:
            taken.append(group)
            count += len(group)
    return taken


def write_split(path: Path, samples: Sequence[Sample], split: Split) -> None:
    """Write a split as CSV with the columns path, label and part, whole or not at all.

    Raises:
        RunError: it could not be written.
    """
    part_of = {int(index): part for part, own in split.parts().items() for index in own}
    rows = [(samples[i].name, samples[i].label, part) for i, part in sorted(part_of.items())]
    write_csv(path, [dict(zip(_COLUMNS, row, strict=True)) for row in rows])


def read_split(path: Path) -> dict[str, tuple[str, str]]:
    """Read a split file.

    Returns:
        name of a photo → (label, part), in the file's order.

    Raises:
        DataError: the file cannot be read or is no split.
    """
    try:
        # Names of files need not be valid UTF-8.
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.reader(file))
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read the split {path}: {error}") from error
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise DataError(f"{path} is no split file: it needs the columns {', '.join(_COLUMNS)}")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(_COLUMNS) or row[2] not in SHARES:
            raise DataError(f"{path}, row {number} is damaged: it needs a path, a label and a part")
    return {name: (label, part) for name, label, part in rows[1:]}


def apply_split(
    known: dict[str, tuple[str, str]], samples: Sequence[Sample], groups: NDArray[np.intp]
) -> Split:
    """Put the photos of a data set into the parts that a split file names.

    A photo that the file does not know goes where its near-identical ones are, or else is trained
    on; names that are not in the data are ignored.

    Args:
        known: from :func:`read_split`.
        samples: the photos.
        groups: shape = (photos,), from near_identical_groups.

    Raises:
        DataError: the file knows none of the photos, or nothing is left to train or validate on.
    """
    part_of_group = {
        int(group): known[sample.name][1]
        for sample, group in zip(samples, groups, strict=True)
        if sample.name in known
    }
    if not part_of_group:
        raise DataError("the split file names none of these photos; it belongs to other data")
    parts = [
        known[sample.name][1] if sample.name in known else part_of_group.get(int(group), TRAIN)
        for sample, group in zip(samples, groups, strict=True)
    ]
    split = _split(np.asarray(parts, dtype=object))
    for part in (TRAIN, VALID):
        if not len(split.parts()[part]):
            raise DataError(
                f"the split file puts none of these photos into the part {part}: "
                "a training needs some in train and some in valid"
            )
    return split


def _split(part_of: NDArray[np.object_]) -> Split:
    return Split(*(np.nonzero(part_of == part)[0] for part in (TRAIN, TEST, VALID)))
