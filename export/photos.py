"""Which real photos an export is checked and calibrated on: those of the run's own split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..infer.arrays import Pixels
from ..train.data.find import Sample, find_photos
from ..train.data.pixels import PixelStore
from ..train.data.split import read_split
from ..train.errors import DataError
from ..train.run_folder import SPLIT, Run

_SEED = 0  # the same photos in every export of a run


@dataclass(frozen=True)
class LabelledPixels:
    """Some photos of a run.

    Attributes:
        pixels: uint8, shape = (photos, size, size, 3).
        labels: the class of each.
    """

    pixels: Pixels
    labels: tuple[str, ...]


class RunPhotos:
    """The photos of a run, where they are now.

    Args:
        run: its folder.
        size: side of the pixels' square.
        data: where the photos are, if not where they were when the run was made.
        threads: photos decoded at the same time.

    Raises:
        DataError: none of the run's photos is there.
    """

    def __init__(self, run: Run, size: int, data: Sequence[Path], threads: int) -> None:
        self._known = read_split(run.folder / SPLIT)
        try:
            found = find_photos(data or run.data)
        except DataError as error:
            raise DataError(f"{error} (name the folder where the photos are now)") from error
        self._samples = [sample for sample in found.samples if sample.name in self._known]
        if not self._samples:
            raise DataError("none of the run's photos is there (name the folder where they are)")
        self._size, self._threads = size, threads

    def count(self, parts: Sequence[str]) -> int:
        """Count the photos of some parts of the split."""
        return sum(self._known[sample.name][1] in parts for sample in self._samples)

    def take(self, parts: Sequence[str], most: int) -> LabelledPixels:
        """Read photos of some parts of the split, as evenly over the classes as there are any.

        Args:
            parts: of the split.
            most: how many photos at most.

        Raises:
            PhotoError: a photo cannot be read any more.
            DataError: there are none.
        """
        own = [sample for sample in self._samples if self._known[sample.name][1] in parts]
        chosen = _evenly(own, most)
        if not chosen:
            raise DataError(f"the run has no photos in its parts {' and '.join(parts)}")
        store = PixelStore(chosen, self._size, self._threads)
        return LabelledPixels(
            store.read(range(len(chosen))), tuple(sample.label for sample in chosen)
        )


def _evenly(samples: Sequence[Sample], most: int) -> list[Sample]:
    """Deal out photos class by class, like cards, until there are ``most``."""
    by_class: dict[str, list[Sample]] = defaultdict(list)
    generator = np.random.default_rng(_SEED)
    for position in generator.permutation(len(samples)):
        by_class[samples[position].label].append(samples[position])
    rounds = max(map(len, by_class.values()), default=0)
    dealt = [own[turn] for turn in range(rounds) for own in by_class.values() if turn < len(own)]
    return dealt[:most]
