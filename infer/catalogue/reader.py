"""Reading one committed state of the catalogue."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..arrays import Codes, Ids, Vectors
from . import rows
from .rows import (
    BLOCK_SLOTS,
    COLUMNS,
    Block,
    DamagedRowError,
    DetailsBlock,
    ExampleRow,
    FolderRow,
    Header,
    LabelRow,
    PhotoRow,
    RootRow,
    UnreadableRow,
)

_ASKED_AT_ONCE = 30_000  # values of one statement; SQLite takes 32,766
_ROWS_AT_ONCE = 256  # photos that are read by one statement


@dataclass
class Remembered:
    """What nearly every question asks of a committed state; it is read and checked once."""

    header: Header | None = None
    notes: dict[str, bytes] | None = None
    roots: dict[int, RootRow] | None = None
    paths: dict[int, Path] = field(default_factory=dict)  # of folders


class Snapshot:
    """One committed state of a catalogue, for as long as its transaction lasts.

    For one thread. Every method raises IndexDamagedError where a row is not what was written (the
    catalogue translates :class:`DamagedRowError`).

    Args:
        connection: in a transaction.
        remembered: what is known of this very state already.
    """

    def __init__(
        self, connection: sqlite3.Connection, remembered: Remembered | None = None
    ) -> None:
        self.connection = connection
        self._remembered = remembered or Remembered()

    # --- the index -------------------------------------------------------------------------------

    def header(self) -> Header:
        """Read what the index says about itself."""
        if self._remembered.header is None:
            self._remembered.header = rows.header(list(self.select("header")))
        return self._remembered.header

    def note(self, key: str) -> bytes | None:
        """Read a note; None where there is none of that key."""
        return self.notes().get(key)

    def notes(self) -> dict[str, bytes]:
        """Read all notes by key."""
        if self._remembered.notes is None:
            self._remembered.notes = dict(rows.checked("note", row) for row in self.select("note"))
        return self._remembered.notes

    def not_duplicates(self) -> set[tuple[bytes, bytes]]:
        """Read the pairs of content digests, the lower first, that someone said are no copies."""
        return {rows.checked("not_duplicate", row) for row in self.select("not_duplicate")}

    # --- labels ----------------------------------------------------------------------------------

    def labels(self) -> dict[str, LabelRow]:
        """Read the labels by name, in the order of names."""
        return {row.name: row for row in map(rows.label_row, self.select("label", "ORDER BY name"))}

    def examples(self, label: int | None = None) -> Iterator[ExampleRow]:
        """Read the examples of a label, or of all."""
        only = () if label is None else (label,)
        where = "WHERE label = ?" if only else ""
        return map(rows.example_row, self.select("example", where, only))

    # --- folders ---------------------------------------------------------------------------------

    def roots(self) -> dict[int, RootRow]:
        """Read the root folders by id."""
        if self._remembered.roots is None:
            self._remembered.roots = {
                row.id: row for row in map(rows.root_row, self.select("root"))
            }
        return self._remembered.roots

    def folders(self, root: int | None = None) -> Iterator[FolderRow]:
        """Read the folders of a root, or of all."""
        only = () if root is None else (root,)
        where = "WHERE root = ?" if only else ""
        return map(rows.folder_row, self.select("folder", where, only))

    def folder_path(self, folder: int) -> Path:
        """Name a folder by its absolute path."""
        path = self._remembered.paths.get(folder)
        if path is None:
            found = list(self.select("folder", "WHERE id = ?", (folder,)))
            roots = self.roots()
            if not found or found[0][1] not in roots:
                raise DamagedRowError(f"folder {folder}")
            row = rows.folder_row(found[0])
            path = self._remembered.paths[folder] = roots[row.root].path / row.path
        return path

    def path(self, photo: PhotoRow | UnreadableRow) -> Path:
        """Name a photo's file by its absolute path."""
        return self.folder_path(photo.folder) / photo.name

    def place(self, path: Path) -> tuple[RootRow, str] | None:
        """Find the root that an absolute path lies under, and the path relative to it."""
        for root in self.roots().values():
            if path.is_relative_to(root.path):
                relative = path.relative_to(root.path).as_posix()
                return root, "" if relative == "." else relative
        return None

    def below(self, path: Path) -> list[FolderRow]:
        """Read the folders at and below an absolute path, of whatever root."""
        return [
            folder
            for root in self.roots().values()
            for folder in self.folders(root.id)
            if (root.path / folder.path).is_relative_to(path)
        ]

    # --- files -----------------------------------------------------------------------------------

    def photos(self, ids: Iterable[int] | None = None) -> Iterator[PhotoRow]:
        """Read photos, all of them or those with the given ids, in the order asked for.

        Ids that are not in the catalogue are passed over.
        """
        if ids is None:
            return map(rows.photo_row, self.select("photo", "ORDER BY id"))
        return self._photos_of(iter(ids))

    def _photos_of(self, ids: Iterator[int]) -> Iterator[PhotoRow]:
        while part := list(islice(ids, _ROWS_AT_ONCE)):
            marks = ", ".join("?" * len(part))
            found = {
                row[0]: row for row in self.select("photo", f"WHERE id IN ({marks})", tuple(part))
            }
            yield from (rows.photo_row(found[number]) for number in part if number in found)

    def undescribed(self) -> list[PhotoRow]:
        """Read the photos with a file whose metadata have not been read yet."""
        found = self.select("photo", "WHERE described = 0 AND payload IS NULL")
        return list(map(rows.photo_row, found))

    def photo_named(self, folder: int, name: str) -> PhotoRow | None:
        """Look up a photo by its folder and its file's name."""
        found = self.select("photo", "WHERE folder = ? AND name = ?", (folder, os.fsencode(name)))
        return next(map(rows.photo_row, found), None)

    def unreadable_named(self, folder: int, name: str) -> UnreadableRow | None:
        """Look up an unreadable file by its folder and its name."""
        found = self.select(
            "unreadable", "WHERE folder = ? AND name = ?", (folder, os.fsencode(name))
        )
        return next(map(rows.unreadable_row, found), None)

    def photos_in(self, folder: int) -> list[PhotoRow]:
        """Read the photos of one folder."""
        return list(map(rows.photo_row, self.select("photo", "WHERE folder = ?", (folder,))))

    def unreadable_in(self, folder: int) -> list[UnreadableRow]:
        """Read the unreadable files of one folder."""
        return list(
            map(rows.unreadable_row, self.select("unreadable", "WHERE folder = ?", (folder,)))
        )

    def unreadable(self) -> Iterator[UnreadableRow]:
        """Read all unreadable files."""
        return map(rows.unreadable_row, self.select("unreadable"))

    def of_size(self, size: int) -> list[PhotoRow]:
        """Read the photos whose files have so many bytes: only these can have the same content."""
        return list(map(rows.photo_row, self.select("photo", "WHERE size = ?", (size,))))

    def of_digests(self, digests: Iterable[bytes]) -> list[PhotoRow]:
        """Read the photos of some contents, in the order of their ids."""
        wanted = list(dict.fromkeys(digests))
        found: list[int] = []
        for first in range(0, len(wanted), _ASKED_AT_ONCE):
            part = tuple(wanted[first : first + _ASKED_AT_ONCE])
            where = f"digest IN ({', '.join('?' * len(part))})"
            found += [number for number, _ in self.photo_column("size", where, part)]
        return list(self.photos(sorted(found)))

    def find(self, path: Path) -> PhotoRow | None:
        """Look up the photo with an absolute path."""
        placed = self.place(path)
        if placed is None:
            return None
        root, relative = placed
        inside = PurePosixPath(relative)
        folder = "" if str(inside.parent) == "." else str(inside.parent)
        number = self.folder_id(root.id, folder)
        return None if number is None else self.photo_named(number, inside.name)

    def folder_id(self, root: int, path: str) -> int | None:
        """Look up a folder by its path relative to its root."""
        for (number,) in self.connection.execute(
            "SELECT id FROM folder WHERE root = ? AND path = ?", (root, os.fsencode(path))
        ):
            return int(number)
        return None

    def ids_below(self, path: Path) -> Ids:
        """List the photos at or below an absolute path: int64, shape = (n,)."""
        query = "SELECT id FROM photo WHERE folder = ?"
        found = [
            number
            for folder in self.below(path)
            for (number,) in self.connection.execute(query, (folder.id,))
        ]
        photo = None if found else self.find(path)
        return np.array([photo.id] if photo else found, dtype=np.int64)

    # --- vectors ---------------------------------------------------------------------------------

    def blocks(self, since: int = -1, first: int = 0, count: int | None = None) -> Iterator[Block]:
        """Read blocks of vectors in order.

        Args:
            since: only blocks that changed after this generation.
            first: number of the first block.
            count: of how many numbers; to the end where None.
        """
        dimension = self.header().dimension
        last = 1 << 62 if count is None else first + count - 1
        where = "WHERE block BETWEEN ? AND ? AND generation > ? ORDER BY block"
        for row in self.select("vectors", where, (first, last, since)):
            yield rows.block(row, dimension)

    def changed_blocks(self, since: int) -> list[int]:
        """List the numbers of the blocks that changed after a generation, without reading them."""
        query = "SELECT block FROM vectors WHERE generation > ? ORDER BY block"
        return [number for (number,) in self.connection.execute(query, (since,))]

    def vector(self, photo: PhotoRow) -> Vectors:
        """Read one photo's vector, float32, shape = (dimension,)."""
        number, slot = divmod(photo.id, BLOCK_SLOTS)
        length = 4 * self.header().dimension
        # Its own checksum proves it, so that the rest of the block need not be looked at.
        query = "SELECT substr(data, ?, ?) FROM vectors WHERE block = ?"
        for (data,) in self.connection.execute(query, (slot * length + 1, length, number)):
            if isinstance(data, bytes) and len(data) == length:
                vector: Vectors = np.frombuffer(data, "<f4")
                if rows.array_checksum(vector) == photo.vector:
                    return vector
        raise DamagedRowError(f"vector of photo {photo.id}")

    # --- details ---------------------------------------------------------------------------------

    def details_blocks(
        self, since: int = -1, first: int = 0, count: int | None = None
    ) -> Iterator[DetailsBlock]:
        """Read blocks of details in order; arguments as for :meth:`blocks`."""
        numbers = self.header().details
        last = 1 << 62 if count is None else first + count - 1
        where = "WHERE block BETWEEN ? AND ? AND generation > ? ORDER BY block"
        for row in self.select("details", where, (first, last, since)):
            yield rows.details_block(row, numbers)

    def details(self, photos: Sequence[PhotoRow]) -> Codes:
        """Read the details of some photos: int8, shape = (len(photos), details), 0 where none."""
        found = np.zeros((len(photos), self.header().details), dtype=np.int8)
        by_block: dict[int, list[int]] = {}
        for place, photo in enumerate(photos):
            if photo.details is not None:
                by_block.setdefault(photo.id // BLOCK_SLOTS, []).append(place)
        for number, places in by_block.items():
            blocks = list(self.details_blocks(first=number, count=1))
            for place in places:
                photo = photos[place]
                if not blocks:
                    raise DamagedRowError(f"details of photo {photo.id}")
                codes = blocks[0].codes[photo.id % BLOCK_SLOTS]
                if rows.array_checksum(codes) != photo.details:
                    raise DamagedRowError(f"details of photo {photo.id}")
                found[place] = codes
        return found

    # --- tables ----------------------------------------------------------------------------------

    def photo_column(
        self, column: str, where: str, values: tuple[Any, ...]
    ) -> Iterator[tuple[int, Any]]:
        """Read one column of photos, unchecked: (id, value)."""
        return self.connection.execute(f"SELECT id, {column} FROM photo WHERE {where}", values)

    def select(self, table: str, rest: str = "", values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Read rows of a table as they lie there, unchecked, with the columns of ``COLUMNS``."""
        return self.connection.execute(
            f"SELECT {', '.join(COLUMNS[table])} FROM {table} {rest}", values
        )
