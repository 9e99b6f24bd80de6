"""Frames are not picture, words that differ count, and the right one of copies stays."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer import ImageIndex, IndexedPhoto
from imgsim_edge.infer.cleanup.plan import plan_of
from imgsim_edge.infer.duplicates.compare import Compared
from imgsim_edge.infer.duplicates.frames import picture_in
from imgsim_edge.infer.duplicates.groups import Group, find_groups
from imgsim_edge.infer.duplicates.judge import verdict
from imgsim_edge.infer.duplicates.residual import Overlap, Residual, _cut, residual
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

LIGHT, DARK = (255, 255, 255), (0, 0, 0)


def screenshot(image: Image.Image, paper: tuple[int, int, int]) -> Image.Image:
    """Show a photo on a telephone of 540 × 1200 with a status bar and a caption."""
    frame = Image.new("RGB", (540, 1200), paper)
    ink = DARK if paper == LIGHT else LIGHT
    shown = image.resize((540, round(540 * image.height / image.width)))
    top = (1200 - shown.height) // 2
    frame.paste(shown, (0, top))
    pen = ImageDraw.Draw(frame)
    pen.text((30, 15), "12:04", font=ImageFont.load_default(20), fill=ink)
    pen.text((510, 15), "87 %", font=ImageFont.load_default(20), fill=ink, anchor="ra")
    caption = "a photo of mine"
    pen.text((30, top + shown.height + 20), caption, font=ImageFont.load_default(24), fill=ink)
    return frame


def slide(words: str) -> Image.Image:
    page = Image.new("RGB", (1200, 675), (245, 240, 225))
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, 1200, 40), (30, 60, 120))
    pen.ellipse((1050, 70, 1150, 170), (200, 80, 40))
    for line in range(5):
        pen.text((90, 180 + 80 * line), words, font=ImageFont.load_default(34), fill=(20, 20, 30))
    return page


def grouped(folder: Path, images: dict[str, Image.Image], tmp_path: Path) -> list[Group]:
    folder.mkdir()
    for age, (name, image) in enumerate(images.items()):
        image.save(folder / f"{name}.jpg", quality=90)
        os.utime(folder / f"{name}.jpg", (10**9 + age, 10**9 + age))
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([folder])
        return find_groups(index).groups


@pytest.mark.parametrize("paper", [LIGHT, DARK])
def test_the_picture_is_found_in_its_frame(
    photographs: dict[str, Image.Image], paper: tuple[int, int, int]
) -> None:
    image = photographs["china"]
    box = picture_in(np.asarray(screenshot(image, paper).resize((144, 320))))
    assert box is not None
    height = 540 * image.height / image.width / 1200
    assert box == pytest.approx((0, 1, 0.5 - height / 2, height), abs=0.02)
    assert picture_in(np.asarray(image)) is None


def test_screenshots_join_their_originals_and_not_one_another(
    photographs: dict[str, Image.Image], tmp_path: Path
) -> None:
    shown = ("china", "coffee", "chelsea", "flower")
    images = {name: photographs[name] for name in shown}
    images |= {
        f"{name}-screen": screenshot(photographs[name], paper)
        for name, paper in zip(shown, (LIGHT, DARK, LIGHT, DARK), strict=True)
    }
    groups = grouped(tmp_path / "photos", images, tmp_path)
    found = {g.keep.path.stem: [copy.photo.path.stem for copy in g.copies] for g in groups}
    assert found == {name: [f"{name}-screen"] for name in shown}
    for group in groups:
        assert group.why == "no frame"
        assert group.copies[0].certain
        assert group.copies[0].reason == "same photo, in a screenshot"


def test_a_picture_in_the_colour_of_its_frame_stays(
    photographs: dict[str, Image.Image], tmp_path: Path
) -> None:
    """White around the picture on a light screen shows no more of it."""
    cup = photographs["coffee"].resize((240, 160))
    mask = Image.new("L", cup.size)
    ImageDraw.Draw(mask).ellipse((10, 5, 230, 155), fill=255)
    image = Image.new("RGB", (240, 300), LIGHT)
    image.paste(cup, (0, 70), mask)
    # Older than its original: the frame alone decides.
    images = {"screen": screenshot(image, LIGHT), "cup": image}
    (group,) = grouped(tmp_path / "white", images, tmp_path)
    assert (group.keep.path.stem, group.why) == ("cup", "no frame")
    assert group.copies[0].reason.endswith("in a screenshot")


def test_little_detail_has_to_agree_better_to_be_certain() -> None:
    about = (10, 0, b"", 100, 150)
    one, other = (IndexedPhoto(n, Path(f"/{n}.jpg"), *about) for n in (1, 2))
    for blocks, left_over, certain in ((90, 0.05, True), (90, 0.08, False), (400, 0.08, True)):
        found = Residual(
            Overlap((0, 0), (1, 1)), blocks, 0, 0, left_over, 0.1, 0, 0, (False, False), (0, 0),
            (0, 0), (False, False),
        )  # fmt: skip
        judged = verdict(one, other, Compared(0.9, 0, found), True, 0)
        assert judged and judged.certain is certain


def test_pages_of_one_template_with_other_words_are_different(tmp_path: Path) -> None:
    words = ("harvest of the river", "a yellow system", "result before market", "letter to family")
    images = {f"page-{n}": slide(said) for n, said in enumerate(words)}
    images["page-0-small"] = slide(words[0]).resize((600, 338))
    groups = grouped(tmp_path / "slides", images, tmp_path)
    assert [(g.keep.path.stem, [c.photo.path.stem for c in g.copies]) for g in groups] == [
        ("page-0", ["page-0-small"])
    ]


def test_one_other_word_leaves_a_residual_and_compression_does_not() -> None:
    page, other = slide("seat forty one"), slide("seat forty two")
    size = page.size, page.size
    differs = residual(page, other, size, Overlap((0, 0), (1, 1)))
    assert differs is not None and differs.unlike > 0
    softer = page.resize((500, 281)).resize(page.size)
    same = residual(page, softer, size, Overlap((0.01, 0), (0.99, 1)))
    assert same is not None and same.unlike == 0
    assert same.overlap.offset[0] == pytest.approx(0, abs=0.002)


def test_pictures_that_differ_when_small_are_not_compared_at_full_size(
    photographs: dict[str, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = photographs["coffee"], photographs["chelsea"].resize(photographs["coffee"].size)
    cut: list[int] = []
    monkeypatch.setattr(
        "imgsim_edge.infer.duplicates.residual._cut",
        lambda image, box, size: cut.append(max(size)) or _cut(image, box, size),
    )
    together = Overlap((0, 0), (1, 1))
    assert residual(one, other, (one.size, other.size), together) is None
    assert max(cut) < 100
    assert residual(one, one.resize((300, 200)), (one.size, (300, 200)), together)
    assert max(cut) > 250


def test_the_original_stays(photographs: dict[str, Image.Image], tmp_path: Path) -> None:
    image = photographs["coffee"]
    half = image.resize((image.width // 2, image.height // 2))
    images = {
        "original": image,
        "brighter": ImageEnhance.Brightness(image).enhance(1.3),
        "crop": image.crop((40, 30, image.width - 20, image.height - 40)),
        "enlarged": half.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC),
        "grey": ImageOps.grayscale(image),
        "half": half,
        "screen": screenshot(image, DARK),
    }
    (group,) = grouped(tmp_path / "photos", images, tmp_path)
    assert group.keep.path.stem == "original"
    reasons = {copy.photo.path.stem: copy.reason for copy in group.copies}
    assert set(reasons) == set(images) - {"original"}
    assert reasons["half"] == "same photo, half the size"
    assert reasons["grey"] == "same photo, in grey"
    assert "cropped" in reasons["crop"]
    assert {"no frame", "in colour", "not cropped", "more detail"} <= set(group.why.split(", "))


def test_a_plan_holds_only_what_is_certain(
    photographs: dict[str, Image.Image], tmp_path: Path
) -> None:
    image = photographs["chelsea"]
    marked = image.copy()
    ImageDraw.Draw(marked).rectangle((200, 150, 250, 190), (130, 130, 130))
    groups = grouped(tmp_path / "photos", {"chelsea": image, "marked": marked}, tmp_path)
    assert [copy.certain for group in groups for copy in group.copies] == [False]
    assert plan_of(groups).files == 0
    assert plan_of(groups, include_look=True).files == 1
