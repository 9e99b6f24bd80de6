"""What the general recipe sees of a photo: it as it is, and seeded variations of it.

A variation keeps what the photo shows: a crop, stretched, mirrored, recoloured, blurred or encoded
again. It is drawn at the side that a stronger network takes, so that all networks see one crop.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ...infer.arrays import Pixels
from ...infer.photos.decode import load_photo
from ..data.pixels import ordered_map

LARGE_SIDE = 260  # pixels: what EfficientNet-Lite2 takes, the largest of the teachers known
BATCH = 32  # photos

_LANCZOS = Image.Resampling.LANCZOS


def vary(photo: Pixels, generator: np.random.Generator) -> Pixels:
    """Draw a variation of a photo.

    Args:
        photo: uint8, shape = (side, side, 3).
        generator: of everything drawn at random.

    Returns:
        uint8, of the same shape: 35 to 100 % of the photo's area, its aspect changed by up to 28 %.
    """
    side = photo.shape[0]
    image = Image.fromarray(photo)
    area, aspect = generator.uniform(0.35, 1.0), np.exp(generator.uniform(-0.25, 0.25))
    width, height = min(1.0, np.sqrt(area * aspect)), min(1.0, np.sqrt(area / aspect))
    left = generator.uniform(0, 1 - width) * side
    top = generator.uniform(0, 1 - height) * side
    if generator.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    box = (left, top, left + width * side, top + height * side)
    image = image.resize((side, side), _LANCZOS, box=box)
    if generator.random() < 0.8:
        image = _recoloured(image, generator)
    luck = generator.random()
    if luck < 0.15:
        image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.5, 2)))
    elif luck < 0.35:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(generator.integers(25, 80)))
        image = Image.open(file).convert("RGB")
    return np.asarray(image)


def views(
    paths: Sequence[Path], number: int, seed: int, size: int, threads: int
) -> Iterator[tuple[Pixels, Pixels]]:
    """See photos, batch by batch.

    Args:
        paths: of the photos.
        number: 0 for the photos as they are, 1, 2, … for a variation of each.
        seed: of the variations.
        size: side of what the encoder sees, in pixels.
        threads: photos decoded at the same time.

    Yields:
        for up to ``BATCH`` photos, what the encoder sees, uint8 (photos, size, size, 3), and what
        teachers see, uint8 (photos, LARGE_SIDE, LARGE_SIDE, 3).

    Raises:
        PhotoError: a photo cannot be read any more.
    """

    def see(index: int) -> tuple[Pixels, Pixels]:
        large = load_photo(paths[index], LARGE_SIDE).pixels
        if not number:
            return load_photo(paths[index], size).pixels, large
        large = vary(large, np.random.default_rng((seed, number, index)))
        return np.asarray(Image.fromarray(large).resize((size, size), _LANCZOS)), large

    pairs: list[tuple[Pixels, Pixels]] = []
    for pair in ordered_map(see, range(len(paths)), threads):
        pairs.append(pair)
        if len(pairs) == BATCH:
            yield _stacked(pairs)
            pairs = []
    if pairs:
        yield _stacked(pairs)


def _stacked(pairs: list[tuple[Pixels, Pixels]]) -> tuple[Pixels, Pixels]:
    return np.stack([small for small, _ in pairs]), np.stack([large for _, large in pairs])


def _recoloured(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    values: NDArray[Any] = np.asarray(image, np.float32) / 255
    values = values ** np.exp(generator.uniform(-0.35, 0.35))
    values = (values - values.mean()) * np.exp(generator.uniform(-0.35, 0.35)) + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    least = 0.0 if generator.random() < 0.2 else 0.6  # now and then, hardly any colour
    values = (values - grey) * generator.uniform(least, 1.4) + grey
    values = values * np.exp(generator.uniform(-0.12, 0.12, 3))
    return Image.fromarray((values.clip(0, 1) * 255 + 0.5).astype(np.uint8))
