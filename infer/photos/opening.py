"""Files → photos that are open and not decoded yet, whichever library reads them.

Size, memory and orientation are known before any pixel is: so every format is held to the same
limits as JPEG is. The libraries beside Pillow are imported when the first file of theirs is met.
"""

from __future__ import annotations

import ctypes
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from ..errors import PhotoError, one_line
from .formats import BY_SUFFIX, PILLOW_FORMATS, Format, format_of
from .metadata import PhotoMetadata, Tags, metadata_of, tags_of
from .raw import DEVELOPING_BYTES, boxes, develop, open_raw

Source = Path | str | bytes | BinaryIO

# What Pillow logs of damaged files would go to stderr where the program sets up no logging.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Memory for each pixel while a photo is decoded and resized, as measured with Pillow 13.
_PLAIN_BYTES = 5  # of 8-bit grey, colour and palettes; draft() leaves a JPEG few pixels
_COEFFICIENT_BYTES = 6  # of a progressive JPEG: three 16-bit coefficients (less with subsampling)
_OTHER_BYTES = 16  # of WebP, HEIC, JPEG XL; AVIF, transparency, 16-bit channels take 8 to 14

_MOST_RUN_LENGTH_PIXELS = 1 << 24  # of a BMP: seconds, where a larger one takes minutes
_EXIF_ORIENTATION = 0x0112
_ORIENTATIONS = range(1, 9)
_HEIC_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_JXL_CODESTREAM = b"\xff\x0a"
_JXL_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_JPEG = b"\xff\xd8\xff"
_RAW = BY_SUFFIX[".dng"]
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"IIU\0", b"MMOR", b"II*\0\x10\0\0\0CR")
_DNG_VERSION = 0xC612


class MissingLibraryError(Exception):
    """A format is known, and what reads it is not installed."""

    def __init__(self, kind: Format) -> None:
        super().__init__(f"{kind.name} needs {kind.reader}: pip install {kind.install}")


class OpenPhoto:
    """A photo whose size is known and whose pixels are not read yet.

    Args:
        image: open and not loaded; a function that gives it where a library decodes at once.
        size: of the photo as it is stored, where that is not the image's.
        orientation: how to turn it upright, as EXIF numbers it; None where its EXIF tells.
        tags: what its EXIF says, where that is not in the image.
        each: bytes for each pixel of ``size`` while it is decoded, where that is known.
    """

    def __init__(
        self,
        image: Image.Image | Callable[[], Image.Image],
        *,
        size: tuple[int, int] | None = None,
        orientation: int | None = None,
        tags: Tags | None = None,
        each: int | None = None,
    ) -> None:
        self._image = image
        self._orientation = orientation
        self._tags = tags
        self._each = each
        self._given = size
        self.size = size or (image.size if isinstance(image, Image.Image) else (0, 0))
        self.metadata = PhotoMetadata()
        if not isinstance(image, Image.Image) or image.format == "HEIF":
            _check_size(self.size)  # Pillow does so for what it opens itself

    def draft(self, side: int) -> None:
        """Be content with fewer pixels, at least ``side`` on both sides, where that is cheap."""
        if isinstance(self._image, Image.Image) and self._image.format in ("JPEG", "MPO"):
            self._image.draft(None, (side, side))

    def bytes_needed(self) -> int:
        """Estimate how much memory it takes to decode and resize it."""
        image = self._image
        if not isinstance(image, Image.Image):
            return self.size[0] * self.size[1] * (self._each or _OTHER_BYTES)
        if image.info.get("progressive"):  # a JPEG of which every coefficient is kept to the end
            return self.size[0] * self.size[1] * _COEFFICIENT_BYTES
        plain = image.format not in ("WEBP", "AVIF", "HEIF")
        plain = plain and image.mode in ("1", "L", "P", "RGB", "CMYK")
        each = _PLAIN_BYTES if plain and "transparency" not in image.info else _OTHER_BYTES
        return image.width * image.height * each

    def load(self) -> tuple[Image.Image, int]:
        """Decode it: the image as it is stored, and its orientation as EXIF numbers it."""
        if isinstance(self._image, Image.Image):
            image = self._image
        else:
            image = self._image()
            self.size = self._given or image.size
        early = image.format == "TIFF"  # its directories are in the file, which load() lets go of
        if early:
            self._describe(image)
        image.load()
        if not early:
            self._describe(image)
        if self._orientation is not None:
            return image, self._orientation
        return image, _orientation(image)  # only now: load() turns a TIFF and drops its flag

    def describe(self) -> PhotoMetadata:
        """Read what the file says about the picture, and no pixel where that can be had without."""
        image = self._image
        late = isinstance(image, Image.Image) and image.format == "PNG"
        if not isinstance(image, Image.Image) or (late and "exif" not in image.info):
            self.load()  # a PNG may tell after its pixels, and JPEG XL has no other way
        else:
            self._describe(image)
        return self.metadata

    def close(self) -> None:
        """Let go of the file, where it is open for this photo alone."""
        if isinstance(self._image, Image.Image):
            self._image.close()

    def _describe(self, image: Image.Image) -> None:
        tags = self._tags
        if tags is None:
            try:
                tags = tags_of(image.getexif())
            except Exception:  # noqa: BLE001 - damaged EXIF costs the date and not the photo
                tags = Tags()
        self.metadata = metadata_of(tags, image.info.get("xmp", b""))


