"""Photos of every format, read as `index` reads them and as the page shows them."""

from __future__ import annotations

import io
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from camera_files import dng, encoded, exif
from imgsim_edge.infer.photos.decode import load_photo, load_thumbnail, read_metadata
from PIL import Image, ImageCms
from target import Target

SIDE = 32  # of what the encoder would see


def _picture(width: int = 48, height: int = 36) -> Image.Image:
    down, across = np.mgrid[:height, :width]
    ramps = [down * 5, across * 4, (down * across) // 4]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    return Image.fromarray(((np.stack(ramps, axis=-1) + noise) % 256).astype(np.uint8))


class Photos(Target):
    """Photos of one format."""

    def __init__(self, name: str, suffix: str, contents: list[bytes]) -> None:
        # LibRaw's own JPEG reader writes to stderr, which the program keeps for itself.
        self.may_print = suffix == ".dng"
        self.name, self.suffix, self.originals = f"photos: {name}", suffix, contents

    def judge(self, content: bytes, folder: Path) -> None:
        name = f"2024-01-31 photo{self.suffix}"
        for read in (self._pixels, self._thumbnail, self._metadata):
            self.answers(partial(read, content, name))

    @staticmethod
    def _pixels(content: bytes, name: str) -> None:
        photo = load_photo(content, SIDE, name=name)
        assert photo.pixels.shape == (SIDE, SIDE, 3)
        assert photo.width > 0 < photo.height

    @staticmethod
    def _thumbnail(content: bytes, name: str) -> None:
        image = load_thumbnail(content, SIDE, name)
        assert image.mode == "RGB"
        assert max(image.size) <= SIDE

    @staticmethod
    def _metadata(content: bytes, name: str) -> None:
        read_metadata(content, name)


def targets() -> list[Photos]:
    """Make the kinds of photos that can be read here, each with some good files of it."""
    image, tags = _picture(), exif(6)
    grey, palette = image.convert("L"), image.quantize(16)
    sheer = image.convert("RGBA")
    sheer.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 256)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    several = {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
    two = {"save_all": True, "append_images": [_picture(9, 9)]}
    found = [
        Photos("JPEG", ".jpg", [
            encoded(image, "JPEG", exif=tags), encoded(image, "JPEG", progressive=True),
            encoded(image.convert("CMYK"), "JPEG", icc_profile=profile), encoded(grey, "JPEG"),
            encoded(image, "MPO", **several),
        ]),
        Photos("PNG", ".png", [
            encoded(image, "PNG", exif=tags), encoded(palette, "PNG", transparency=3),
            encoded(sheer, "PNG", icc_profile=profile), encoded(deep, "PNG"),
            encoded(image, "PNG", **several),
        ]),
        Photos("WebP", ".webp", [
            encoded(image, "WEBP", exif=tags), encoded(sheer, "WEBP", lossless=True),
            encoded(image, "WEBP", **several),
        ]),
        Photos("GIF", ".gif", [encoded(palette, "GIF"), encoded(palette, "GIF", **several)]),
        Photos("BMP", ".bmp", [encoded(image, "BMP"), encoded(palette, "BMP"), _rle_bmp()]),
        Photos("TIFF", ".tif", [
            *(
                encoded(image, "TIFF", compression=packed, exif=tags)
                for packed in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg")
            ),
            *(
                encoded(image.convert("1"), "TIFF", compression=packed)
                for packed in ("group3", "group4", "tiff_ccitt")
            ),
            encoded(deep, "TIFF"), encoded(_picture(), "TIFF", **two),
        ]),
        Photos("AVIF", ".avif", [encoded(image, "AVIF", exif=tags), encoded(sheer, "AVIF")]),
    ]  # fmt: skip
    if find_spec("pi_heif") and find_spec("pillow_heif"):
        found.append(
            Photos("HEIC", ".heic", [encoded(image, "HEIF", exif=tags), encoded(sheer, "HEIF")])
        )
    if find_spec("rawpy"):
        preview = encoded(image, "JPEG")
        contents = [dng(image, orientation=6, preview=preview), dng(image)]
        found.append(Photos("RAW", ".dng", contents))
    if find_spec("pillow_jxl"):
        contents = [encoded(image, "JXL"), encoded(sheer, "JXL", lossless=True)]
        found.append(Photos("JPEG XL", ".jxl", contents))
    return found


def _rle_bmp() -> bytes:
    """Make a BMP of run-length encoded palette pixels, which Pillow reads and does not write."""
    file = io.BytesIO()
    _picture(16, 4).quantize(4).save(file, "BMP")
    content = bytearray(file.getvalue())
    start = int.from_bytes(content[10:14], "little")
    content[30] = 1  # BI_RLE8
    return bytes(content[:start]) + b"\x10\x01\0\0" * 4 + b"\0\1"
