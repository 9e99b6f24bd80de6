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
        self._blocks: dict[int, tuple[Codes, int]] = {}  # number → codes, checksum
        self._generation = -1

    def at(self, ids: Ids, snapshot: Snapshot) -> Codes:
        """Give the details of photos, as :func:`details_at`; only blocks that changed are read.

        Raises:
            DamagedRowError: the blocks do not add up to what the header says.
        """
        header = snapshot.header()
        if header.generation < self._generation:  # an older state than the one at hand
            return details_at(snapshot, ids)
        if header.generation > self._generation:
            for block in snapshot.details_blocks(since=self._generation):
                self._blocks[block.first // BLOCK_SLOTS] = block.codes, block.checksum
            total = 0
            for _, checksum in self._blocks.values():
                total ^= checksum
            if total != header.details_sum:
                self._blocks, self._generation = {}, -1
                raise DamagedRowError("details do not add up to what the header says")
            self._generation = header.generation
        found = np.zeros((len(ids), header.details), dtype=np.int8)
        for place, number in enumerate(ids.tolist()):
            known = self._blocks.get(number // BLOCK_SLOTS)
            if known is not None:
                found[place] = known[0][number % BLOCK_SLOTS]
        return found