@contextmanager
def opened(source: Source, smallest: int, known_as: str = "") -> Iterator[OpenPhoto]:
    """Open an image file; whatever is wrong with it, here or in the block, becomes a PhotoError.

    Args:
        source: a path, the bytes of a file, or a binary file object that can seek.
        smallest: pixels that the shorter side of a picture inside a RAW file must have to be of
            use.
        known_as: the file's name, where the source does not tell: a RAW file is told by it.
    """
    name: Path | str = source if isinstance(source, (Path, str)) else "image"
    try:
        with _file(source) as file:
            # Pillow loads one module for a path, and all for bytes: a second open is cheaper.
            again = source if isinstance(source, (Path, str)) else file
            photo = _open(file, again, format_of(known_as or Path(name).name), smallest)
            try:
                yield photo
            finally:
                photo.close()
    except MissingLibraryError as error:
        raise PhotoError(name, str(error)) from error
    except FileNotFoundError as error:
        raise PhotoError(name, "no such file") from error
    except UnidentifiedImageError as error:
        empty = source == b"" or (
            isinstance(source, (Path, str)) and not Path(source).stat().st_size
        )
        reason = "empty file" if empty else "not an image of a known format"
        raise PhotoError(name, reason) from error
    except Image.DecompressionBombError as error:
        raise PhotoError(name, "too many pixels (a decompression bomb?)") from error
    except MemoryError as error:
        raise PhotoError(name, "not enough memory to decode it") from error
    except OSError as error:
        reason = error.strerror or f"damaged image ({_one_line(error)})"
        raise PhotoError(name, reason[0].lower() + reason[1:]) from error
    except Exception as error:
        reason = f"damaged image ({type(error).__name__}: {_one_line(error)})"
        raise PhotoError(name, reason) from error


def _one_line(error: Exception) -> str:
    """Give an error's words; LibRaw's are bytes, and libheif's end with a line."""
    said = error.args[0] if error.args else ""
    return one_line(said.decode(errors="replace") if isinstance(said, bytes) else error)


@contextmanager
def _file(source: Source) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, (Path, str)):
        with Path(source).open("rb") as file:
            yield file
    else:
        yield source


def _open(
    file: BinaryIO, again: Path | str | BinaryIO, named: Format | None, smallest: int
) -> OpenPhoto:
    """Open a file with what its first bytes ask for, or its name where those do not tell."""
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if _is_heic(head):
        return _open_heic(file)
    if head.startswith((_JXL_CODESTREAM, _JXL_CONTAINER)):
        return _open_jpeg_xl(file)
    is_raw = named is _RAW and not head.startswith(_JPEG)
    if is_raw or head.startswith(_RAW_STARTS) or head[4:12] == b"ftypcrx ":
        return _open_raw(file, smallest)
    likely = (named.pillow if named else None) or "JPEG"
    # What the suffix says comes first: Pillow loads its modules as their formats are asked for.
    image = Image.open(again, formats=tuple(dict.fromkeys((likely, *PILLOW_FORMATS))))
    if image.format == "TIFF":
        if _DNG_VERSION in image.getexif():
            return _open_raw(file, smallest)
        _silence_libtiff()
    if any(tile[0] == "bmp_rle" for tile in getattr(image, "tile", ())):
        # Pillow decodes it pixel by pixel in Python, and a few bytes may stand for all of them.
        _check_size(image.size, _MOST_RUN_LENGTH_PIXELS)
    return OpenPhoto(image)


def _is_heic(head: bytes) -> bool:
    length = int.from_bytes(head[:4], "big")
    brands = {head[at : at + 4] for at in range(8, min(length, len(head)), 4)}
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS and b"avif" not in brands


