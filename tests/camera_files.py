"""Files as phones and cameras write them, made here: HEIC, DNG, JPEG XL, and what they say."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

ASCII, SHORT, LONG, RATIONAL, SIGNED_RATIONAL, BYTE = 2, 3, 4, 5, 10, 1
_SIZES = {ASCII: 1, BYTE: 1, SHORT: 2, LONG: 4, RATIONAL: 8, SIGNED_RATIONAL: 8}

Tag = tuple[int, int, bytes]  # number, type, values


def exif(orientation: int = 1, taken: str = "2024:01:31 12:34:56") -> Image.Exif:
    """EXIF of a phone, with a date to the millisecond, a camera and a position."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0112] = "Apple", "iPhone 15 Pro", orientation
    tags.get_ifd(0x8769).update({0x9003: taken, 0x9011: "+02:00", 0x9291: "250"})
    tags.get_ifd(0x8825).update(
        {1: "N", 2: (48.0, 8.0, 30.0), 3: "W", 4: (11.0, 34.0, 30.0)},
    )
    return tags


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Give the bytes of an image in one of Pillow's formats, or in HEIF or JXL."""
    if form == "HEIF":
        from pillow_heif import from_pillow

        file = io.BytesIO()
        from_pillow(image).save(file, **options)
        return file.getvalue()
    if form == "JXL":
        import pillow_jxl  # noqa: F401 - which tells Pillow how to write it
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def dng(
    image: Image.Image, *, orientation: int = 1, preview: bytes | None = None, sensor: int = 2
) -> bytes:
    """Make a DNG: a Bayer sensor's values of an image, and a camera's JPEG of it.

    Args:
        image: as the sensor is held, RGB.
        orientation: how it is to be turned.
        preview: bytes of a JPEG; none is kept where None.
        sensor: the sensor's values are those of the image enlarged so often.
    """
    large = image.resize((image.width * sensor // 2 * 2, image.height * sensor // 2 * 2))
    linear = (np.asarray(large, np.float64) / 255.0) ** 2.2
    bayer = np.empty(linear.shape[:2], np.uint16)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        bayer[row::2, column::2] = linear[row::2, column::2, channel] * 60_000
    file = io.BytesIO(b"II*\0" + bytes(4))
    file.seek(8)
    raw_at = file.tell()
    file.write(bayer.tobytes())
    preview_at = file.tell()
    file.write(preview or b"")
    subs = [
        _directory(
            file,
            _numbers(254, LONG, 0),
            _numbers(256, LONG, bayer.shape[1]),
            _numbers(257, LONG, bayer.shape[0]),
            _numbers(258, SHORT, 16),
            _numbers(259, SHORT, 1),
            _numbers(262, SHORT, 32803),
            _numbers(273, LONG, raw_at),
            _numbers(277, SHORT, 1),
            _numbers(278, LONG, bayer.shape[0]),
            _numbers(279, LONG, bayer.nbytes),
            _numbers(33421, SHORT, 2, 2),
            _numbers(33422, BYTE, 0, 1, 1, 2),
            _numbers(50714, LONG, 0),
            _numbers(50717, LONG, 60_000),
        )
    ]
    if preview:
        with Image.open(io.BytesIO(preview)) as small:
            size = small.size
        subs.append(
            _directory(
                file,
                _numbers(254, LONG, 1),
                _numbers(256, LONG, size[0]),
                _numbers(257, LONG, size[1]),
                _numbers(258, SHORT, 8, 8, 8),
                _numbers(259, SHORT, 7),
                _numbers(262, SHORT, 6),
                _numbers(273, LONG, preview_at),
                _numbers(277, SHORT, 3),
                _numbers(278, LONG, size[1]),
                _numbers(279, LONG, len(preview)),
            )
        )
    taken = _directory(file, _text(0x9003, "2023:07:14 08:09:10"))
    # From XYZ to a sensor whose colours are those of sRGB (IEC 61966-2-1).
    to_camera = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
    thumbnail_at = file.tell()
    file.write(image.resize((16, 12)).tobytes())
    first = _directory(
        file,
        _numbers(254, LONG, 1),
        _numbers(256, LONG, 16),
        _numbers(257, LONG, 12),
        _numbers(258, SHORT, 8, 8, 8),
        _numbers(259, SHORT, 1),
        _numbers(262, SHORT, 2),
        _text(271, "NIKON CORPORATION"),
        _text(272, "NIKON Z 6"),
        _numbers(273, LONG, thumbnail_at),
        _numbers(274, SHORT, orientation),
        _numbers(277, SHORT, 3),
        _numbers(278, LONG, 12),
        _numbers(279, LONG, 16 * 12 * 3),
        _numbers(330, LONG, *subs),
        _numbers(0x8769, LONG, taken),
        _numbers(50706, BYTE, 1, 4, 0, 0),
        _text(50708, "NIKON Z 6"),
        (50721, SIGNED_RATIONAL, _rationals(np.array(to_camera))),
        (50728, RATIONAL, _rationals(np.ones(3))),
        _numbers(50778, SHORT, 21),
    )
    file.seek(4)
    file.write(struct.pack("<I", first))
    return file.getvalue()


def _numbers(tag: int, kind: int, *values: int) -> Tag:
    letter = {BYTE: "B", SHORT: "H", LONG: "I"}[kind]
    return tag, kind, struct.pack(f"<{len(values)}{letter}", *values)


def _text(tag: int, text: str) -> Tag:
    return tag, ASCII, text.encode() + b"\0"


def _rationals(values: np.ndarray) -> bytes:
    return b"".join(struct.pack("<ii", round(v * 10_000), 10_000) for v in values.ravel().tolist())


def _directory(file: io.BytesIO, *tags: Tag) -> int:
    """Write a directory and what its entries point to; give its place."""
    file.seek(0, io.SEEK_END)
    file.write(bytes(file.tell() % 2))
    entries = b""
    for tag, kind, values in tags:
        place = values.ljust(4, b"\0")
        if len(values) > 4:
            place = struct.pack("<I", file.tell())
            file.write(values + bytes(len(values) % 2))
        entries += struct.pack("<HHI", tag, kind, len(values) // _SIZES[kind]) + place
    start = file.tell()
    file.write(struct.pack("<H", len(tags)) + entries + bytes(4))
    return start
