"""Which photos are found to be copies of one another, and which of them is to be kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer import ImageIndex, ImgsimError, IndexedPhoto, PhotoMetadata
from imgsim_edge.infer.duplicates.align import (
    BACK,
    SAME_PHOTO,
    SIDE,
    TURNS,
    agreement,
    luminance_thumbnail,
)
from imgsim_edge.infer.duplicates.groups import Group, find_groups
from imgsim_edge.infer.duplicates.keep import keep_rule, preferred
from imgsim_edge.infer.photos.decode import photo_from_image
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

Change = Callable[[Image.Image], Image.Image]


def crop(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 6, 0, width, height - height // 5))


def frame(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, (30, 60, 30, 40), (32, 33, 36))


def watermark(image: Image.Image) -> Image.Image:
    marked = image.copy()
    pen = ImageDraw.Draw(marked)
    for row in range(3):
        pen.text((20, (row + 1) * image.height // 4), "SAMPLE " * 3, fill=(255, 255, 255))
    return marked


CHANGES: dict[str, Change] = {
    "smaller": lambda image: image.resize((image.width // 3, image.height // 3)),
    "cropped": crop,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.4),
    "flatter": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "framed": frame,
    "marked": watermark,
}


def prints(*images: Image.Image) -> np.ndarray:
    return np.stack([luminance_thumbnail(photo_from_image(image, SIDE).pixels) for image in images])


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_photo_is_still_the_same(
    photographs: dict[str, Image.Image], change: str
) -> None:
    images = list(photographs.values())
    both = prints(*images, *map(CHANGES[change], images))
    count = len(images)
    pairs = np.array([(n, n + count) for n in range(count)])
    assert agreement(both, pairs).value.min() >= SAME_PHOTO
    assert agreement(both, pairs[:, ::-1].copy()).value.min() >= SAME_PHOTO


def test_other_photos_are_not_the_same_in_any_orientation(
    photographs: dict[str, Image.Image],
) -> None:
    images = [change(i) for i in photographs.values() for change in (frame, crop)]
    pairs = [p for p in combinations(range(len(images)), 2) if p[0] // 2 != p[1] // 2]
    found = agreement(prints(*images), np.array(pairs), any_orientation=True)
    assert found.value.max() < SAME_PHOTO


def test_pictures_without_detail_are_not_called_the_same() -> None:
    plain = [Image.new("RGB", (300, 200), colour) for colour in ("white", "navy")]
    assert agreement(prints(*plain), np.array([(0, 1)])).value.max() < SAME_PHOTO


@pytest.mark.parametrize("turn", range(len(TURNS)))
def test_a_turned_photo_is_told_with_its_turn(
    photographs: dict[str, Image.Image], turn: int
) -> None:
    original, cropped = prints(photographs["chelsea"], crop(photographs["chelsea"]))
    # The turn is what brings the second picture back onto the first.
    back = BACK[turn]
    turned = np.rot90(cropped[:, ::-1] if back >= 4 else cropped, back % 4)
    found = agreement(np.stack([original, turned]), np.array([(0, 1)]), any_orientation=True)
    assert found.value[0] >= SAME_PHOTO
    assert found.turn[0] == turn
    upright = agreement(np.stack([original, turned]), np.array([(0, 1)]))
    assert (upright.value[0] >= SAME_PHOTO) == (turn == 0)


# --- groups --------------------------------------------------------------------------------------


@pytest.fixture
def album(photographs: dict[str, Image.Image], tmp_path: Path) -> Path:
    """A folder in which some photos have copies: exact, smaller, mirrored."""
    folder = tmp_path / "album"
    (folder / "backup").mkdir(parents=True)
    for name in ("astronaut", "chelsea", "coffee", "china", "flower", "rocket"):
        photographs[name].save(folder / f"{name}.jpg", quality=92)
    shutil.copy2(folder / "coffee.jpg", folder / "backup" / "coffee.jpg")
    CHANGES["smaller"](photographs["china"]).save(folder / "backup" / "china-small.jpg")
    ImageOps.mirror(photographs["chelsea"]).save(folder / "backup" / "chelsea-mirrored.jpg")
    return folder


@pytest.fixture
def index(album: Path, tmp_path: Path) -> ImageIndex:
    made = ImageIndex.create(tmp_path / "index")
    made.add([album])
    return made


def names(groups: list[Group]) -> list[tuple[str, list[str]]]:
    return [(g.keep.path.name, [copy.photo.path.name for copy in g.copies]) for g in groups]


def test_groups_name_the_photo_to_keep_and_mark_exact_copies(index: ImageIndex) -> None:
    found = find_groups(index)
    assert names(found.groups) == [
        ("china.jpg", ["china-small.jpg"]),
        ("coffee.jpg", ["coffee.jpg"]),
    ]
    (china,), (coffee,) = (group.copies for group in found.groups)
    assert (china.exact, coffee.exact, coffee.score) == (False, True, 1.0)
    assert china.certain and 0.9 <= china.score <= 1.0
    assert china.reason == "same photo, 33% of the size"
    assert found.groups[0].why == "more detail"
    assert found.groups[1].keep.path.parent.name == "album"  # equal in all but the path's length
    assert found.passed_over == []


def test_mirrored_copies_are_found_when_asked_for(index: ImageIndex) -> None:
    found = find_groups(index, any_orientation=True)
    (copy,) = next(g for g in found.groups if g.keep.path.stem.startswith("chelsea")).copies
    assert copy.turn == "mirrored"


def test_progress_ends_with_all_steps_done(index: ImageIndex) -> None:
    seen: list[tuple[int, int]] = []
    find_groups(index, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0


def test_the_rule_decides_what_is_kept(index: ImageIndex, album: Path) -> None:
    os.utime(album / "backup" / "china-small.jpg", (0, 0))
    index.add([album])
    assert names(find_groups(index, keep=keep_rule("oldest")).groups)[0][0] == "china-small.jpg"
    assert names(find_groups(index, keep=keep_rule("newest")).groups)[0][0] == "china.jpg"
    assert keep_rule("oldest,largest") == ("oldest", "largest")
    assert keep_rule("") == ()
    with pytest.raises(ImgsimError, match="prettiest"):
        keep_rule("prettiest")


def photo(path: str, mtime_ns: int, metadata: PhotoMetadata | None) -> IndexedPhoto:
    return IndexedPhoto(1, Path(path), 1000, mtime_ns, path.encode(), 400, 300, metadata)


def test_between_equal_pictures_the_one_that_knows_more_stays_then_the_earlier() -> None:
    taken = PhotoMetadata(taken_ms=5_000, taken_source="exif")
    earlier = PhotoMetadata(taken_ms=4_500, taken_source="exif")
    by_name = PhotoMetadata(taken_ms=1, taken_source="name")
    with_camera = PhotoMetadata(camera="Handy 1")
    for stays, goes, why in (
        (with_camera, taken, "names its camera"),
        (taken, None, "says when it was taken"),
        (taken, by_name, "says when it was taken"),
        (earlier, taken, "taken earlier"),
    ):
        new, old = photo("/photos/long/name.jpg", 9, stays), photo("/photos/a.jpg", 1, goes)
        assert preferred(new, old, None, ()) == (True, why)
        assert preferred(old, new, None, ()) == (False, why)
        assert preferred(new, old, None, ("oldest",)) == (False, "oldest")
    new, old = photo("/photos/a.jpg", 9, taken), photo("/photos/long/name.jpg", 1, taken)
    assert preferred(new, old, None, ()) == (False, "older file")


def test_only_one_folder_can_be_looked_at(index: ImageIndex, album: Path) -> None:
    assert find_groups(index, within=album / "backup").groups == []
    with pytest.raises(ImgsimError, match="nowhere is not in the index"):
        find_groups(index, within=album / "nowhere")


def test_what_was_said_to_be_distinct_stays_apart(index: ImageIndex, album: Path) -> None:
    digests = [photo.digest for photo in index.photos() if "china" in photo.path.name]
    index.mark_not_duplicates(digests)
    (album / "china.jpg").rename(album / "renamed.jpg")
    index.add([album])
    assert [keep for keep, _ in names(find_groups(index).groups)] == ["coffee.jpg"]
    index.mark_not_duplicates(digests, forget=True)
    assert len(find_groups(index).groups) == 2


def test_two_names_of_one_file_are_no_copies(index: ImageIndex, album: Path) -> None:
    (album / "backup" / "coffee.jpg").unlink()
    (album / "backup" / "coffee.jpg").hardlink_to(album / "coffee.jpg")
    (album / "link.jpg").symlink_to(album / "rocket.jpg")
    index.add([album])
    assert names(find_groups(index).groups) == [("china.jpg", ["china-small.jpg"])]


def test_files_that_changed_or_went_are_passed_over(index: ImageIndex, album: Path) -> None:
    shutil.copy2(album / "flower.jpg", album / "china.jpg")
    (album / "coffee.jpg").unlink()
    found = find_groups(index)
    assert found.groups == []
    reasons = {passed.path.name: passed.reason for passed in found.passed_over}
    assert reasons["china.jpg"] == "changed since it was indexed"
    assert reasons["coffee.jpg"] == "no such file or directory"


def test_every_copy_was_compared_with_the_photo_that_is_kept(
    photographs: dict[str, Image.Image], tmp_path: Path
) -> None:
    """A photo between two others must not make them copies of each other."""
    image = photographs["china"]
    width, height = image.size
    folder = tmp_path / "strip"
    folder.mkdir()
    for number in range(4):  # each shares four fifths with the next, and the ends too little
        left = number * width // 8
        image.crop((left, 0, left + width * 5 // 8, height)).save(folder / f"{number}.jpg")
    with ImageIndex.create(tmp_path / "strips") as index:
        index.add([folder])
        groups = find_groups(index).groups
    together = [{g.keep.path.name, *(c.photo.path.name for c in g.copies)} for g in groups]
    assert not any({"0.jpg", "3.jpg"} <= group for group in together)


def test_an_empty_index_has_no_duplicates(tmp_path: Path) -> None:
    with ImageIndex.create(tmp_path / "none") as index:
        assert find_groups(index).groups == []
