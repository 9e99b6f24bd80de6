"""When, with what and where a photo was taken: from EXIF, XMP or the name, and never the file."""

from __future__ import annotations

import io
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from camera_files import encoded, exif
from imgsim_edge.infer.photos.decode import load_photo, read_metadata
from imgsim_edge.infer.photos.metadata import PhotoMetadata, Tags, metadata_of
from PIL import Image

GREY = Image.new("RGB", (8, 8), "grey")


def clock(metadata: PhotoMetadata) -> str | None:
    if metadata.taken_ms is None:
        return None
    moment = datetime(1970, 1, 1) + timedelta(milliseconds=metadata.taken_ms)
    return moment.isoformat(sep=" ", timespec="milliseconds")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_20240131_123456.jpg", "2024-01-31 12:34:56.000"),
        ("IMG_20240131_123456789.jpg", "2024-01-31 12:34:56.789"),
        ("PXL_20240131_123456789.MP.jpg", "2024-01-31 12:34:56.789"),
        ("20240131_123456(1).jpg", "2024-01-31 12:34:56.000"),
        ("Screenshot_20240131-123456.png", "2024-01-31 12:34:56.000"),
        ("Screenshot 2024-01-31 at 12.34.56.png", "2024-01-31 12:34:56.000"),
        ("signal-2024-01-31-12-34-56-123.jpg", "2024-01-31 12:34:56.000"),
        ("2024-01-31 12.34.56.jpg", "2024-01-31 12:34:56.000"),
        ("photo_2024-01-31_12-34-56.jpg", "2024-01-31 12:34:56.000"),
        ("WhatsApp Image 2024-01-31 at 12.34.56.jpeg", "2024-01-31 12:34:56.000"),
        ("IMG-20240131-WA0007.jpg", "2024-01-31 00:00:00.000"),
        ("holiday 2024-01-31.jpg", "2024-01-31 00:00:00.000"),
        ("IMG_20241331_123456.jpg", None),  # a thirteenth month
        ("IMG_1234.jpg", None),
        ("DSC01234.jpg", None),
        ("20240131.jpg", None),  # may be any number
        ("8712345620240131123456.jpg", None),
    ],
)
def test_the_name_tells_the_time_where_the_file_does_not(name: str, expected: str | None) -> None:
    told = load_photo(encoded(GREY, "PNG"), name=name).metadata
    assert clock(told) == expected
    assert told.taken_source == (None if expected is None else "name")
    assert told.taken_offset == (0 if name.startswith("PXL_") else None)


def test_the_time_of_the_file_is_never_that_of_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(encoded(GREY, "JPEG"))
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert read_metadata(path) == PhotoMetadata()


def test_exif_goes_before_xmp_and_xmp_before_the_name() -> None:
    xmp = b'<x photoshop:DateCreated="2019-02-03T04:05:06.5+01:00"/>'
    both = encoded(GREY, "WEBP", exif=exif().tobytes(), xmp=xmp)
    assert clock(load_photo(both, name="2001-01-01.webp").metadata) == "2024-01-31 12:34:56.250"
    one = load_photo(encoded(GREY, "WEBP", xmp=xmp), name="2001-01-01.webp").metadata
    assert (clock(one), one.taken_offset) == ("2019-02-03 04:05:06.500", 60)
    assert one.taken_source == "xmp"


@pytest.mark.parametrize(
    "taken", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2024:02:30 10:00:00", ""]
)
def test_a_camera_whose_clock_was_not_set_tells_nothing(taken: str) -> None:
    assert load_photo(encoded(GREY, "JPEG", exif=exif(taken=taken))).metadata.taken_ms is None


def test_the_date_of_the_last_change_is_not_the_date_taken() -> None:
    tags = Image.Exif()
    tags[0x0132] = "2024:01:31 12:34:56"
    assert load_photo(encoded(GREY, "JPEG", exif=tags)).metadata.taken_ms is None


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "HEIF", "JXL"])
def test_metadata_are_the_same_with_and_without_decoding(form: str) -> None:
    content = encoded(GREY, form, exif=exif().tobytes())
    told = read_metadata(content)
    assert clock(told) == "2024-01-31 12:34:56.250"
    assert told == load_photo(content).metadata


@pytest.mark.parametrize(
    "gps",
    [
        {1: "N", 2: (95.0, 0.0, 0.0), 3: "E", 4: (200.0, 0.0, 0.0)},
        {1: "N", 2: (float("nan"), 0.0, 0.0), 3: "E", 4: (float("nan"), 0.0, 0.0)},
        {1: "N", 2: "here", 3: "E", 4: 7},
        {},
    ],
)
def test_a_place_that_is_none_is_left_out(gps: dict[int, object]) -> None:
    told = metadata_of(Tags(gps=gps))
    assert (told.latitude, told.longitude) == (None, None)


def test_names_of_cameras_are_fit_to_be_shown() -> None:
    tags = Tags({0x010F: "Canon\0junk", 0x0110: " Canon \x1b[31m EOS  R5 \udc80"})
    assert metadata_of(tags).camera == "Canon [31m EOS R5"


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about the damage
def test_damaged_exif_costs_the_date_and_not_the_photo() -> None:
    content = bytearray(encoded(GREY, "JPEG", exif=exif()))
    at = content.find(b"Exif\0\0") + 6
    for offset in range(8, 200, 3):
        damaged = content.copy()
        damaged[at + offset] ^= 0xFF
        assert load_photo(io.BytesIO(bytes(damaged))).pixels.shape[2] == 3
