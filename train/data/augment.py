"""What training photos are varied by, on the fly; test and validation photos never are.

The one module that knows Albumentations (2.0.8, the last release under MIT).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...infer.arrays import Pixels
from ..backend import INSTALL
from ..errors import MissingExtraError


@dataclass(frozen=True)
class Augmentation:
    """One kind of variation.

    Attributes:
        name: of the transform in Albumentations.
        probability: with which a photo gets it.
        options: its ranges, as Albumentations takes them.
    """

    name: str
    probability: float
    options: dict[str, Any]


# In this order. Pixel values are 0 … 255 where a range has no unit.
AUGMENTATIONS = (
    Augmentation("HorizontalFlip", 0.5, {}),
    Augmentation(
        "RandomBrightnessContrast", 0.5, {"brightness_limit": 0.2, "contrast_limit": 0.2}
    ),  # ± a share of the full range, and of the contrast
    Augmentation("RandomRotate90", 0.1, {}),  # by 0, 90, 180 or 270 degrees
    Augmentation("Flip", 0.1, {}),  # left-right, upside-down or both, equally often
    Augmentation(
        "RGBShift", 0.2, {"r_shift_limit": 15, "g_shift_limit": 15, "b_shift_limit": 15}
    ),  # ± each channel
    Augmentation(
        "HueSaturationValue",
        0.2,
        {"hue_shift_limit": 8, "sat_shift_limit": 25, "val_shift_limit": 15},
    ),  # ±, hue on OpenCV's circle of 180
    Augmentation("CLAHE", 0.1, {"clip_limit": (1.0, 3.0), "tile_grid_size": (8, 8)}),
    Augmentation("RandomGamma", 0.2, {"gamma_limit": (80, 120)}),  # percent
    Augmentation("Blur", 0.1, {"blur_limit": (3, 5)}),  # kernel's side in pixels
    Augmentation("ToGray", 0.05, {}),
    Augmentation("ImageCompression", 0.3, {"quality_range": (50, 95)}),  # JPEG quality
)


class Augmenter:
    """Varies photos so that the same seed gives the same variation, whichever thread does it.

    Args:
        seed: of the whole training.

    Raises:
        MissingExtraError: Albumentations is not installed.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._own = threading.local()  # a pipeline keeps its random state: one for each thread
        _pipeline()  # fail here and not in a thread

    def __call__(self, pixels: Pixels, epoch: int, index: int) -> Pixels:
        """Vary one photo.

        Args:
            pixels: uint8, shape = (size, size, 3).
            epoch: a photo looks different in every epoch,
            index: and from every other photo.

        Returns:
            uint8, of the same shape.
        """
        if not hasattr(self._own, "pipeline"):
            self._own.pipeline = _pipeline()
        state = np.random.SeedSequence((self._seed, epoch, index)).generate_state(1)
        self._own.pipeline.set_random_seed(int(state[0]))
        return np.asarray(self._own.pipeline(image=pixels)["image"], dtype=np.uint8)


def apply_alone(augmentation: Augmentation, pixels: Pixels, seed: int) -> Pixels:
    """Apply one augmentation for certain; types as of :class:`Augmenter`'s call."""
    pipeline = _pipeline((replace(augmentation, probability=1.0),))
    pipeline.set_random_seed(seed)
    return np.asarray(pipeline(image=pixels)["image"], dtype=np.uint8)


def _pipeline(augmentations: Sequence[Augmentation] = AUGMENTATIONS) -> Any:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else importing it asks the network
    try:
        import albumentations
        import cv2
    except ImportError as error:
        raise MissingExtraError(INSTALL) from error
    cv2.setNumThreads(0)  # photos are varied side by side already
    return albumentations.Compose([_transform(albumentations, a) for a in augmentations])


def _transform(albumentations: Any, augmentation: Augmentation) -> Any:
    if augmentation.name != "Flip":
        kind = getattr(albumentations, augmentation.name)
        return kind(p=augmentation.probability, **augmentation.options)
    # Albumentations 2 has no Flip any more; this is what it did.
    left_right, upside_down = (
        albumentations.HorizontalFlip(p=1.0),
        albumentations.VerticalFlip(p=1.0),
    )
    both = albumentations.Sequential(
        [albumentations.HorizontalFlip(p=1.0), albumentations.VerticalFlip(p=1.0)], p=1.0
    )
    return albumentations.OneOf([left_right, upside_down, both], p=augmentation.probability)
