"""Stronger networks, whose features the general recipe's encoder learns to follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...infer.arrays import Pixels
from ..errors import WeightsError
from .views import LARGE_SIDE

# How EfficientNet-Lite takes its pixels.
_MEAN, _SCALE = 127.0, 128.0


class Teacher:
    """An ONNX network: float32 (photos, 3, side, side), as EfficientNet-Lite takes it → features.

    Args:
        path: of the file; its first output holds one vector for each photo.
        threads: cores.

    Raises:
        WeightsError: it cannot be loaded, or has another input or output.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        if not path.is_file():
            raise WeightsError(f"no such teacher: {path} (give an .onnx file)")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            side = self._session.get_inputs()[0].shape[-1]
            self._side = side if isinstance(side, int) else LARGE_SIDE
            features = self(np.zeros((1, LARGE_SIDE, LARGE_SIDE, 3), np.uint8))
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise WeightsError(f"{path} cannot teach: {reason}") from error
        if features.ndim != 2 or len(features) != 1:
            raise WeightsError(
                f"{path} cannot teach: its first output must be one vector for each photo, "
                f"not {features.shape}"
            )

    def __call__(self, photos: Pixels) -> NDArray[np.float32]:
        """Give the features of some photos.

        Args:
            photos: uint8, shape = (photos, LARGE_SIDE, LARGE_SIDE, 3); brought to the side that
                the network takes.

        Returns:
            float32, shape = (photos, features).
        """
        if self._side != LARGE_SIDE:
            photos = np.stack([_resized(photo, self._side) for photo in photos])
        scaled = ((photos.astype(np.float32) - _MEAN) / _SCALE).transpose(0, 3, 1, 2)
        given = self._session.run(None, {self._session.get_inputs()[0].name: scaled})
        return np.asarray(given[0], np.float32)


def _resized(photo: Pixels, side: int) -> Pixels:
    image = Image.fromarray(photo).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)