def _open_heic(file: BinaryIO) -> OpenPhoto:
    pi_heif = _library(".heic")
    from pi_heif.as_plugin import HeifImageFile  # its class alone: Pillow's table is the caller's

    options = pi_heif.options
    options.DECODE_THREADS = 1  # every core has a photo of its own already
    # A phone's thumbnail has 320 × 240 pixels, fewer than a photo is decoded to.
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    content = file.read()
    _check_item_names(content)
    try:
        image = HeifImageFile(io.BytesIO(content))
    except SyntaxError as error:
        raise OSError(_one_line(error)) from error
    # libheif turns it as `irot` and `imir` say; ISO 23008-12 gives EXIF no say in it.
    return OpenPhoto(image, orientation=1)


def _check_item_names(content: bytes) -> None:
    """Make sure that the names of a HEIC file's items are text, or pi-heif 1.4 ends the process.

    Source: ISO/IEC 14496-12, ItemInfoBox and ItemInfoEntry.

    Raises:
        OSError: they are not.
    """
    for kind, start, end in boxes(content, 0, len(content)):
        if kind != b"meta":
            continue
        for inner, first, last in boxes(content, start + 4, end):
            if inner != b"iinf":
                continue
            entries = first + (6 if content[first] == 0 else 8)
            for _, at, after in boxes(content, entries, last):
                names = at + (10 if content[at] == 3 else 8)
                try:
                    content[names:after].decode()
                except UnicodeDecodeError as error:
                    raise OSError("the names of its items are no text") from error


def _open_raw(file: BinaryIO, smallest: int) -> OpenPhoto:
    _library(".dng")
    file.seek(0)
    content = file.read()
    raw = open_raw(content, smallest)
    if raw.preview is not None:
        size = (raw.width, raw.height)
        return OpenPhoto(raw.preview, size=size, orientation=raw.orientation, tags=raw.tags)
    size = (raw.width, raw.height) if raw.orientation < 5 else (raw.height, raw.width)
    return OpenPhoto(
        partial(develop, content), size=size, orientation=1, tags=raw.tags, each=DEVELOPING_BYTES
    )


def _open_jpeg_xl(file: BinaryIO) -> OpenPhoto:
    library = _library(".jxl")
    content = file.read()

    def decoded() -> Image.Image:
        library.JpegXLImagePlugin.DECODE_THREADS = 0  # every core has a photo of its own already
        image: Image.Image = library.JpegXLImagePlugin.JXLImageFile(io.BytesIO(content))
        if not image.jpeg:  # type: ignore[attr-defined]
            image.getexif()[_EXIF_ORIENTATION] = 1  # libjxl has turned it; a JPEG inside it has not
        return image

    photo = OpenPhoto(decoded)
    photo.size = jpeg_xl_size(content)
    _check_size(photo.size)
    return photo


def jpeg_xl_size(content: bytes) -> tuple[int, int]:
    """Read width and height of a JPEG XL file: the library tells them only with the pixels.

    Source: ISO/IEC 18181-1, SizeHeader; 18181-2, the boxes ``jxlc`` and ``jxlp``.

    Raises:
        OSError: they are not where they should be.
    """
    start = 0
    if not content.startswith(_JXL_CODESTREAM):
        start = -1
        for kind, first, _ in boxes(content, 0, len(content)):
            if kind in (b"jxlc", b"jxlp"):
                start = first + (4 if kind == b"jxlp" else 0)
                break
    if start < 0 or content[start : start + 2] != _JXL_CODESTREAM:
        raise OSError("no picture in it")
    bits = int.from_bytes(content[start + 2 : start + 2 + 16], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def side(small: bool) -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    small = bool(take(1))
    height = side(small)
    ratio = take(3)
    if not ratio:
        return side(small), height
    across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * across // down, height


def _library(suffix: str) -> Any:
    kind = BY_SUFFIX[suffix]
    try:
        return import_module(str(kind.module))
    except ImportError as error:
        raise MissingLibraryError(kind) from error


def _check_size(size: tuple[int, int], limit: int | None = None) -> None:
    """Hold to a limit, Pillow's own unless another is given, what Pillow does not hold to it.

    Raises:
        DecompressionBombError: more than ``limit`` pixels, or twice ``Image.MAX_IMAGE_PIXELS``.
    """
    if limit is None and Image.MAX_IMAGE_PIXELS is not None:
        limit = 2 * Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > limit:
        raise Image.DecompressionBombError


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF costs the flag and not the photo
        return 1
    return value if isinstance(value, int) and value in _ORIENTATIONS else 1


@cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing to stderr itself: what is wrong is said once, by a PhotoError."""
    try:
        from PIL import _imaging

        # Pillow has no switch for it. A symbol is looked up in what a library is linked to as well;
        # where it is linked in for good, as on Windows, there is nothing to find.
        library = ctypes.CDLL(str(_imaging.__file__))
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            handler = getattr(library, name)
            handler.restype, handler.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
            handler(None)
    except (ImportError, OSError, AttributeError):
        pass
