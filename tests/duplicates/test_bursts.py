"""Photos that were taken one after another: which belong together, and which of them is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run
from imgsim_edge.infer import Bursts, ImageIndex, find_bursts, find_groups
from PIL import Image, ImageEnhance, ImageFilter

SHARP, SOFT, BRIGHT, LATER, OTHER, UNDATED = "sharp", "soft", "bright", "later", "other", "undated"


def save(image: Image.Image, file: Path, taken: str | None, camera: str = "Handy 1") -> None:
    exif = Image.Exif()
    exif[0x0110] = camera
    if taken:
        exif.get_ifd(0x8769)[0x9003] = f"2024:05:01 {taken}"
    image.save(file, quality=92, exif=exif)


def shot(image: Image.Image, left: int) -> Image.Image:
    """See the scene as a hand that moves does."""
    return image.crop((left, left // 2, left + 480, left // 2 + 320))


@pytest.fixture
def walk(photographs: dict[str, Image.Image], tmp_path: Path) -> Path:
    folder = tmp_path / "walk"
    folder.mkdir()
    scene = photographs["china"]
    save(shot(scene, 0).filter(ImageFilter.GaussianBlur(2)), folder / "soft.jpg", "12:00:00")
    save(shot(scene, 24), folder / "sharp.jpg", "12:00:01")
    washed_out = ImageEnhance.Brightness(shot(scene, 40)).enhance(2.5)
    save(washed_out.filter(ImageFilter.SHARPEN), folder / "bright.jpg", "12:00:02")
    save(shot(scene, 30), folder / "later.jpg", "12:01:00")
    save(photographs["flower"], folder / "other.jpg", "12:00:03")
    save(shot(scene, 20), folder / "other-camera.jpg", "12:00:01", "Handy 2")
    save(shot(scene, 10), folder / "undated.jpg", None)
    return folder


@pytest.fixture
def found(walk: Path, tmp_path: Path) -> Bursts:
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([walk])
        return find_bursts(index)


def test_what_one_camera_took_within_seconds_and_looks_alike_is_a_burst(found: Bursts) -> None:
    (burst,) = found.bursts
    names = [frame.photo.path.stem for frame in (burst.best, *burst.others)]
    assert names == [SHARP, SOFT, BRIGHT]
    assert [frame.seconds for frame in (burst.best, *burst.others)] == [1, 0, 2]
    assert (found.undated, found.passed_over) == (1, [])


def test_the_sharpest_with_open_exposure_is_shown(found: Bursts) -> None:
    best, soft, bright = found.bursts[0].best, *found.bursts[0].others
    assert soft.sharpness < best.sharpness
    assert soft.reason.endswith("as sharp")
    # Washed out and sharpened: steeper than the best, but half of it is white.
    assert (bright.sharpness, best.reason) == (1.0, "sharpest of those with open exposure")
    assert bright.clipped > best.clipped + 0.1
    assert bright.reason.endswith("more of it is black or white")


def test_a_shorter_pause_parts_them(walk: Path, tmp_path: Path) -> None:
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([walk])
        assert find_bursts(index, seconds=0.5).bursts == []


def test_a_frame_that_is_gone_is_passed_over(walk: Path, tmp_path: Path) -> None:
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([walk])
        (walk / "sharp.jpg").unlink()
        found = find_bursts(index)
    (burst,) = found.bursts
    assert {burst.best.photo.path.stem, burst.others[0].photo.path.stem} == {SOFT, BRIGHT}
    assert [problem.path.stem for problem in found.passed_over] == [SHARP]


def test_nothing_of_a_burst_is_planned_to_go(walk: Path, tmp_path: Path) -> None:
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([walk])
        groups = find_groups(index).groups
    burst = {"sharp.jpg", "soft.jpg", "bright.jpg", "later.jpg"}
    for group in groups:
        going = {copy.photo.path.name for copy in group.copies if copy.certain}
        assert group.keep.path.name not in burst or not going & burst


def test_the_command_shows_them_and_plans_nothing(run: Run, walk: Path) -> None:
    run("index", walk)
    done = run("duplicates", "--bursts")
    header, first, *others = done.stdout.splitlines()
    assert header == "burst 1: 3 photos"
    assert first.split()[0] == "show"
    assert str(walk / "sharp.jpg") in first
    assert len(others) == 2
    assert done.stderr == "1 burst; 1 photo without a date taken\n"
    record = json.loads(run("duplicates", "--bursts", "--json").stdout)
    assert record["show"]["path"] == str(walk / "sharp.jpg")
    assert [other["seconds"] for other in record["others"]] == [0, 2]
    assert len(run("duplicates", "--bursts", "--csv").stdout.splitlines()) == 4
    assert run("duplicates", "--bursts", "-0").stdout == f"{walk / 'sharp.jpg'}\0"
    refused = run("duplicates", "--bursts", "--plan", "plan.json")
    assert refused.status == 2
    assert "--bursts stands alone" in refused.stderr
