"""What phones and cameras write is read upright, in the right colours, and within limits."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from camera_files import dng, encoded, exif
from imgsim_edge.infer.errors import PhotoError
from imgsim_edge.infer.photos import formats, opening
from imgsim_edge.infer.photos.decode import IMAGE_SIZE, load_photo, load_thumbnail, read_metadata
from imgsim_edge.infer.photos.formats import kinds_passed_over
from PIL import Image, ImageCms

LOSSY = 6.0  # mean difference, of 255, that strong lossy compression may make
SIDEWAYS = Image.Transpose.ROTATE_90  # how a photo with orientation 6 is stored


@pytest.fixture
def cat(photographs: dict[str, Image.Image]) -> Image.Image:
    return photographs["chelsea"]


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def one_picture(name: str, cat: Image.Image) -> bytes:
    """Write the cat as a phone or camera would: mostly stored on its side."""
    stored, sideways = cat.transpose(SIDEWAYS), exif(6)
    heic = {"exif": sideways.tobytes(), "quality": 80}
    if name == "one.heic":
        return encoded(stored, "HEIF", **heic)
    if name == "grid.heic":
        return encoded(stored, "HEIF", tile_size=64, **heic)
    if name == "ten-bits.hif":
        return ten_bits(stored, **heic)
    if name == "camera.dng":
        preview = encoded(stored.resize((600, 900)), "JPEG", quality=90)
        return dng(stored, orientation=6, preview=preview)
    if name == "plain.jxl":
        return encoded(cat, "JXL", exif=sideways.tobytes())
    if name == "two-pictures.mpo":
        second = [cat.rotate(180)]
        return encoded(stored, "MPO", save_all=True, exif=sideways, append_images=second)
    jpeg = encoded(stored, "JPEG", quality=90, exif=sideways)  # motion.jpg
    return jpeg + b"\0\0\0\x18ftypmp42" + encoded(cat.rotate(180), "JPEG")


def ten_bits(image: Image.Image, **options: object) -> bytes:
    import pillow_heif

    wide = (np.asarray(image).astype(np.uint16) * 257).tobytes()
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", image.size, wide).save(file, **options)
    return file.getvalue()


NAMES = (
    *("one.heic", "grid.heic", "ten-bits.hif", "camera.dng", "plain.jxl"),
    *("two-pictures.mpo", "motion.jpg"),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_is_read_upright_and_in_its_colours(
    name: str, cat: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(one_picture(name, cat))
    photo = load_photo(path)
    assert difference(photo.pixels, small(cat)) < LOSSY
    wide, high = (photo.width, photo.height)
    assert (wide > high) == (cat.width > cat.height)
    shown = load_thumbnail(path, 100)
    assert shown.width == 100 > shown.height


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("camera.dng", "ten-bits.hif")])
def test_every_format_tells_when_where_and_with_what(name: str, cat: Image.Image) -> None:
    content = one_picture(name, cat)
    told = load_photo(content, name=name).metadata
    assert told.taken_ms == 1_706_704_496_250
    assert (told.taken_offset, told.taken_source) == (120, "exif")
    assert told.camera == "Apple iPhone 15 Pro"
    assert (told.latitude, told.longitude) == (48_141_667, -11_575_000)
    assert read_metadata(content, name) == told


def test_a_grid_is_really_one(cat: Image.Image) -> None:
    assert one_picture("grid.heic", cat).count(b"hvc1") > 20


def test_of_several_pictures_in_a_heic_the_primary_one_counts(cat: Image.Image) -> None:
    import pillow_heif

    heif = pillow_heif.from_pillow(Image.new("RGB", cat.size, "red"))
    heif.add_from_pillow(cat)
    file = io.BytesIO()
    heif.save(file, primary_index=1, quality=80)
    assert difference(load_photo(file.getvalue()).pixels, small(cat)) < LOSSY


def test_a_transparent_heic_lies_on_white() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert load_photo(encoded(clear, "HEIF")).pixels.min() > 250


def test_exif_has_no_say_in_how_a_heic_is_turned(cat: Image.Image) -> None:
    # The container says nothing about turning; its EXIF claims that the photo lies on its side.
    content = encoded(cat, "HEIF", quality=80, exif=exif(1).tobytes())
    at = content.find(struct.pack(">HHIHH", 0x0112, 3, 1, 1, 0))
    order = ">" if at >= 0 else "<"
    one, six = (struct.pack(f"{order}HHIHH", 0x0112, 3, 1, n, 0) for n in (1, 6))
    assert one in content
    photo = load_photo(content.replace(one, six))
    assert (photo.width, photo.height) == cat.size
    assert difference(photo.pixels, small(cat)) < LOSSY


def test_the_profile_of_a_phone_is_converted_to_srgb() -> None:
    # Linear light, as a profile that differs from sRGB plainly: 55 of 255 looks like 128.
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    plain = load_photo(encoded(grey, "HEIF", quality=95)).pixels.mean()
    assert abs(plain - 128) < 4
    marked = load_photo(encoded(grey, "HEIF", quality=95, icc_profile=linear))
    assert marked.pixels.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)


def test_a_jpeg_inside_a_jpeg_xl_is_turned_once(cat: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(encoded(cat.transpose(SIDEWAYS), "JPEG", quality=90, exif=exif(6)))
    with Image.open(path) as image:
        photo = load_photo(encoded(image, "JXL", lossless_jpeg=True))
    assert (photo.width, photo.height) == cat.size
    assert difference(photo.pixels, small(cat)) < LOSSY


def test_a_raw_file_without_a_preview_is_developed(cat: Image.Image) -> None:
    photo = load_photo(dng(cat.transpose(SIDEWAYS), orientation=6), name="cat.nef")
    assert (photo.width, photo.height) == (cat.width * 2, cat.height * 2)
    # LibRaw chooses the brightness: so compare what is where, and the order of the colours.
    grey, expected = photo.pixels.mean(axis=2).ravel(), small(cat).mean(axis=2).ravel()
    assert np.corrcoef(grey, expected)[0, 1] > 0.9
    red, _, blue = photo.pixels.reshape(-1, 3).mean(axis=0)
    assert red > blue


def test_a_preview_that_is_too_small_is_not_used(cat: Image.Image) -> None:
    stamp = encoded(Image.new("RGB", (160, 120), "red"), "JPEG")
    photo = load_photo(dng(cat, preview=stamp), name="cat.dng")
    assert (
        np.corrcoef(photo.pixels.mean(axis=2).ravel(), small(cat).mean(axis=2).ravel())[0, 1] > 0.9
    )


def test_a_preview_that_the_camera_has_turned_already_is_left(cat: Image.Image) -> None:
    stored = cat.transpose(SIDEWAYS)
    preview = encoded(cat.resize((900, 600)), "JPEG", quality=90)
    photo = load_photo(dng(stored, orientation=6, preview=preview), name="cat.dng")
    assert difference(photo.pixels, small(cat)) < LOSSY


def test_a_raw_file_tells_its_date_and_camera(cat: Image.Image) -> None:
    told = load_photo(dng(cat), name="cat.dng").metadata
    assert (told.taken_ms, told.taken_source) == (1_689_322_150_000, "exif")
    assert told.camera == "NIKON Z 6"


def test_a_file_with_the_wrong_suffix_is_read_for_what_it_is(cat: Image.Image) -> None:
    for name, other in (("one.heic", "one.jpg"), ("camera.dng", "x.tif"), ("motion.jpg", "a.heic")):
        assert difference(load_photo(one_picture(name, cat), name=other).pixels, small(cat)) < LOSSY


def test_a_heic_that_lies_about_its_size_costs_its_error_alone() -> None:
    content = encoded(Image.new("RGB", (2048, 2048), "red"), "HEIF", quality=10)
    told = struct.pack(">4sIII", b"ispe", 0, 2048, 2048)
    assert told in content
    with pytest.raises(PhotoError, match="damaged image"):
        load_photo(content.replace(told, struct.pack(">4sIII", b"ispe", 0, 64, 64)))


def test_a_heic_whose_items_have_no_proper_names_ends_nothing(cat: Image.Image) -> None:
    content = one_picture("one.heic", cat)
    at = content.find(b"Exif")
    with pytest.raises(PhotoError, match="names of its items"):
        load_photo(content[:at] + b"\xba" + content[at + 1 :])


@pytest.mark.parametrize("name", ["huge.heic", "huge.jxl", "huge.dng"])
def test_a_bomb_is_refused_before_it_is_decoded(
    name: str, cat: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "huge.heic": lambda: encoded(cat, "HEIF"),
        "huge.jxl": lambda: encoded(cat, "JXL"),
        "huge.dng": lambda: dng(cat),
    }[name]()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", cat.width * cat.height // 2 - 1)
    with pytest.raises(PhotoError, match="too many pixels"):
        load_photo(content, name=name)


@pytest.mark.parametrize("name", ["one.heic", "camera.dng", "plain.jxl"])
def test_the_memory_for_decoding_is_asked_for_first(name: str, cat: Image.Image) -> None:
    asked = []

    def refuse(need: int) -> None:
        asked.append(need)
        raise MemoryError

    with pytest.raises(PhotoError, match="not enough memory"):
        load_photo(one_picture(name, cat), hold=refuse, name=name)  # type: ignore[arg-type]
    assert asked[0] > 1_000_000 or name == "camera.dng"


@pytest.mark.parametrize(
    ("image", "size"),
    [((640, 480), (640, 480)), ((24, 17), (24, 17)), ((333, 222), (333, 222))],
)
def test_the_size_of_a_jpeg_xl_is_read_from_its_head(
    image: tuple[int, int], size: tuple[int, int]
) -> None:
    picture = Image.new("RGB", image, "red")
    assert opening.jpeg_xl_size(encoded(picture, "JXL")) == size
    boxed = encoded(picture, "JXL", use_container=True, exif=exif().tobytes())
    assert boxed[4:8] == b"JXL "
    assert opening.jpeg_xl_size(boxed) == size


@pytest.mark.parametrize("name", ["one.heic", "grid.heic", "camera.dng", "plain.jxl"])
def test_damaged_files_cost_one_line_each(name: str, cat: Image.Image) -> None:
    whole, rng = one_picture(name, cat), np.random.default_rng(0)
    refused = 0
    for cut in (10, 60, len(whole) // 3, len(whole) - 100):
        with pytest.raises(PhotoError) as caught:
            load_photo(whole[:cut], name=name)
        assert "\n" not in str(caught.value)
    for _ in range(20):
        content = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 3000), 5):
            content[at] ^= 0xFF
        try:
            load_photo(bytes(content), name=name)
        except PhotoError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused or name == "camera.dng"  # whose first bytes are the sensor's values


def test_a_missing_library_is_named_with_its_remedy(
    cat: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cat.HEIC"
    path.write_bytes(encoded(cat, "HEIF"))
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(PhotoError, match="HEIC needs pi-heif: pip install pi-heif"):
        load_photo(path)


def test_damaged_fax_lines_of_a_tiff_write_nothing_themselves(tmp_path: Path) -> None:
    page = Image.effect_noise((400, 400), 90).convert("1")
    content = bytearray(encoded(page, "TIFF", compression="group4"))
    for at in range(300, len(content) - 400, 97):
        content[at] ^= 0xFF
    path = tmp_path / "fax.tif"
    path.write_bytes(content)
    ours, pillows = what_reading_writes(path)
    assert "Fax4Decode" not in ours
    assert "Fax4Decode" in pillows  # or there was nothing to be silent about


def test_impossible_samples_of_a_tiff_write_nothing_themselves(tmp_path: Path) -> None:
    content = bytearray(encoded(Image.new("RGB", (8, 8)), "TIFF"))
    samples = struct.pack("<HHI", 277, 3, 1)  # the tag, a 16-bit number, one of it
    at = content.index(samples) + len(samples)
    content[at : at + 2] = struct.pack("<H", 2048)
    path = tmp_path / "samples.tif"
    path.write_bytes(content)
    ours, pillows = what_reading_writes(path)
    assert "More samples" not in ours
    assert "More samples" in pillows


def what_reading_writes(path: Path) -> tuple[str, str]:
    """Read a photo by this program and by Pillow alone: what came on stderr."""
    ours = "from imgsim_edge.infer.photos.decode import load_photo; load_photo(sys.argv[1])"
    pillows = "from PIL import Image; Image.open(sys.argv[1]).load()"
    ran = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; {read}", path],
            capture_output=True,
            text=True,
            check=False,
        )
        for read in (ours, pillows)
    ]
    return ran[0].stderr, ran[1].stderr


def test_the_video_of_a_live_photo_is_told_from_other_videos() -> None:
    seen = kinds_passed_over(
        ["IMG_1.MOV", "img_2.mov", "trip.mp4", "PXL_1.MP"], ["IMG_1.HEIC", "PXL_1.MP.jpg"]
    )
    assert seen == {"MOV of live photos": 1, "MOV": 1, "MP4": 1, "MP of live photos": 1}


def test_every_suffix_stands_in_one_row_of_the_table() -> None:
    listed = [suffix for kind in formats.FORMATS for suffix in kind.suffixes]
    assert len(listed) == len(set(listed))
    for kind in formats.FORMATS:
        assert bool(kind.left_out) != bool(kind.reader)
