"""Photos and an index to measure with, for want of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .catalogue import Catalogue
from .encoder import Encoder
from .index import ImageIndex
from .rows import BLOCK_SLOTS, PhotoRow
from .writer import Batch


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
    width, height = (side + side // 8 for side in size)  # each photo is a part of one large scene
    scene = np.full((height, width, 3), 128.0, np.float32)
    cell = max(width, height)
    while cell >= 2:
        shape = (height // cell + 2, width // cell + 2, 3)
        strength = 2.2 * cell**0.4
        octave = (128 + strength * random.standard_normal(shape)).clip(0, 255).astype(np.uint8)
        smooth = Image.fromarray(octave).resize((width, height), Image.Resampling.BICUBIC)
        scene += np.asarray(smooth, np.float32) - 128.0
        cell //= 2
    scene += 3.5 * random.standard_normal((height, width, 1), np.float32)
    image = Image.fromarray(scene.clip(0, 255).astype(np.uint8))
    paths = []
    for number in range(count):
        left = int(random.integers(width - size[0] + 1))
        top = int(random.integers(height - size[1] + 1))
        paths.append(folder / f"{number:05}.jpg")
        part = image.crop((left, top, left + size[0], top + size[1]))
        part.save(paths[-1], quality=90)
    return paths


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
                PhotoRow(n, month.id, f"photo-{n}.jpg", 1, 1, bytes(16), 4000, 3000, 0) for n in ids
            ]
            writer.commit(Batch(photos=rows, vectors=dict(zip(ids, vectors, strict=True))))
    catalogue.close()
    with ImageIndex.open(folder, model) as index:
        index.add()  # finds that the folder is away, and builds the graph
    return folder
