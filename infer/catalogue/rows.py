"""What the rows of the catalogue hold, and the checksums that prove them.

SQLite does not notice a flipped bit in a value, so that every row carries a CRC-32 of its own. A
photo's row also carries the CRC-32 of its vector, which ties the two together wherever the vector
comes from: a block of the catalogue, the graph, or a salvaged page.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Vectors

BLOCK_SLOTS = 256  # vectors in one block: 64 KiB at 64 dimensions

# The columns of each table in their order; the last one is always the checksum of the others.
COLUMNS = {
    "header": ("key", "value", "checksum"),
    "root": ("id", "path", "exclude", "checksum"),
    "folder": ("id", "root", "path", "mount", "listing", "checksum"),
    "photo": (
        *("id", "folder", "name", "size", "mtime_ns", "digest"),
        *("width", "height", "vector", "checksum"),
    ),
    "unread": ("id", "folder", "name", "size", "mtime_ns", "digest", "reason", "checksum"),
    "vectors": ("block", "generation", "live", "data", "checksum"),
    "distinct_pair": ("lower", "higher", "checksum"),
    "note": ("key", "value", "checksum"),
}


class DamagedRowError(Exception):
    """A row is not what was written."""


@dataclass(frozen=True)
class GraphRecord:
    """What the catalogue knows of the graph's file.

    Attributes:
        file: its name inside the index folder.
        digest: BLAKE2b (128 bits, hexadecimal) of its bytes.
        bytes: its size.
        generation: of the catalogue whose vectors it holds.
        count: how many vectors it holds.
        effort: ``ef``, the candidates that a query for ten looks at.
        recall: share of the exact ten nearest that it found with that ``ef``, on itself.
    """

    file: str
    digest: str
    bytes: int
    generation: int
    count: int
    effort: int
    recall: float

    def as_text(self) -> str:
        """Write it as the JSON that the header holds."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Header:
    """What an index says about itself.

    Attributes:
        encoder_digest: of the encoder that made every vector in it.
        model: the name or path under which that encoder was given.
        dimension: length of a vector.
        generation: grows with every commit that changes what can be found.
        photos: how many are indexed.
        photo_sum: exclusive or of the checksums of all photos' rows.
        block_sum: exclusive or of the checksums of all blocks.
        graph: the record of the last graph that was published.
    """

    encoder_digest: str
    model: str
    dimension: int
    generation: int
    photos: int
    photo_sum: int
    block_sum: int
    graph: GraphRecord | None


@dataclass(frozen=True)
class RootRow:
    """A folder that was indexed.

    Attributes:
        id: of the root.
        path: absolute, without symbolic links.
        exclude: patterns of what is passed over below it.
    """

    id: int
    path: Path
    exclude: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FolderRow:
    """A folder that holds photos, or is a mount point above some.

    Attributes:
        id: never used again for another folder.
        root: id of the root that it lies under.
        path: relative to that root, ``/`` between its parts, ``""`` for the root itself.
        is_mount: another file system began here when it was last scanned.
        listing: digest of the names, sizes and times of its files, where all are in the catalogue.
    """

    id: int
    root: int
    path: str
    is_mount: bool
    listing: bytes | None


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """One photo that can be found.

    Attributes:
        id: its slot among the vectors.
        folder: id of the folder that it lies in.
        name: of its file.
        size: of the file in bytes.
        mtime_ns: of the file, in nanoseconds since 1970.
        digest: BLAKE2b (128 bits) of the file's bytes.
        width: of the upright photo in pixels.
        height: likewise.
        vector: CRC-32 of its vector's bytes.
    """

    id: int
    folder: int
    name: str
    size: int
    mtime_ns: int
    digest: bytes
    width: int
    height: int
    vector: int


@dataclass(frozen=True, slots=True)
class UnreadRow:
    """A file that could not be read as a photo.

    Attributes:
        id: of this row; it is no slot among the vectors.
        folder: id of the folder that it lies in.
        name: of the file.
        size: in bytes.
        mtime_ns: in nanoseconds since 1970.
        digest: BLAKE2b (128 bits) of its bytes.
        reason: why.
    """

    id: int
    folder: int
    name: str
    size: int
    mtime_ns: int
    digest: bytes
    reason: str


@dataclass(frozen=True, eq=False)
class Block:
    """A run of stored vectors.

    Attributes:
        first: id of the photo in its first slot.
        generation: of the index when it last changed.
        live: bool, shape = (slots,): which slots hold a photo.
        vectors: float32, shape = (slots, dimension).
        checksum: of the row.
    """

    first: int
    generation: int
    live: NDArray[np.bool_]
    vectors: Vectors
    checksum: int


def checksum(values: tuple[Any, ...]) -> int:
    """CRC-32 of a row's values: numbers in decimal, NULL as nothing, a zero byte between them."""
    parts = [
        value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
        for value in values
    ]
    return zlib.crc32(b"\0".join(parts))


