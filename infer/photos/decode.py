"""Stage 2: a file becomes the pixels that the encoder sees.

Training, calibration, indexing and querying all come through this module, so that a photo gives the
same bytes everywhere.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Pixels
from ..errors import PhotoError
from .metadata import PhotoMetadata
from .opening import OpenPhoto, opened

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

IMAGE_SIZE = 224  # pixels, both sides of what the encoder sees
DRAFT_FACTOR = 2  # a JPEG is decoded at the smallest eighth that is still this often IMAGE_SIZE
RESIZE_RULE = "squash to a square, Lanczos"  # as an encoder's metadata state it
BACKGROUND = (255, 255, 255)  # what shows through transparent pixels

_UPRIGHT_BY = {  # EXIF 2.32, tag 0x0112: how to turn each stored orientation upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_THAT_SWAPS_SIDES = 5

Hold = Callable[[int], AbstractContextManager[None]]


@dataclass(frozen=True)
class Photo:
    """A decoded photo, ready for an encoder.

    Attributes:
        pixels: uint8, shape = (size, size, 3), upright sRGB in RGB order.
        width: of the upright photo in the file, in pixels, before resizing.
        height: likewise.
        metadata: when, with what and where it was taken, as far as the file says.
    """

    pixels: Pixels
    width: int
    height: int
    metadata: PhotoMetadata = field(default_factory=PhotoMetadata)


def load_photo(
    source: Path | str | bytes | BinaryIO,
    size: int = IMAGE_SIZE,
    hold: Hold | None = None,
    name: str = "",
) -> Photo:
    """Decode an image file as its owner sees it, at ``size`` × ``size`` pixels.

    The first frame counts; of a HEIC file, the one that it calls primary; of a RAW file, the
    picture that the camera made, or the sensor's values where there is none. The orientation is
    applied once, wherever the file has it, an embedded colour profile is converted
    to sRGB, transparency is laid on white, and 16-bit channels are scaled to 8. Both sides are
    resized independently (the photo is squashed, never cropped) with Pillow's Lanczos filter; a
    JPEG is decoded at a reduced scale first (``Image.draft``), never below twice ``size``.

    Args:
        source: a path, the bytes of a file, or a binary file object that can seek.
        size: side of the result in pixels.
        hold: gives a context manager for a number of bytes, which is held while the photo takes up
            about that much memory; a MemoryError of it becomes a PhotoError.
        name: of the file, where the source does not tell: a RAW file is told by it, and it may hold
            the date.

    Raises:
        PhotoError: the file is missing, empty, damaged, truncated, no image, of another format or
            one whose library is not installed, or larger than twice Pillow's
            ``Image.MAX_IMAGE_PIXELS`` (a decompression bomb).

    Safe to call from several threads; most of the time is spent outside the interpreter lock.
    """
    name = name or (Path(source).name if isinstance(source, (Path, str)) else "")
    with opened(source, size * DRAFT_FACTOR, name) as photo:
        return _photo(photo, size, hold, name)


def load_thumbnail(source: Path | str | bytes | BinaryIO, side: int, name: str = "") -> Image.Image:
    """Decode an image file as its owner sees it, for people to look at.

    Like :func:`load_photo`, but the proportions stay: no side is longer than ``side`` pixels, and
    nothing is enlarged. The result is RGB, in sRGB. ``name`` is as for :func:`load_photo`.

    Raises:
        PhotoError: as for :func:`load_photo`.

    Safe to call from several threads.
    """
    with opened(source, side, name) as photo:
        return _thumbnail(photo, side)


def photo_from_image(image: Image.Image, size: int = IMAGE_SIZE) -> Photo:
    """Do what :func:`load_photo` does, for a Pillow image that is already open.

    The image keeps its pixels and mode. Raises PhotoError where it cannot be decoded.
    """
    try:
        copy = image.copy()  # since TIFF and draft() change an image in place
        return _photo(OpenPhoto(copy), size)
    except Exception as error:
        raise PhotoError("image", f"damaged image ({type(error).__name__}: {error})") from error


def photo_from_array(array: NDArray[Any], size: int = IMAGE_SIZE) -> Photo:
    """Do what :func:`load_photo` does, for pixels in memory.

    Args:
        array: uint8, shape = (height, width, 3) in RGB order or (height, width) in grey.
        size: side of the result in pixels.

    Raises:
        PhotoError: another type or shape, or no pixels.
    """
    of_pixels = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not of_pixels or array.size == 0:
        raise PhotoError(
            "array",
            "pixels must be uint8 of shape (height, width, 3), "
            f"got {array.dtype} of shape {array.shape}",
        )
    return _photo(OpenPhoto(Image.fromarray(np.ascontiguousarray(array))), size)


def read_metadata(
    source: Path | str | bytes | BinaryIO, name: str = "", hold: Hold | None = None
) -> PhotoMetadata:
    """Read when, with what and where a photo was taken, without decoding it.

    Args:
        source: as for :func:`load_photo`.
        name: likewise.
        hold: likewise, for the few formats that tell only with their pixels.

    Raises:
        PhotoError: as for :func:`load_photo`.
    """
    name = name or (Path(source).name if isinstance(source, (Path, str)) else "")
    with (
        opened(source, IMAGE_SIZE * DRAFT_FACTOR, name) as photo,
        hold(photo.bytes_needed()) if hold else nullcontext(),
    ):
        return photo.describe().named(name)


def _photo(photo: OpenPhoto, size: int, hold: Hold | None = None, name: str = "") -> Photo:
    photo.draft(size * DRAFT_FACTOR)
    with hold(photo.bytes_needed()) if hold else nullcontext():
        image, orientation = photo.load()
        small = _shrunk(image, (size, size), orientation)
    width, height = photo.size
    if orientation >= _FIRST_THAT_SWAPS_SIDES:
        width, height = height, width
    return Photo(np.asarray(small), width, height, photo.metadata.named(name))


def _thumbnail(photo: OpenPhoto, side: int) -> Image.Image:
    photo.draft(side)
    image, orientation = photo.load()
    scale = min(1.0, side / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    return _shrunk(image, (width, height), orientation)


def _shrunk(image: Image.Image, size: tuple[int, int], orientation: int) -> Image.Image:
    """Resize a loaded image, as it is stored, to ``size``; the result is upright and in sRGB."""
    profile = image.info.get("icc_profile")
    small = _resizable(image).resize(size, Image.Resampling.LANCZOS)
    # From here on the image is small, so that colours and turning cost next to nothing.
    small = _opaque_srgb(small, profile)
    return small.transpose(_UPRIGHT_BY[orientation]) if orientation in _UPRIGHT_BY else small


def _resizable(image: Image.Image) -> Image.Image:
    """Bring an image to a mode of 8-bit channels that interpolation makes sense in."""
    mode = image.mode
    if mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
        grey = np.asarray(image).astype(np.int32)
        return Image.fromarray((grey.clip(0, 0xFFFF) >> 8).astype(np.uint8))
    if mode == "F":  # no agreed range: 0 to 1, else 0 to 255, else as far as the values go
        values = np.nan_to_num(np.asarray(image))
        low, high = min(0.0, float(values.min())), float(values.max())
        full = 1.0 if high <= 1.0 else 255.0 if high <= 255.0 else high
        return Image.fromarray(((values - low) * (255.0 / (full - low))).astype(np.uint8))
    if "transparency" in image.info:
        return image.convert("RGBA")
    if mode in ("L", "RGB", "CMYK", "LA", "RGBA"):
        return image
    return image.convert("RGBA" if mode in ("PA", "La", "RGBa") else "RGB")


def _opaque_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(white, image).convert("RGB")
    if profile and (transform := _to_srgb(profile, image.mode)) is not None:
        image = transform.apply(image)
    return image.convert("RGB")


@lru_cache(maxsize=32)
def _to_srgb(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """Build the transform from an ICC profile to sRGB; None where none is needed or possible."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in (source.profile.profile_description or ""):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # damaged, or of another colour space than the pixels: they stay as they are
