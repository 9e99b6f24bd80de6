"""What became of the files that a run over folders met."""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableSequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import Problem
from ..photos.formats import PassedOver, kinds_passed_over, passed_over


@dataclass
class AddReport:
    """What :meth:`ImageIndex.add` did, counted in photos.

    Attributes:
        added: new ones.
        fresh: ids of those that are new or have other bytes, in the order in which they came.
        changed: ones whose file has other bytes than before.
        moved: ones found under another path, their vectors kept.
        removed: ones whose file is gone.
        unchanged: ones that were not looked into, since size and time are as before, and ones that
            were, and have the same bytes.
        described: ones of an older index whose date, camera and place were read now.
        problems: every file or folder that could not be read in this run.
        away: folders that are not there, or are mount points with nothing mounted; what the index
            knows of them is kept.
        seen: how many files of each kind were seen and not taken, such as ``{"MP4": 3}``.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    fresh: MutableSequence[int] = field(default_factory=list)
    described: int = 0
    problems: list[Problem] = field(default_factory=list)
    away: list[Path] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def passed_over(self) -> list[PassedOver]:
        """Files of known formats that were not taken, the most frequent kind first."""
        return passed_over(self.seen)

    def see(self, names: list[str], photos: list[str]) -> None:
        """Count files of one folder that cannot be read here, beside the photos in it."""
        self.seen.update(kinds_passed_over(names, photos))
