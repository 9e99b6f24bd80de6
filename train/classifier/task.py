"""What is to be learnt, and what every trainer can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...infer.arrays import Pixels
from ...infer.progress import ProgressBar
from ..data.pixels import PixelStore
from ..data.split import Split
from ..network import PREDICT_BATCH

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """What is to be learnt.

    Attributes:
        store: pixels of all photos.
        labels: shape = (photos,), index of each one's class.
        classes: how many there are.
        split: which photos train, validate and test.
    """

    store: PixelStore
    labels: NDArray[np.intp]
    classes: int
    split: Split


class Trainer(Protocol):
    """Trains one run, from wherever it is to its end. Making one computes nothing."""

    def train(self) -> Any:
        """Do what is left.

        Returns:
            a Keras model: pixels → a dict of ``classes`` and ``details``.

        Raises:
            ImgsimError: of the data, the weights or the run.
            KeyboardInterrupt: the user stopped it; see :meth:`keep_best_so_far`.
        """

    def keep_best_so_far(self) -> bool:
        """Write the best classifier until now into the run folder; False if there is none."""

    def raw_test_features(self) -> Floats:
        """Give the backbone's pooled features of the test part before any training.

        Returns:
            float32, shape = (photos, channels).
        """

    def history(self) -> tuple[dict[str, Any], ...]:
        """Give the rows of ``history.csv``, one for each epoch; none where there are no epochs."""


def predict(
    model: Any,
    read: Callable[[NDArray[np.intp]], Pixels],
    indices: NDArray[np.intp],
    title: str,
) -> Floats:
    """Run photos through a model, unvaried.

    Args:
        model: a Keras model, pixels → (batch, outputs).
        read: gives the pixels of some photos, uint8, shape = (photos, size, size, 3).
        indices: of the photos that are run.
        title: of the line that shows how far it is.

    Returns:
        float32, shape = (photos, outputs).
    """
    with ProgressBar(title, len(indices)) as progress:
        parts = []
        model.jit_compile = False  # XLA would compile longer than a small data set takes
        for at in range(0, len(indices), PREDICT_BATCH):
            pixels = read(indices[at : at + PREDICT_BATCH])
            parts.append(np.asarray(model.predict_on_batch(pixels)))
            progress.update(at + len(pixels))
    return np.concatenate(parts) if parts else np.zeros((0, model.output_shape[1]), np.float32)
