"""RAW files: the camera's own JPEG of the picture, or the sensor's values at half size.

A camera keeps a finished JPEG inside a RAW file, mostly as large as the picture. It shows what the
photographer saw, and reading it takes a tenth of the time that developing the sensor's values does.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .metadata import Tags, tags_of

if TYPE_CHECKING:
    import rawpy

DEVELOPING_BYTES = 10  # for each pixel of the sensor, while it is developed at half size
_ORIENTATION_BY_FLIP = {0: 1, 3: 3, 5: 8, 6: 6}  # LibRaw's number of a turn, as EXIF numbers it
_TIFF_HEADERS = (b"II*\0", b"MM\0*")
_NEARLY_TIFF = (b"IIRO", b"IIRS", b"IIU\0", b"MMOR")  # Olympus and Panasonic; the rest is TIFF
_CANON_BLOCKS = (b"CMT1", b"CMT2", b"CMT4")  # a TIFF each: of the image, of EXIF and of GPS
_CR3_METADATA = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")  # the box that Canon's are in


@dataclass(frozen=True)
class RawPhoto:
    """What a RAW file holds.

    Attributes:
        width: of the picture as it is stored, in pixels.
        height: likewise.
        preview: the camera's picture, open and not decoded; None where it has none of use.
        orientation: how to turn the preview upright, as EXIF numbers it.
        tags: what the file says about the picture.
    """

    width: int
    height: int
    preview: Image.Image | None
    orientation: int
    tags: Tags


def open_raw(content: bytes, smallest: int) -> RawPhoto:
    """Look into a RAW file without developing it.

    Args:
        content: of the file.
        smallest: pixels that the shorter side of a preview must have to be of use.

    Raises:
        LibRawError: LibRaw does not read the file.
    """
    import rawpy

    with rawpy.imread(io.BytesIO(content)) as raw:
        sizes = raw.sizes
        preview = _preview(raw)
    if preview is not None and min(preview.size) < min(smallest, sizes.width, sizes.height):
        preview = None
    tags = _tags(content) or tags_of(preview.getexif() if preview else Image.Exif())
    turned = _ORIENTATION_BY_FLIP.get(sizes.flip, 1)
    if preview is not None:
        own = preview.getexif().get(0x0112)
        already = turned > 4 and (preview.width > preview.height) != (sizes.width > sizes.height)
        # LibRaw gives a preview without EXIF one of its own, which repeats what the file says.
        turned = 1 if already else own if isinstance(own, int) else turned
    return RawPhoto(sizes.width, sizes.height, preview, turned, tags)


def develop(content: bytes) -> Image.Image:
    """Make an upright sRGB picture of half the size from the sensor's values.

    Raises:
        LibRawError: the values are damaged, or packed in a way that LibRaw does not know.
    """
    import rawpy

    with rawpy.imread(io.BytesIO(content)) as raw:
        return Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))


def _preview(raw: rawpy.RawPy) -> Image.Image | None:
    import rawpy

    try:
        thumbnail = raw.extract_thumb()
        if thumbnail.format == rawpy.ThumbFormat.JPEG:
            return Image.open(io.BytesIO(bytes(thumbnail.data)), formats=("JPEG",))
        return Image.fromarray(np.asarray(thumbnail.data))
    except (rawpy.LibRawError, OSError, ValueError, TypeError):
        return None  # none, or none that can be read: the sensor's values are there still


def _tags(content: bytes) -> Tags | None:
    """Read the EXIF of a file that is a TIFF, nearly one, or one of Canon's CR3."""
    if content[4:8] == b"ftyp":
        blocks = dict(_canon_blocks(content))
        image, exif, gps = (_directory(blocks.get(name)) for name in _CANON_BLOCKS)
        return Tags(image, exif, gps)
    if content[:4] in _NEARLY_TIFF:
        content = (b"II*\0" if content[:2] == b"II" else b"MM\0*") + content[4:]
    if content[:4] not in _TIFF_HEADERS:
        return None
    found = Image.Exif()
    found.load(content)
    return tags_of(found)


def _directory(block: bytes | None) -> dict[int, Any]:
    found = Image.Exif()
    if block and block[:4] in _TIFF_HEADERS:
        found.load(block)
    return dict(found)


def _canon_blocks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Go through Canon's metadata boxes, which lie in one of their own in ``moov``."""
    for kind, start, end in boxes(content, 0, len(content)):
        if kind != b"moov":
            continue
        for inner, first, last in boxes(content, start, end):
            if inner == b"uuid" and content[first : first + 16] == _CR3_METADATA:
                for name, a, b in boxes(content, first + 16, last):
                    yield name, content[a:b]


def boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Go through the boxes of an ISO media file: kind, and where what is in it starts and ends."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", content, start)
        head = 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", content, start + 8)
            head = 16
        size = size or end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size
