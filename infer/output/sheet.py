"""A contact sheet: photos and captions in one picture."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..errors import PhotoError, UsageError
from ..files import whole_file
from ..machine import available_cores
from ..photos.decode import load_thumbnail
from .sections import Section, Shown

PHOTO_SIDE = 200  # pixels of the longer side of a photo
COLUMNS = 6
MOST_PHOTOS = 3000  # some 110 megapixels
_GAP = 12  # pixels between photos
_LINE = 16  # pixels of a line of text
_TEXT = 13  # pixels, the height of letters
# Pillow looks for them where the system keeps its fonts; its own has Latin letters alone.
_FONTS = (
    *("NotoSans-Regular.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf"),  # Linux
    *("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "NotoSansArabic-Regular.ttf"),
    *("segoeui.ttf", "msgothic.ttc", "msyh.ttc", "malgun.ttf"),  # Windows
    *("Helvetica.ttc", "Arial Unicode.ttf", "Hiragino Sans GB.ttc"),  # macOS
)
_NO_LETTER = "\U0010fffd"  # for private use: a font draws it as what it lacks
_PAPER, _INK, _QUIET, _MARK = (255, 255, 255), (30, 30, 30), (110, 110, 110), (47, 133, 90)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_sheet(sections: Sequence[Section], path: Path) -> None:
    """Write a contact sheet, in the format that the file's suffix names (``.png``, ``.jpg``, …).

    Raises:
        UsageError: the file cannot be written, its suffix is unknown, or there are more photos than
            ``MOST_PHOTOS``.
    """
    check_picture(path)
    count = sum(len(section.shown) for section in sections)
    if count > MOST_PHOTOS:
        raise UsageError(
            f"{count:,} photos are too many for one sheet (at most {MOST_PHOTOS:,}): make a page"
        )
    save_picture(draw_sheet(sections), path)


def check_picture(path: Path) -> None:
    """Make sure that pictures can be written in the format that a file's suffix names.

    Raises:
        UsageError: they cannot.
    """
    try:
        kind = Image.registered_extensions()[path.suffix.lower()]
        Image.new("RGB", (1, 1)).save(io.BytesIO(), kind)  # some formats can only be read
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(
            f"cannot write {path}: name a picture, such as {path.stem or 'out'}.png"
        ) from error


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture whole, in the format that the file's suffix names.

    Raises:
        UsageError: it cannot be written.
    """
    with whole_file(path) as part:
        try:
            picture.save(part)
        except (KeyError, ValueError) as error:
            raise UsageError(f"cannot write {path}: {error}") from error


def draw_sheet(sections: Sequence[Section]) -> Image.Image:
    """Draw photos row by row, each section below its title."""
    cell_width, cell_height = PHOTO_SIDE + _GAP, PHOTO_SIDE + 4 * _LINE + _GAP
    widest = max((len(section.shown) for section in sections), default=1)
    columns = max(1, min(COLUMNS, widest))
    rows = [-(-len(section.shown) // columns) for section in sections]
    height = sum(2 * _LINE + count * cell_height for count in rows) + _GAP
    sheet = Image.new("RGB", (columns * cell_width + _GAP, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decode") as pool:
        top = _GAP
        for section, count in zip(sections, rows, strict=True):
            _write(pen, (_GAP, top), section.title, _INK, sheet.width - 2 * _GAP)
            top += 2 * _LINE
            for place, (shown, photo) in enumerate(
                zip(section.shown, pool.map(_thumbnail, section.shown), strict=True)
            ):
                row, column = divmod(place, columns)
                corner = (_GAP + column * cell_width, top + row * cell_height)
                _draw(sheet, pen, corner, shown, photo)
            top += count * cell_height
    return sheet


def _draw(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    shown: Shown,
    photo: Image.Image | None,
) -> None:
    left, top = corner
    box = (left, top, left + PHOTO_SIDE, top + PHOTO_SIDE)
    if photo is None:
        pen.rectangle(box, outline=_QUIET)
        pen.text((left + 8, top + 8), "cannot be read", font=_fonts()[0], fill=_QUIET)
    else:
        x = left + (PHOTO_SIDE - photo.width) // 2
        y = top + PHOTO_SIDE - photo.height
        sheet.paste(photo, (x, y))
        if shown.is_reference:
            frame = (x - 3, y - 3, x + photo.width + 2, y + photo.height + 2)
            pen.rectangle(frame, outline=_MARK, width=3)
    lines = (
        (shown.caption, _INK),
        (shown.path.name, _INK),
        (str(shown.path.parent), _QUIET),
        (shown.details, _QUIET),
    )
    for number, (text, colour) in enumerate(lines):
        _write(pen, (left, top + PHOTO_SIDE + 4 + number * _LINE), text, colour, PHOTO_SIDE)


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    colour: tuple[int, int, int],
    width: int,
) -> None:
    """Write a line; where it is too long, its middle is left out."""
    text = text.encode("utf-8", "replace").decode()  # names of files need not be valid UTF-8
    font, whole, keep = _font_for(text), text, len(text)
    while keep > 1 and pen.textlength(text, font=font) > width:
        keep -= 1
        half = keep // 2
        text = f"{whole[:half]}...{whole[len(whole) - half :]}"
    pen.text(place, text, font=font, fill=colour)


def _font_for(text: str) -> _Font:
    """Choose the first font that has all letters of a text; or the one that has most of them."""
    return max(_fonts(), key=lambda font: sum(_has(font, letter) for letter in set(text)))


@cache
def _has(font: _Font, letter: str) -> bool:
    return letter.isspace() or _drawn(font, letter) != _drawn(font, _NO_LETTER)


def _drawn(font: _Font, letter: str) -> bytes:
    return bytes(font.getmask(letter))


@cache
def _fonts() -> tuple[_Font, ...]:
    """Find the fonts of this system that have the most letters; at the end, that of Pillow."""
    found: list[_Font] = []
    for name in _FONTS:
        with contextlib.suppress(OSError):
            found.append(ImageFont.truetype(name, _TEXT))
    return (*found, ImageFont.load_default(size=_TEXT))


def _thumbnail(shown: Shown) -> Image.Image | None:
    try:
        return load_thumbnail(shown.path, PHOTO_SIDE)
    except PhotoError:
        return None
