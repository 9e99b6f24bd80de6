"""What the rows of the catalogue hold, and the checksums that prove them.

SQLite does not notice a flipped bit in a value, so that every row carries a CRC-32 of its own. It
covers the name of its table too: a row that is found without its table tells where it belongs. A
photo's row also carries the CRC-32 of its vector and of its details, which ties them together
wherever they come from: a block of the catalogue, the graph, or a salvaged page.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Codes, Vectors
from ..photos.metadata import PhotoMetadata

NO_FOLDER = Path()  # path of the root whose photos have no file: an app has added them
BLOCK_SLOTS = 256  # photos whose vectors lie in one block: 64 KiB at 64 dimensions

# The columns of each table in their order; the last one is always the checksum of the others.
COLUMNS = {
    "header": ("key", "value", "checksum"),
    "root": ("id", "path", "exclude", "checksum"),
    "folder": ("id", "root", "path", "mount", "listing", "checksum"),
    "photo": (
        *("id", "folder", "name", "size", "mtime_ns", "digest", "width", "height"),
        *("described", "taken_ms", "taken_offset", "taken_source", "camera"),
        *("latitude", "longitude", "payload", "vector", "details", "checksum"),
    ),
    "unreadable": ("id", "folder", "name", "size", "mtime_ns", "digest", "reason", "checksum"),
    "vectors": ("block", "generation", "live", "data", "checksum"),
    "details": ("block", "generation", "data", "checksum"),
    "not_duplicate": ("lower", "higher", "checksum"),
    "label": ("id", "name", "checksum"),
    "example": ("label", "digest", "verdict", "checksum"),
    "note": ("key", "value", "checksum"),
}
BLOCKS = ("vectors", "details")  # tables whose rows hold the arrays of many photos


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
        ef_search: candidates that a query for ten looks at.
        recall: fraction of the exact ten nearest that it found with that, on itself.
        mean: CRC-32 of the mean that was taken from the vectors in it; None where none was.
    """

    file: str
    digest: str
    bytes: int
    generation: int
    count: int
    ef_search: int
    recall: float
    mean: int | None = None

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
        details: how many int8 numbers of details a photo has; 0 where the encoder gives none.
        generation: grows with every commit that changes what can be found.
        photos: how many are indexed.
        photo_sum: exclusive or of the checksums of all photos' rows.
        block_sum: exclusive or of the checksums of all blocks of vectors.
        details_sum: likewise of details.
        graph: the record of the last graph that was published.
    """

    encoder_digest: str
    model: str
    dimension: int
    details: int
    generation: int
    photos: int
    photo_sum: int
    block_sum: int
    details_sum: int
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
        metadata: what the file says about the picture; None where it has not been asked yet.
        payload: JSON that an app keeps with a photo of its own.
        vector: CRC-32 of its vector's bytes.
        details: CRC-32 of its details' bytes; None where it has none.
    """

    id: int
    folder: int
    name: str
    size: int
    mtime_ns: int
    digest: bytes
    width: int
    height: int
    metadata: PhotoMetadata | None = None
    payload: str | None = None
    vector: int = 0
    details: int | None = None


@dataclass(frozen=True, slots=True)
class UnreadableRow:
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


@dataclass(frozen=True, slots=True)
class LabelRow:
    """Something that photos can show, under the name that a user gave it."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """A judgement about a content: it shows what a label says, or does not.

    Attributes:
        label: id of the label.
        digest: BLAKE2b (128 bits) of the file's bytes.
        verdict: whether it does.
    """

    label: int
    digest: bytes
    verdict: bool


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


@dataclass(frozen=True, eq=False)
class DetailsBlock:
    """A run of stored details; which slots hold a photo is told by the vectors' block.

    Attributes:
        first: id of the photo in its first slot.
        generation: of the index when it last changed.
        codes: int8, shape = (slots, details).
        checksum: of the row.
    """

    first: int
    generation: int
    codes: Codes
    checksum: int


def checksum(table: str, values: tuple[Any, ...]) -> int:
    """CRC-32 of a table's name and a row's values, zero bytes between them.

    Numbers count in decimal, NULL as nothing. Of the large arrays of a block, which come last, none
    is copied.
    """
    large = 2 if table == "vectors" else 1 if table == "details" else 0
    small = values[: len(values) - large]
    parts = [table.encode()] + [
        value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
        for value in small
    ]
    crc = zlib.crc32(b"\0".join(parts))
    for value in values[len(small) :]:
        crc = zlib.crc32(value, zlib.crc32(b"\0", crc))
    return crc


def sealed(table: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Append the checksum to a row's values."""
    return (*values, checksum(table, values))


def is_intact(table: str, row: tuple[Any, ...]) -> bool:
    """Tell whether a row, checksum last, is what was written to a table."""
    try:
        return bool(row[-1] == checksum(table, row[:-1]))
    except (UnicodeEncodeError, TypeError):
        return False


def array_checksum(array: Vectors | Codes) -> int:
    """CRC-32 of one photo's vector (as little-endian float32) or details (int8)."""
    kind = "<f4" if array.dtype.kind == "f" else np.int8
    return zlib.crc32(np.ascontiguousarray(array, dtype=kind).tobytes())


