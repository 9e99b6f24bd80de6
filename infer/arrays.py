"""Names for the arrays that stages hand to each other, and what several of them do with arrays.

They lie on the ground floor, so that naming a type is no reason to import a stage.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # photos, shape = (…, height, width, 3), RGB
Vectors = NDArray[np.float32]  # embeddings, shape = (…, dimension)
Codes = NDArray[np.int8]  # stored details, shape = (…, dimension)
Ids = NDArray[np.int64]  # photos' numbers in an index, shape = (…,)


def connected(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Put together what pairs connect, directly or through others.

    Args:
        pairs: shape = (m, 2), numbers from 0 to ``count`` - 1.
        count: how many things there are.

    Returns:
        shape = (count,): for each the smallest number that it is connected to.
    """
    smallest = np.arange(count, dtype=np.int64)
    while True:
        low, high = np.sort(smallest[pairs], axis=1).T
        if np.array_equal(low, high):
            return smallest
        np.minimum.at(smallest, high, low)
        while not np.array_equal(smallest, above := smallest[smallest]):
            smallest = above
