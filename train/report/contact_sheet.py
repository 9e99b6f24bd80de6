"""A picture of what the network will see: photos beside their variations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ...infer.arrays import Pixels
from ...infer.errors import PhotoError
from ...infer.output.sheet import check_picture, save_picture
from ...infer.photos.decode import load_photo
from ..data.augment import AUGMENTATIONS, Augmenter, apply_alone
from ..data.find import find_photos
from ..errors import DataError

PHOTOS = 6  # rows of the lower part
VARIATIONS = 7  # beside each photo
CELL = 128  # pixels
_CAPTION, _GAP = 16, 4  # pixels
_COLUMNS = VARIATIONS + 1


def draw_augmentations(data: Sequence[Path], target: Path, image_size: int, seed: int) -> None:
    """Draw a contact sheet.

    The upper rows show one photo and each augmentation alone, always applied; the lower ones some
    photos and what training would make of these very ones in its first epochs.

    Args:
        data: as of a training.
        target: the picture to write; its suffix names the format.
        image_size: side of the photos in pixels.
        seed: of the training.

    Raises:
        UsageError: no picture can be written in the format that the suffix names.
        ImgsimError: there are no photos, or the picture cannot be written.
    """
    check_picture(target)
    chosen = _photos(data, image_size, seed)
    augmenter = Augmenter(seed)
    first = next(iter(chosen.values()))
    cells = [("as it is", first)]
    cells += [(a.name, apply_alone(a, first, seed)) for a in AUGMENTATIONS]
    cells += [("", np.full_like(first, 255))] * (-len(cells) % _COLUMNS)
    for index, pixels in chosen.items():
        cells.append(("photo", pixels))
        cells += [
            (f"epoch {epoch + 1}", augmenter(pixels, epoch, index)) for epoch in range(VARIATIONS)
        ]
    rows = len(cells) // _COLUMNS
    step = CELL + _GAP
    sheet = Image.new("RGB", (_COLUMNS * step, rows * (step + _CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (caption, pixels) in enumerate(cells):
        x, y = place % _COLUMNS * step, place // _COLUMNS * (step + _CAPTION)
        draw.text((x, y), caption, fill="black")
        sheet.paste(Image.fromarray(pixels).resize((CELL, CELL)), (x, y + _CAPTION))
    save_picture(sheet, target)


def _photos(data: Sequence[Path], image_size: int, seed: int) -> dict[int, Pixels]:
    """Draw some photos, by their index in the data set, which decides how they are varied."""
    samples = find_photos(data).samples
    photos: dict[int, Pixels] = {}
    for index in map(int, np.random.default_rng(seed).permutation(len(samples))):
        try:
            photos[index] = load_photo(samples[index].path, image_size).pixels
        except PhotoError:
            continue  # training names those; here another one will do
        if len(photos) == PHOTOS:
            break
    if not photos:
        raise DataError("no photo of the data can be read")
    return photos