def sealed(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Append the checksum to a row's values."""
    return (*values, checksum(values))


def is_intact(row: tuple[Any, ...]) -> bool:
    """Tell whether a row, checksum last, is what was written."""
    try:
        return bool(row[-1] == checksum(row[:-1]))
    except UnicodeEncodeError:
        return False


def vector_checksum(vector: Vectors) -> int:
    """CRC-32 of one vector's bytes (little-endian float32)."""
    return zlib.crc32(np.ascontiguousarray(vector, dtype="<f4").tobytes())


def root_values(row: RootRow) -> tuple[Any, ...]:
    """Lay a root out as a row of its table."""
    return sealed((row.id, os.fsencode(row.path), "\n".join(row.exclude)))


def root_row(row: tuple[Any, ...]) -> RootRow:
    """Read a root's row."""
    number, path, exclude = _checked("root", row)
    return RootRow(number, Path(os.fsdecode(path)), tuple(exclude.split("\n")) if exclude else ())


def folder_values(row: FolderRow) -> tuple[Any, ...]:
    """Lay a folder out as a row of its table."""
    return sealed((row.id, row.root, os.fsencode(row.path), int(row.is_mount), row.listing))


def folder_row(row: tuple[Any, ...]) -> FolderRow:
    """Read a folder's row."""
    number, root, path, mount, listing = _checked("folder", row)
    return FolderRow(number, root, os.fsdecode(path), bool(mount), listing)


def file_values(row: PhotoRow | UnreadRow) -> tuple[Any, ...]:
    """Lay a photo or an unreadable file out as a row of its table."""
    start = (row.id, row.folder, os.fsencode(row.name), row.size, row.mtime_ns, row.digest)
    if isinstance(row, PhotoRow):
        return sealed((*start, row.width, row.height, row.vector))
    return sealed((*start, row.reason))


def photo_row(row: tuple[Any, ...]) -> PhotoRow:
    """Read a photo's row."""
    number, folder, name, *rest = _checked("photo", row)
    return PhotoRow(number, folder, os.fsdecode(name), *rest)


def unread_row(row: tuple[Any, ...]) -> UnreadRow:
    """Read the row of an unreadable file."""
    number, folder, name, *rest = _checked("unread", row)
    return UnreadRow(number, folder, os.fsdecode(name), *rest)


def block_values(number: int, generation: int, live: NDArray[np.bool_], vectors: Vectors) -> Any:
    """Lay a block out as a row of its table. One without a live slot holds no bytes at all."""
    if not live.any():
        return sealed_block(number, generation, b"", b"")
    packed = np.packbits(live).tobytes()
    return sealed_block(number, generation, packed, vectors.astype("<f4", copy=False).tobytes())


def sealed_block(number: int, generation: int, live: bytes, data: bytes) -> tuple[Any, ...]:
    """Append its checksum to a block: CRC-32 of ``number NUL generation NUL live data``."""
    start = zlib.crc32(live, zlib.crc32(f"{number}\0{generation}\0".encode()))
    return (number, generation, live, data, zlib.crc32(data, start))


def block(row: tuple[Any, ...], dimension: int) -> Block:
    """Read a block's row."""
    number, generation, live, data, written = row
    slots = BLOCK_SLOTS if data else 0
    if (
        not isinstance(live, bytes)
        or not isinstance(data, bytes)
        or (len(live) * 8, len(data)) != (slots, slots * dimension * 4)
        or sealed_block(number, generation, live, data)[-1] != written
    ):
        raise DamagedRowError(f"vectors {number}")
    if not data:
        none = np.zeros(BLOCK_SLOTS, dtype=bool)
        empty = np.zeros((BLOCK_SLOTS, dimension), dtype=np.float32)
        return Block(number * BLOCK_SLOTS, generation, none, empty, written)
    return Block(
        first=number * BLOCK_SLOTS,
        generation=generation,
        live=np.unpackbits(np.frombuffer(live, np.uint8)).astype(bool),
        vectors=np.frombuffer(data, dtype="<f4").reshape(BLOCK_SLOTS, dimension),
        checksum=written,
    )


def header(rows: list[tuple[Any, ...]]) -> Header:
    """Read the header from its rows."""
    values = {}
    for row in rows:
        key, value = _checked("header", row)
        values[key] = value
    try:
        graph = values.get("graph")
        return Header(
            values["encoder_digest"],
            values["model"],
            values["dimension"],
            values["generation"],
            values["photos"],
            values["photo_sum"],
            values["block_sum"],
            GraphRecord(**json.loads(graph)) if graph else None,
        )
    except KeyError as error:
        raise DamagedRowError(f"header, no {error}") from None


def _checked(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    if not is_intact(row):
        raise DamagedRowError(f"{table} {row[0]}")
    return row[:-1]
