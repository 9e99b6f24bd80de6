"""What a file says about its picture: when, with what and where it was taken.

The time is that of the picture and never that of the file: what EXIF says, else what XMP says, else
what the name says in one of the ways in which phones and programs name photos, else nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

_EPOCH = datetime(1970, 1, 1)
_MAKE, _MODEL = 0x010F, 0x0110  # EXIF 2.32, tags of the image
_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825
_TAKEN, _OFFSET, _SUBSECONDS = 0x9003, 0x9011, 0x9291  # of DateTimeOriginal
_LATITUDE_SIDE, _LATITUDE, _LONGITUDE_SIDE, _LONGITUDE = 1, 2, 3, 4

_DATE = r"(?P<y>(?:19|20)\d\d){0}(?P<m>[01]\d){0}(?P<d>[0-3]\d)"
_TIME = r"(?P<H>[0-2]\d){0}(?P<M>[0-5]\d){0}(?P<S>[0-5]\d)"
_NAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # IMG_20240131_123456.jpg, PXL_20240131_123456789.jpg, 20240131-123456.png
        rf"(?<!\d){_DATE.format('')}[-_ T]{_TIME.format('')}(?P<ms>\d{{3}})?(?!\d)",
        # Screenshot 2024-01-31 at 12.34.56.png, signal-2024-01-31-12-34-56-123.jpg
        rf"(?<!\d){_DATE.format('[-_.]')}(?:[-_ T.]| at ){_TIME.format('[-_.:]?')}(?!\d)",
        rf"^(?:IMG|VID)-{_DATE.format('')}-WA\d+",  # of WhatsApp: the day alone
        rf"(?<!\d){_DATE.format('-')}(?![\d])",
    )
)
_XMP_DATE = re.compile(
    rb"(?:exif:DateTimeOriginal|photoshop:DateCreated)\s*(?:=\s*[\"']|>)\s*([^\"'<]{4,40})"
)


@dataclass(frozen=True, slots=True)
class PhotoMetadata:
    """When, with what and where a photo was taken, as far as its file says.

    Attributes:
        taken_ms: local wall-clock time in milliseconds since 1970, as if it were UTC.
        taken_offset: of that clock, in minutes east of UTC.
        taken_source: where the time comes from: ``"exif"``, ``"xmp"`` or ``"name"``.
        camera: maker and model.
        latitude: in microdegrees, north positive.
        longitude: in microdegrees, east positive.
    """

    taken_ms: int | None = None
    taken_offset: int | None = None
    taken_source: str | None = None
    camera: str | None = None
    latitude: int | None = None
    longitude: int | None = None

    def named(self, name: str) -> PhotoMetadata:
        """Let the file's name tell the time where the file itself does not.

        A copy of a photo under another name has that name's time, and not the first one's.
        """
        if self.taken_source in ("exif", "xmp"):
            return self
        taken, offset = _from_name(name)
        source = None if taken is None else "name"
        return replace(self, taken_ms=taken, taken_offset=offset, taken_source=source)


@dataclass(frozen=True)
class Tags:
    """EXIF tags of a picture, by their numbers.

    Attributes:
        image: of the first directory, such as camera and orientation.
        exif: of the directory for how the picture was taken.
        gps: of the directory for where.
    """

    image: Mapping[int, Any] = field(default_factory=dict)
    exif: Mapping[int, Any] = field(default_factory=dict)
    gps: Mapping[int, Any] = field(default_factory=dict)


def tags_of(exif: Image.Exif) -> Tags:
    """Take the tags that count from what Pillow has read; a damaged directory is empty."""
    return Tags(exif, _directory(exif, _EXIF_DIRECTORY), _directory(exif, _GPS_DIRECTORY))


def _directory(exif: Image.Exif, number: int) -> Mapping[int, Any]:
    try:
        return exif.get_ifd(number)
    except Exception:  # noqa: BLE001 - Pillow lets through whatever damaged bytes lead to
        return {}


def metadata_of(tags: Tags, xmp: bytes | str = b"") -> PhotoMetadata:
    """Read what counts from EXIF tags and XMP. What is damaged counts as missing."""
    source = "exif"
    taken, offset = _from_exif(tags.exif)
    if taken is None:
        source = "xmp"
        taken, offset = _from_xmp(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp)
    return PhotoMetadata(
        taken,
        offset,
        None if taken is None else source,
        _camera(tags.image),
        _degrees(tags.gps.get(_LATITUDE), tags.gps.get(_LATITUDE_SIDE), 90),
        _degrees(tags.gps.get(_LONGITUDE), tags.gps.get(_LONGITUDE_SIDE), 180),
    )


def _from_exif(tags: Mapping[int, Any]) -> tuple[int | None, int | None]:
    taken = _parsed(_text(tags.get(_TAKEN)).replace(":", "-", 2))
    if taken is None:
        return None, None
    subseconds = _text(tags.get(_SUBSECONDS))
    if subseconds.isdecimal():
        taken += timedelta(seconds=float(f"0.{subseconds[:6]}"))
    return _milliseconds(taken), _minutes(_text(tags.get(_OFFSET)))


def _from_xmp(xmp: bytes) -> tuple[int | None, int | None]:
    # A pattern rather than a parser: XMP comes from strangers, and two values are wanted.
    for found in _XMP_DATE.findall(xmp):
        text = found.decode("ascii", "replace").strip()
        clock = re.sub(r"(?:Z|[+-]\d\d:?\d\d)$", "", text) if "T" in text else text
        taken = _parsed(clock)
        if taken is not None:
            return _milliseconds(taken), _minutes(text[len(clock) :])
    return None, None


def _from_name(name: str) -> tuple[int | None, int | None]:
    for pattern in _NAMES:
        if (found := pattern.search(name)) is None:
            continue
        part = {key: int(value) for key, value in found.groupdict().items() if value}
        hour, minute, second = (part.get(key, 0) for key in ("H", "M", "S"))
        try:
            taken = datetime(part["y"], part["m"], part["d"], hour, minute, second)
        except ValueError:
            continue
        # A Pixel phone names its photos in UTC, whatever its clock shows.
        offset = 0 if name[:4].upper() == "PXL_" else None
        return _milliseconds(taken) + part.get("ms", 0), offset
    return None, None


def _parsed(text: str) -> datetime | None:
    """Read a date with or without a time, as ISO 8601 writes them; blanks and zeros are none."""
    found = re.match(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?", text)
    if found is None:
        return None
    *numbers, fraction = found.groups()
    try:
        clock = datetime(*(int(number or 0) for number in numbers))  # type: ignore[arg-type]
    except ValueError:
        return None
    return clock + timedelta(seconds=float(fraction or 0))


def _milliseconds(clock: datetime) -> int:
    return (clock - _EPOCH) // timedelta(milliseconds=1)


def _minutes(offset: str) -> int | None:
    """Read an offset such as ``+02:00`` or ``Z``."""
    if offset == "Z":
        return 0
    found = re.fullmatch(r"([+-])(\d\d):?(\d\d)", offset)
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return (minutes if found[1] == "+" else -minutes) if minutes <= 14 * 60 else None


def _camera(tags: Mapping[int, Any]) -> str | None:
    make, model = _text(tags.get(_MAKE)), _text(tags.get(_MODEL))
    if model.lower().startswith(make.lower().split(" ")[0]):  # "NIKON CORPORATION", "NIKON Z 6"
        make = ""
    return f"{make} {model}".strip() or None


def _degrees(value: Any, side: Any, most: int) -> int | None:
    """Read degrees, minutes and seconds as microdegrees, south and west negative."""
    try:
        degrees, minutes, seconds = (float(part) for part in value)
        total = degrees + minutes / 60 + seconds / 3600
        if not 0 <= total <= most:  # neither is "not a number"
            return None
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    micro = round(total * 1_000_000)
    return -micro if _text(side).upper() in ("S", "W") else micro


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    # A surrogate or a control character would not pass through the catalogue or a terminal.
    shown = "".join(c for c in value.split("\0")[0] if c.isprintable())
    return " ".join(shown.split())[:100]
