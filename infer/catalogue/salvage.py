"""Reading the rows of a damaged catalogue, past SQLite, page by page.

Only the leaves of the tables count: a row is taken wherever it lies, if its own checksum holds,
however much of what leads to it is broken. Source of the layout: "Database File Format" and
"Write-Ahead Log", https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Codes, Vectors
from ..files import publish, sync_folder
from . import rows
from .rows import (
    BLOCK_SLOTS,
    COLUMNS,
    Block,
    DamagedRowError,
    ExampleRow,
    FolderRow,
    LabelRow,
    PhotoRow,
    RootRow,
    UnreadableRow,
)
from .schema import PAGE_SIZE

_LEAF = 0x0D  # kind of a page that holds rows of a table
_FILE_HEADER = 100  # bytes before the first page's own header
_LOG_HEADER, _FRAME_HEADER = 32, 24  # bytes, of the write-ahead log and of a page in it
_MOST_PAYLOAD = 1 << 26  # bytes; a longer row is no row


@dataclass
class Salvage:
    """The rows that are what was written.

    Attributes:
        header: values by key.
        roots: by id.
        folders: by id.
        photos: by id.
        unreadable: by id.
        blocks: of vectors, by number.
        details: blocks of details, by number.
        not_duplicates: pairs of content digests.
        labels: by id.
        examples: of all labels.
        notes: by key.
    """

    header: dict[str, Any] = field(default_factory=dict)
    roots: dict[int, RootRow] = field(default_factory=dict)
    folders: dict[int, FolderRow] = field(default_factory=dict)
    photos: dict[int, PhotoRow] = field(default_factory=dict)
    unreadable: dict[int, UnreadableRow] = field(default_factory=dict)
    blocks: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    not_duplicates: set[tuple[bytes, bytes]] = field(default_factory=set)
    labels: dict[int, LabelRow] = field(default_factory=dict)
    examples: list[ExampleRow] = field(default_factory=list)
    details: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    notes: dict[str, bytes] = field(default_factory=dict)

    def length_of_details(self) -> int:
        """Tell from the blocks how many numbers the details of a photo have; 0 without blocks."""
        return max((len(row[2]) for row in self.details.values()), default=0) // BLOCK_SLOTS

    def block(self, number: int) -> Block | None:
        """Give a block; None where it was not salvaged."""
        try:
            return rows.block(self.blocks[number], self.header["dimension"])
        except (KeyError, DamagedRowError):
            return None

    def vector(self, photo: PhotoRow) -> Vectors | None:
        """Give the vector of a photo; None where what is there is not proven to be its own."""
        block = self.block(photo.id // BLOCK_SLOTS)
        slot = photo.id % BLOCK_SLOTS
        if block is None or not block.live[slot]:
            return None
        vector: Vectors = block.vectors[slot]
        return vector if rows.array_checksum(vector) == photo.vector else None

    def codes(self, photo: PhotoRow) -> Codes | None:
        """Give the details of a photo; None where what is there is not proven to be its own."""
        try:
            row = self.details[photo.id // BLOCK_SLOTS]
            block = rows.details_block(row, self.header["details"])
        except (KeyError, DamagedRowError):
            return None
        codes: Codes = block.codes[photo.id % BLOCK_SLOTS]
        return codes if rows.array_checksum(codes) == photo.details else None


def merge_log(path: Path) -> None:
    """Put the committed pages of the write-ahead log into the file, and drop the log.

    For a catalogue that no connection of this process has open, under the writer's lock. It may be
    stopped at any instant and called again.
    """
    log = path.with_name(f"{path.name}-wal")
    if log.is_file():
        merged = path.with_name(f"{path.name}.merged")
        shutil.copyfile(path, merged)
        with merged.open("rb+") as file:
            for number, page in _committed(log.read_bytes()):
                file.seek((number - 1) * PAGE_SIZE)
                file.write(page)
        publish(merged, path)
        log.unlink()
        # A log that comes back would be taken for that of the catalogue that is made next.
        sync_folder(path.parent)
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)


def _committed(log: bytes) -> list[tuple[int, bytes]]:
    """List the pages in a write-ahead log, up to the last commit in it."""
    salts, pages, committed = log[16:24], [], 0
    length = _FRAME_HEADER + PAGE_SIZE
    for start in range(_LOG_HEADER, len(log) - length + 1, length):
        number, size_after = struct.unpack_from(">II", log, start)
        if log[start + 8 : start + 16] != salts or not 0 < number < 1 << 24:
            break
        pages.append((number, log[start + _FRAME_HEADER : start + length]))
        if size_after:
            committed = len(pages)
    return pages[:committed]


def salvage(path: Path) -> Salvage:
    """Read every row of a catalogue whose checksum holds."""
    found = Salvage()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        pages = np.memmap(path, mode="r") if size else np.empty(0, np.uint8)
        for start in range(0, size - PAGE_SIZE + 1, PAGE_SIZE):
            page = pages[start : start + PAGE_SIZE].tobytes()
            for row in _rows_of(page, _FILE_HEADER if start == 0 else 0, pages):
                _keep(found, row)
    return found


def _keep(found: Salvage, row: tuple[Any, ...]) -> None:
    """Keep a row if it is one of ours: its checksum says of which table."""
    for table, columns in COLUMNS.items():
        if len(row) != len(columns) or not rows.is_intact(table, row):
            continue
        if table == "header":
            found.header[row[0]] = row[1]
        elif table == "note":
            found.notes[row[0]] = row[1]
        elif table == "root":
            found.roots[row[0]] = rows.root_row(row)
        elif table == "folder":
            found.folders[row[0]] = rows.folder_row(row)
        elif table == "photo":
            found.photos[row[0]] = rows.photo_row(row)
        elif table == "unreadable":
            found.unreadable[row[0]] = rows.unreadable_row(row)
        elif table == "not_duplicate":
            found.not_duplicates.add(row[:2])
        elif table == "label":
            found.labels[row[0]] = rows.label_row(row)
        elif table == "example":
            found.examples.append(rows.example_row(row))
        else:
            blocks = found.blocks if table == "vectors" else found.details
            before = blocks.get(row[0])
            if before is None or before[1] < row[1]:
                blocks[row[0]] = row


def _rows_of(page: bytes, start: int, pages: Any) -> Iterator[tuple[Any, ...]]:
    """Read the rows on a leaf of a table."""
    if page[start] != _LEAF:
        return
    (count,) = struct.unpack_from(">H", page, start + 3)
    for place in range(min(count, PAGE_SIZE // 4)):
        row = _row_at(page, start + 8 + 2 * place, pages)
        if row is not None:
            yield row


def _row_at(page: bytes, pointer: int, pages: Any) -> tuple[Any, ...] | None:
    """Read the row that a pointer on its page leads to; None where that is none."""
    try:
        (cell,) = struct.unpack_from(">H", page, pointer)
        length, cell = _varint(page, cell)
        number, cell = _varint(page, cell)
        return _record(_payload(page, cell, length, pages), number)
    except (struct.error, IndexError, ValueError):
        return None


def _payload(page: bytes, start: int, length: int, pages: Any) -> bytes:
    """Read a row's bytes, those on overflow pages too."""
    if length > _MOST_PAYLOAD:
        raise ValueError
    if length <= PAGE_SIZE - 35:
        return page[start : start + length]
    least = (PAGE_SIZE - 12) * 32 // 255 - 23
    local = least + (length - least) % (PAGE_SIZE - 4)
    if local > PAGE_SIZE - 35:
        local = least
    parts = [page[start : start + local]]
    (following,) = struct.unpack_from(">I", page, start + local)
    missing = length - local
    while missing > 0:
        if following == 0:
            raise ValueError
        place = (following - 1) * PAGE_SIZE
        more = pages[place : place + PAGE_SIZE].tobytes()
        (following,) = struct.unpack_from(">I", more)
        parts.append(more[4 : 4 + missing])
        missing -= PAGE_SIZE - 4
    return b"".join(parts)


def _record(payload: bytes, number: int) -> tuple[Any, ...]:
    """Read the values of a row; a missing first one is the row's own number."""
    end, place = _varint(payload, 0)
    kinds = []
    while place < end:
        kind, place = _varint(payload, place)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        value, place = _value(payload, place, kind)
        values.append(value)
    if values and values[0] is None:
        values[0] = number
    return tuple(values)


def _value(payload: bytes, place: int, kind: int) -> tuple[Any, int]:
    if kind == 0:
        return None, place
    if kind in (8, 9):
        return kind - 8, place
    if kind <= 6:
        size = (1, 2, 3, 4, 6, 8)[kind - 1]
        return int.from_bytes(payload[place : place + size], "big", signed=True), place + size
    if kind < 12:
        raise ValueError  # a catalogue holds no real numbers
    size = (kind - 12) // 2
    raw = payload[place : place + size]
    return raw if kind % 2 == 0 else raw.decode("utf-8"), place + size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for byte in range(9):
        part = data[place]
        place += 1
        if byte == 8:
            return value << 8 | part, place
        value = value << 7 | part & 0x7F
        if part < 0x80:
            return value, place
    raise ValueError
