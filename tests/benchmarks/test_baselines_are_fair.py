"""The table of baselines fits nothing on photos that it measures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from baselines import COMPONENTS, photos_to_fit_on


@pytest.fixture
def photos(tmp_path: Path, photographs: dict[str, Image.Image]) -> Path:
    """A folder with just enough photos to fit on, and a set inside it."""
    small = photographs["coffee"].resize((8, 8))
    (tmp_path / "photos" / "set" / "class").mkdir(parents=True)
    for number in range(COMPONENTS):
        small.save(tmp_path / "photos" / "set" / "class" / f"{number:03}.png")
    return tmp_path / "photos"


def test_a_folder_that_holds_a_set_or_lies_in_one_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photos / "set", target_is_directory=True)
    for fit_on, measured in (
        (photos, photos / "set"),
        (photos / "set", photos),
        (photos, photos),
        (tmp_path / "link", photos / "set"),
        (photos, tmp_path / "link" / "class"),
    ):
        with pytest.raises(SystemExit, match="overlap: fit on other photos"):
            photos_to_fit_on(fit_on, [tmp_path / "elsewhere", measured], most=10, seed=0)


def test_the_same_seed_draws_the_same_photos_in_their_order(photos: Path, tmp_path: Path) -> None:
    drawn = photos_to_fit_on(photos, [tmp_path / "elsewhere"], most=10, seed=1)
    assert drawn == sorted(drawn)
    assert len(drawn) == 10
    assert drawn == photos_to_fit_on(photos, [tmp_path / "elsewhere"], most=10, seed=1)
    assert drawn != photos_to_fit_on(photos, [tmp_path / "elsewhere"], most=10, seed=2)


def test_too_few_photos_are_refused(photos: Path, tmp_path: Path) -> None:
    (photos / "set" / "class" / "000.png").unlink()
    with pytest.raises(SystemExit, match="too few"):
        photos_to_fit_on(photos, [tmp_path / "elsewhere"], most=10, seed=0)
