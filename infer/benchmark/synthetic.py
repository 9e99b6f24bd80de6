"""Photos and an index to measure with, for want of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..catalogue.database import Catalogue
from ..catalogue.rows import BLOCK_SLOTS, PhotoRow
from ..catalogue.writer import Batch
from ..encoder.onnx_encoder import Encoder
from ..index.image_index import ImageIndex

PATCH_SIDE = 1024  # pixels
SENSOR_NOISE = 3.5  # of 255, standard deviation


def make_photos(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Make JPEG files that are as much work as photographs.

    What makes a JPEG dear to decode is its entropy. Octaves of noise whose strength grows with
    their scale have the spectrum of natural scenes (Field 1987, https://doi.org/10.1364/JOSAA.4.002379),
    finer noise stands for the sensor's; at quality 90 they take 2 to 3 bits a pixel, as photos of
    telephones do.

    Args:
        folder: is made where needed.
        count: how many.
        size: width and height in pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    patch = _patch(random)
    paths = []
    for number in range(count):
        photo = Image.new("RGB", size)
        left, top = (int(start) for start in random.integers(0, PATCH_SIDE, 2))
        for x in range(-left, size[0], PATCH_SIDE):
            for y in range(-top, size[1], PATCH_SIDE):
                photo.paste(patch, (x, y))
        paths.append(folder / f"{number:05}.jpg")
        photo.save(paths[-1], quality=90)
    return paths


def _patch(random: np.random.Generator) -> Image.Image:
    """Make a piece of a scene; photos are paved with it, since its noise takes long to draw."""
    scene = np.full((PATCH_SIDE, PATCH_SIDE, 3), 128.0, np.float32)
    cell = PATCH_SIDE
    while cell >= 2:
        cells = PATCH_SIDE // cell
        strength = 2.2 * cell**0.4
        octave = 128 + strength * random.standard_normal((cells, cells, 3))
        image = Image.fromarray(octave.clip(0, 255).astype(np.uint8))
        smooth = image.resize((PATCH_SIDE, PATCH_SIDE), Image.Resampling.BICUBIC)
        scene += np.asarray(smooth, np.float32) - 128.0
        cell //= 2
    scene += SENSOR_NOISE * random.standard_normal((PATCH_SIDE, PATCH_SIDE, 1), np.float32)
    return Image.fromarray(scene.clip(0, 255).astype(np.uint8))


def make_index(folder: Path, encoder: Encoder, model: Path | str, count: int) -> Path:
    """Make an index of random vectors, which a query reads as it reads any others.

    Args:
        folder: of the index.
        encoder: that the index is to be of.
        model: its name or path.
        count: how many vectors.
    """
    catalogue = Catalogue.create(folder, encoder.digest, str(model), encoder.dimension)
    random = np.random.default_rng(0)
    with catalogue.writer() as writer:
        root = writer.add_root(folder / "away", ())
        (month,) = writer.add_folders(root.id, {"2026/11": False}).values()
        for first in range(0, count, BLOCK_SLOTS):
            ids = range(first, min(first + BLOCK_SLOTS, count))
            vectors = random.standard_normal((len(ids), encoder.dimension)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            rows = [
                PhotoRow(n, month.id, f"photo-{n}.jpg", 1, 1, bytes(16), 4000, 3000) for n in ids
            ]
            writer.commit(Batch(photos=rows, vectors=dict(zip(ids, vectors, strict=True))))
    catalogue.close()
    with ImageIndex.open(folder, model) as index:
        index.add()  # finds that the folder is away, and builds the graph
    return folder
