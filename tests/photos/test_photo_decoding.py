"""A file becomes the pixels its owner sees, whatever the format, flag, profile or depth."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer.errors import PhotoError
from imgsim_edge.infer.photos.decode import (
    IMAGE_SIZE,
    load_photo,
    photo_from_array,
    photo_from_image,
)
from imgsim_edge.infer.photos.formats import FORMATS
from PIL import Image, ImageCms

PILLOW_SUFFIXES = {s for kind in FORMATS if kind.pillow for s in kind.suffixes} - {".mpo"}
LOSSY = 6.0  # mean difference, of 255, that strong lossy compression may make


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.fixture
def cat(photographs: dict[str, Image.Image]) -> Image.Image:
    return photographs["chelsea"]


@pytest.fixture
def expected(cat: Image.Image) -> np.ndarray:
    return np.asarray(cat.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("suffix", [*sorted(PILLOW_SUFFIXES), ".JPG", ".Png"])
def test_every_format_gives_the_same_photo(
    suffix: str, cat: Image.Image, expected: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / f"cat{suffix}"
    cat.save(path, format="JPEG" if suffix == ".jpe" else None)
    photo = load_photo(path)
    assert photo.pixels.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert photo.pixels.dtype == np.uint8
    assert (photo.width, photo.height) == cat.size
    assert difference(photo.pixels, expected) < LOSSY


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize(
    ("orientation", "stored_as"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_the_orientation_flag_is_followed(
    suffix: str,
    orientation: int,
    stored_as: Image.Transpose,
    cat: Image.Image,
    expected: np.ndarray,
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    cat.transpose(stored_as).save(path, exif=exif)
    photo = load_photo(path)
    assert (photo.width, photo.height) == cat.size
    assert difference(photo.pixels, expected) < LOSSY


def test_a_large_jpeg_is_decoded_at_a_reduced_scale_to_nearly_the_same_pixels(
    cat: Image.Image, tmp_path: Path
) -> None:
    large = cat.resize((4000, 3000), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg", quality=95)
    large.save(tmp_path / "large.png", compress_level=1)
    reduced, full = load_photo(tmp_path / "large.jpg"), load_photo(tmp_path / "large.png")
    assert (reduced.width, reduced.height) == (4000, 3000)
    assert difference(reduced.pixels, full.pixels) < 1.5


def test_a_transparent_image_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert load_photo(tmp_path / "clear.png").pixels.min() == 255
    palette = Image.new("P", (40, 30), 1)
    palette.putpalette([0, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "clear.gif", transparency=1)
    assert load_photo(tmp_path / "clear.gif").pixels.min() == 255


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256 * 256).reshape(256, 256).astype(np.uint16)
    for name in ("ramp.png", "ramp.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        pixels = load_photo(tmp_path / name).pixels
        assert pixels.min() < 5
        assert pixels.max() > 250
        assert abs(float(pixels.mean()) - 127) < 3


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LAB", "F", "I"])
def test_every_pixel_mode_is_understood(
    mode: str, cat: Image.Image, expected: np.ndarray, tmp_path: Path
) -> None:
    if mode in ("F", "I"):
        image = cat.convert("L").convert(mode)
        if mode == "I":
            image = image.point(lambda value: value * 256)
    elif mode == "LAB":
        transform = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        image = ImageCms.applyTransform(cat, transform)
        assert image is not None
    else:
        image = cat.convert(mode)
    image.save(tmp_path / "cat.tif")
    grey = expected.mean(axis=2)
    assert difference(load_photo(tmp_path / "cat.tif").pixels.mean(axis=2), grey) < 25


def test_a_colour_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    # In a profile whose red and green are swapped, stored green is seen as red.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    at = {srgb[i : i + 4]: i for i in range(132, 132 + 12 * 20, 12)}
    red, green = at[b"rXYZ"], at[b"gXYZ"]
    swapped = bytearray(srgb)
    swapped[red + 4 : red + 12] = srgb[green + 4 : green + 12]
    swapped[green + 4 : green + 12] = srgb[red + 4 : red + 12]
    swapped = swapped.replace(b"s\0R\0G\0B", b"o\0t\0h\0e").replace(b"sRGB", b"othe")
    Image.new("RGB", (50, 50), (0, 200, 0)).save(tmp_path / "p.png", icc_profile=bytes(swapped))
    red_value, green_value, _ = load_photo(tmp_path / "p.png").pixels[100, 100]
    assert red_value > 150 > 60 > green_value


def test_a_damaged_profile_costs_nothing_but_itself(cat: Image.Image, tmp_path: Path) -> None:
    cat.save(tmp_path / "plain.png")
    cat.save(tmp_path / "damaged.png", icc_profile=b"no profile at all")
    plain, damaged = load_photo(tmp_path / "plain.png"), load_photo(tmp_path / "damaged.png")
    assert np.array_equal(plain.pixels, damaged.pixels)


def test_paths_bytes_files_images_and_arrays_give_the_same_pixels(
    cat: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "cat.png"
    cat.save(path)
    from_path = load_photo(path).pixels
    assert np.array_equal(load_photo(str(path)).pixels, from_path)
    assert np.array_equal(load_photo(path.read_bytes()).pixels, from_path)
    assert np.array_equal(load_photo(io.BytesIO(path.read_bytes())).pixels, from_path)
    with Image.open(path) as image:
        assert np.array_equal(photo_from_image(image).pixels, from_path)
    assert np.array_equal(photo_from_array(np.asarray(cat)).pixels, from_path)


def broken(folder: Path, cat: Image.Image) -> dict[str, tuple[Path, str]]:
    good = folder / "good.jpg"
    cat.save(good)
    files = {
        "empty": (b"", "empty"),
        "lying": (b"I am a text, not a picture.", "not an image"),
        "truncated": (good.read_bytes()[:4000], "truncated"),
    }
    made = {}
    for name, (content, reason) in files.items():
        made[name] = (folder / f"{name}.jpg", reason)
        made[name][0].write_bytes(content)
    made["missing"] = (folder / "missing.jpg", "no such file")
    made["folder"] = (folder, "directory")
    made["bomb"] = (folder / "bomb.png", "too many pixels")
    Image.new("1", (20000, 20000)).save(made["bomb"][0])  # 400 million pixels in 50 kB
    return made


@pytest.mark.parametrize("kind", ["empty", "lying", "truncated", "missing", "folder", "bomb"])
def test_what_is_no_photo_says_why_in_one_line(kind: str, cat: Image.Image, tmp_path: Path) -> None:
    path, reason = broken(tmp_path, cat)[kind]
    with pytest.raises(PhotoError) as caught:
        load_photo(path)
    assert reason in caught.value.reason
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_of_another_shape_or_type_are_refused() -> None:
    for array in (np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(PhotoError, match="uint8"):
            photo_from_array(array)


def test_a_run_length_encoded_bmp_of_a_few_bytes_takes_no_minutes() -> None:
    file = io.BytesIO()
    Image.new("P", (16, 4)).save(file, "BMP")
    content = bytearray(file.getvalue())
    content[30] = 1  # BI_RLE8
    start = int.from_bytes(content[10:14], "little")
    runs = bytes(content[:start]) + b"\x10\x01\0\0" * 4 + b"\0\1"
    assert load_photo(runs).width == 16
    wide = bytearray(runs)
    wide[18:22] = (1 << 24).to_bytes(4, "little")
    with pytest.raises(PhotoError, match="too many pixels"):
        load_photo(bytes(wide))
