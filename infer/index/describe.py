"""Filling in what files say about their pictures, for photos that an older index took in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ..catalogue.rows import PhotoRow
from ..catalogue.writer import Batch, Writer
from ..encoder.embed import DecodingRoom
from ..errors import PhotoError
from ..machine import available_cores
from ..photos.decode import read_metadata
from ..photos.metadata import PhotoMetadata

_BATCH = 256  # photos committed together


def describe(
    writer: Writer, photos: Sequence[PhotoRow], threads: int | None = None
) -> Iterator[tuple[int, int]]:
    """Read date, camera and place of photos from their files, and embed nothing.

    A file that has changed, or cannot be opened now, is left for a later run.

    Args:
        writer: of the catalogue.
        photos: without metadata.
        threads: how many files are read at once; one for each core where None.

    Yields:
        batch after batch, how many photos were gone through and how many of them have metadata now.
    """
    room = DecodingRoom.of_this_machine()
    with ThreadPoolExecutor(threads or available_cores()) as pool:
        for first in range(0, len(photos), _BATCH):
            part = photos[first : first + _BATCH]
            paths = [writer.path(photo) for photo in part]
            read = pool.map(lambda path, photo: _metadata(path, photo, room), paths, part)
            rows = [
                replace(photo, metadata=metadata)
                for photo, metadata in zip(part, read, strict=True)
                if metadata is not None
            ]
            writer.commit(Batch(photos=rows))
            yield len(part), len(rows)


def _metadata(path: Path, photo: PhotoRow, room: DecodingRoom) -> PhotoMetadata | None:
    try:
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) != (photo.size, photo.mtime_ns):
            return None
        return read_metadata(path, hold=room.hold)
    except OSError:
        return None
    except PhotoError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno:
            return None  # the disk or a permission, not the photo
        return PhotoMetadata().named(path.name)
