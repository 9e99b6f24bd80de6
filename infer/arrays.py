"""Names for the arrays that stages hand to each other.

They lie on the ground floor, so that naming a type is no reason to import a stage.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # photos, shape = (…, height, width, 3), RGB
Vectors = NDArray[np.float32]  # embeddings, shape = (…, dimension)
Codes = NDArray[np.int8]  # stored details, shape = (…, dimension)
Ids = NDArray[np.int64]  # photos' numbers in an index, shape = (…,)
