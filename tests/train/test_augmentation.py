"""How training photos are varied."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer.errors import UsageError
from imgsim_edge.infer.photos.decode import load_photo
from imgsim_edge.train.data.augment import AUGMENTATIONS, Augmenter, apply_alone
from imgsim_edge.train.data.find import find_photos
from imgsim_edge.train.report.contact_sheet import CELL, draw_augmentations
from PIL import Image

# Albumentations only warns of arguments that it does not know; warnings are errors in these tests.
ELEVEN = [
    "HorizontalFlip",
    "RandomBrightnessContrast",
    "RandomRotate90",
    "Flip",
    "RGBShift",
    "HueSaturationValue",
    "CLAHE",
    "RandomGamma",
    "Blur",
    "ToGray",
    "ImageCompression",
]


def test_all_eleven_are_there() -> None:
    assert [augmentation.name for augmentation in AUGMENTATIONS] == ELEVEN
    assert all(0 < augmentation.probability <= 0.5 for augmentation in AUGMENTATIONS)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=ELEVEN)
def test_each_one_changes_a_photo_and_keeps_its_form(augmentation: object, labelled: Path) -> None:
    pixels = load_photo(labelled / "flower" / "00.jpg", 64).pixels
    # Turning by 0 degrees is one of the draws of RandomRotate90.
    varied = [apply_alone(augmentation, pixels, seed) for seed in range(4)]  # type: ignore[arg-type]
    assert all(one.shape == pixels.shape and one.dtype == np.uint8 for one in varied)
    assert any(not np.array_equal(one, pixels) for one in varied)


def test_flip_draws_all_three_of_its_kinds(labelled: Path) -> None:
    flip = next(a for a in AUGMENTATIONS if a.name == "Flip")
    pixels = load_photo(labelled / "flower" / "00.jpg", 32).pixels
    kinds = [pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]]
    drawn = [apply_alone(flip, pixels, seed) for seed in range(40)]
    matches = [[np.array_equal(one, kind) for kind in kinds] for one in drawn]
    assert all(sum(match) == 1 for match in matches)
    assert np.any(matches, axis=0).all()


def test_a_variation_depends_on_seed_epoch_and_photo_but_not_on_the_thread(labelled: Path) -> None:
    pixels = load_photo(labelled / "coffee" / "00.jpg", 32).pixels
    augmenter = Augmenter(seed=7)
    alone = [augmenter(pixels, epoch, index) for epoch in range(4) for index in range(8)]
    with ThreadPoolExecutor(4) as pool:
        again = Augmenter(seed=7)
        jobs = [pool.submit(again, pixels, e, i) for e in range(4) for i in range(8)]
        side_by_side = [job.result() for job in jobs]
    assert np.array_equal(alone, side_by_side)
    assert len({one.tobytes() for one in alone}) > 16


def test_the_contact_sheet_is_a_picture(labelled: Path, tmp_path: Path) -> None:
    draw_augmentations([labelled], tmp_path / "sheet.png", 64, seed=0)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 800
        assert len(sheet.getcolors(1 << 24) or ()) > 1000


@pytest.mark.parametrize("suffix", ["txt", "psd", "blp", "h5"])
def test_a_format_that_cannot_be_written_is_refused_before_drawing(
    tmp_path: Path, suffix: str
) -> None:
    with pytest.raises(UsageError, match="name a picture"):
        draw_augmentations([tmp_path / "no data"], tmp_path / f"sheet.{suffix}", 64, seed=0)


def test_the_contact_sheet_shows_what_training_makes_of_its_photos(
    labelled: Path, tmp_path: Path
) -> None:
    draw_augmentations([labelled], tmp_path / "sheet.png", CELL, seed=0)
    samples, augmenter = find_photos([labelled]).samples, Augmenter(seed=0)
    photos = [load_photo(sample.path, CELL).pixels for sample in samples]
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    left, *varied = (
        pixels[-CELL - 4 : -4, x : x + CELL] for x in range(0, 8 * (CELL + 4), CELL + 4)
    )
    (index,) = (i for i, photo in enumerate(photos) if np.array_equal(photo, left))
    for epoch, cell in enumerate(varied):
        assert np.array_equal(cell, augmenter(left, epoch, index))
