"""Real detail is what the other copy does not have; contrast, sharpening and blocks are none."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from imgsim_edge.infer import IndexedPhoto
from imgsim_edge.infer.duplicates.compare import Compared
from imgsim_edge.infer.duplicates.keep import preferred
from imgsim_edge.infer.duplicates.residual import Overlap, Residual, residual
from PIL import Image, ImageEnhance

Change = Callable[[Image.Image], Image.Image]


def saved(quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return change


def scaled(by: float) -> Change:
    return lambda image: saved(90)(
        image.resize((round(image.width * by), round(image.height * by)))
    )


def enlarged_again(image: Image.Image) -> Image.Image:
    return scaled(0.5)(image).resize(image.size, Image.Resampling.BICUBIC)


def compared(one: Image.Image, other: Image.Image) -> Residual:
    found = residual(one, other, (one.size, other.size), Overlap((0, 0), (1, 1)))
    assert found is not None
    return found


def choice(image: Image.Image, change: Change) -> tuple[bool, str]:
    """Tell whether the image stays beside its copy that is the older file, and why one does."""
    copy = change(image)
    first = IndexedPhoto(1, Path("/1.jpg"), 100, 2, b"", *image.size)
    second = IndexedPhoto(2, Path("/2.jpg"), 100, 1, b"", *copy.size)
    stays, why = preferred(first, second, Compared(1, 0, compared(image, copy)), ())
    swapped = Compared(1, 0, compared(copy, image))
    assert preferred(second, first, swapped, ()) == (not stays, why)
    return stays, why


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
@pytest.mark.parametrize("change", [scaled(0.5), enlarged_again], ids=["halved", "enlarged again"])
def test_what_was_reduced_has_less_detail(
    photographs: dict[str, Image.Image], name: str, change: Change
) -> None:
    assert choice(photographs[name], change) == (True, "more detail")


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
@pytest.mark.parametrize(
    "change",
    [
        scaled(2),
        saved(50),
        lambda image: ImageEnhance.Sharpness(image).enhance(2.5),
        lambda image: ImageEnhance.Contrast(saved(90)(image)).enhance(0.7),
    ],
    ids=["enlarged", "compressed", "sharpened", "flatter"],
)
def test_what_only_looks_sharper_has_no_more(
    photographs: dict[str, Image.Image], name: str, change: Change
) -> None:
    stays, why = choice(photographs[name], change)
    assert (stays, why) in ((False, "older file"), (True, "more detail"))


def test_what_is_white_only_has_lost_something(photographs: dict[str, Image.Image]) -> None:
    def brighter(image: Image.Image) -> Image.Image:
        return saved(90)(ImageEnhance.Brightness(image).enhance(1.5))

    assert choice(photographs["astronaut"], brighter) == (True, "less lost in white or black")