def array_checksums(vectors: Vectors) -> NDArray[np.uint32]:
    """CRC-32 of each row of vectors: uint32, shape = (len(vectors),)."""
    data = memoryview(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
    length = 4 * vectors.shape[1]
    starts = range(0, len(vectors) * length, length)
    return np.array([zlib.crc32(data[at : at + length]) for at in starts], dtype=np.uint32)


def root_values(row: RootRow) -> tuple[Any, ...]:
    """Lay a root out as a row of its table."""
    path = b"" if row.path == NO_FOLDER else os.fsencode(row.path)
    return sealed("root", (row.id, path, "\n".join(row.exclude)))


def root_row(row: tuple[Any, ...]) -> RootRow:
    """Read a root's row."""
    number, path, exclude = checked("root", row)
    return RootRow(number, Path(os.fsdecode(path)), tuple(exclude.split("\n")) if exclude else ())


def folder_values(row: FolderRow) -> tuple[Any, ...]:
    """Lay a folder out as a row of its table."""
    path = os.fsencode(row.path)
    return sealed("folder", (row.id, row.root, path, int(row.is_mount), row.listing))


def folder_row(row: tuple[Any, ...]) -> FolderRow:
    """Read a folder's row."""
    number, root, path, mount, listing = checked("folder", row)
    return FolderRow(number, root, os.fsdecode(path), bool(mount), listing)


def photo_values(row: PhotoRow) -> tuple[Any, ...]:
    """Lay a photo out as a row of its table."""
    metadata = astuple(row.metadata or PhotoMetadata())
    described = int(row.metadata is not None)
    about_file = (row.size, row.mtime_ns, row.digest, row.width, row.height)
    return sealed(
        "photo",
        (
            *(row.id, row.folder, os.fsencode(row.name), *about_file),
            *(described, *metadata, row.payload, row.vector, row.details),
        ),
    )


def photo_row(row: tuple[Any, ...]) -> PhotoRow:
    """Read a photo's row."""
    values = checked("photo", row)
    (number, folder, name), about_file = values[:3], values[3:8]
    described, metadata, rest = values[8], values[9:15], values[15:]
    known = PhotoMetadata(*metadata) if described else None
    return PhotoRow(number, folder, os.fsdecode(name), *(*about_file, known, *rest))


def unreadable_values(row: UnreadableRow) -> tuple[Any, ...]:
    """Lay an unreadable file out as a row of its table."""
    about_file = (row.size, row.mtime_ns, row.digest, row.reason)
    return sealed("unreadable", (row.id, row.folder, os.fsencode(row.name), *about_file))


def unreadable_row(row: tuple[Any, ...]) -> UnreadableRow:
    """Read the row of an unreadable file."""
    number, folder, name, *rest = checked("unreadable", row)
    return UnreadableRow(number, folder, os.fsdecode(name), *rest)


def example_values(row: ExampleRow) -> tuple[Any, ...]:
    """Lay an example out as a row of its table."""
    return sealed("example", (row.label, row.digest, int(row.verdict)))


def example_row(row: tuple[Any, ...]) -> ExampleRow:
    """Read the row of an example."""
    label, digest, verdict = checked("example", row)
    return ExampleRow(label, digest, bool(verdict))


def label_row(row: tuple[Any, ...]) -> LabelRow:
    """Read the row of a label."""
    return LabelRow(*checked("label", row))


def block_values(
    number: int, generation: int, live: NDArray[np.bool_], vectors: Vectors
) -> tuple[Any, ...]:
    """Lay a block out as a row of its table. One without a live slot holds no bytes at all."""
    packed, data = b"", b""
    if live.any():
        packed, data = np.packbits(live).tobytes(), vectors.astype("<f4", copy=False).tobytes()
    return sealed("vectors", (number, generation, packed, data))


def details_values(number: int, generation: int, codes: Codes) -> tuple[Any, ...]:
    """Lay a block of details out as a row of its table. One of zeros holds no bytes at all."""
    return sealed("details", (number, generation, codes.tobytes() if codes.any() else b""))


def block(row: tuple[Any, ...], dimension: int) -> Block:
    """Read a block's row."""
    number, generation, live, data, written = row
    slots = BLOCK_SLOTS if data else 0
    if (
        not isinstance(live, bytes)
        or not isinstance(data, bytes)
        or (len(live) * 8, len(data)) != (slots, slots * dimension * 4)
        or not is_intact("vectors", row)
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


def details_block(row: tuple[Any, ...], count: int) -> DetailsBlock:
    """Read the row of a block of details, ``count`` numbers a photo."""
    number, generation, data, written = row
    if (
        not isinstance(data, bytes)
        or len(data) not in (0, BLOCK_SLOTS * count)
        or not is_intact("details", row)
    ):
        raise DamagedRowError(f"details {number}")
    codes = np.frombuffer(data or bytes(BLOCK_SLOTS * count), np.int8).reshape(BLOCK_SLOTS, count)
    return DetailsBlock(number * BLOCK_SLOTS, generation, codes, written)


def header(rows: list[tuple[Any, ...]]) -> Header:
    """Read the header from its rows."""
    values = dict(checked("header", row) for row in rows)
    try:
        graph = values.get("graph")
        return Header(
            values["encoder_digest"],
            values["model"],
            values["dimension"],
            values["details"],
            values["generation"],
            values["photos"],
            values["photo_sum"],
            values["block_sum"],
            values["details_sum"],
            GraphRecord(**json.loads(graph)) if graph else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedRowError(f"header ({error})") from None


def checked(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Take the checksum off a row that holds.

    Raises:
        DamagedRowError: it does not.
    """
    if not is_intact(table, row):
        raise DamagedRowError(f"{table} {row[0]}")
    return row[:-1]
