"""What a file says about its picture: when, with what and where it was taken."""

from __future__ import annotations

from dataclasses import dataclass


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
