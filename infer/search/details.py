"""The stored details of candidates, read from the catalogue or kept in memory."""

from __future__ import annotations

import numpy as np

from ..arrays import Codes, Ids
from ..catalogue.reader import Snapshot
from ..catalogue.rows import BLOCK_SLOTS, DamagedRowError


def details_at(snapshot: Snapshot, ids: Ids) -> Codes:
    """Read the details of photos from their blocks.

    Args:
        snapshot: the state.
        ids: int64, shape = (n,).

    Returns:
        int8, shape = (n, details); zeros for a photo that has none.
    """
    found = np.zeros((len(ids), snapshot.header().details), dtype=np.int8)
    numbers = ids // BLOCK_SLOTS
    for number in np.unique(numbers).tolist():
        mine = numbers == number
        for block in snapshot.details_blocks(first=number, count=1):
            found[mine] = block.codes[ids[mine] - block.first]
    return found


class ResidentDetails:
    """All details in memory (256 bytes a photo), for a process that is asked again and again.

    For one thread at a time.
    """

    def __init__(self) -> None:
        self._codes: Codes | None = None  # shape = (slots, details): a photo's slot is its id
        self._checksums: dict[int, int] = {}  # of blocks, by their number
        self._generation = -1

    def at(self, ids: Ids, snapshot: Snapshot) -> Codes:
        """Give the details of photos, as :func:`details_at`; only blocks that changed are read.

        Raises:
            DamagedRowError: the blocks do not add up to what the header says.
        """
        header = snapshot.header()
        if header.generation < self._generation:  # an older state than the one at hand
            return details_at(snapshot, ids)
        if self._codes is None or header.generation > self._generation:
            self._codes = self._follow(snapshot)
        known = ids < len(self._codes)
        if known.all():
            return self._codes[ids]
        found = np.zeros((len(ids), header.details), dtype=np.int8)
        found[known] = self._codes[ids[known]]
        return found

    def _follow(self, snapshot: Snapshot) -> Codes:
        """Read the blocks that have changed, and make room for new ones."""
        header = snapshot.header()
        changed = snapshot.changed_blocks(self._generation)
        room = (changed[-1] + 1) * BLOCK_SLOTS if changed else 0
        codes = self._codes
        if codes is None or room > len(codes):
            codes = np.zeros((room, header.details), dtype=np.int8)
            if self._codes is not None:
                codes[: len(self._codes)] = self._codes
        for block in snapshot.details_blocks(since=self._generation):
            codes[block.first : block.first + BLOCK_SLOTS] = block.codes
            self._checksums[block.first // BLOCK_SLOTS] = block.checksum
        total = 0
        for checksum in self._checksums.values():
            total ^= checksum
        if total != header.details_sum:
            self._codes, self._checksums, self._generation = None, {}, -1
            raise DamagedRowError("details do not add up to what the header says")
        self._generation = header.generation
        return codes
