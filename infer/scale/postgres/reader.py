"""Reading one committed state of an index in PostgreSQL, as that of a catalogue is read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ...arrays import Codes, Ids, Vectors
from ...catalogue.reader import Snapshot
from ...catalogue.rows import (
    BLOCK_SLOTS,
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
from ...errors import UsageError
from ...photos.metadata import PhotoMetadata
from .migrations import SCHEMA

_COLUMNS = (
    "p.id, p.digest, p.path, p.size, p.mtime_ns, p.width, p.height, p.described, p.taken_ms, "
    "p.taken_offset, p.taken_source, p.camera, p.latitude, p.longitude, p.payload"
)
_FETCHED = 4096  # rows that a stream brings at once


class PostgresSnapshot(Snapshot):
    """One committed state, for as long as its transaction lasts. For one thread.

    What it says of photos, vectors, details and notes is what the index said that was published.
    Labels and judgements about duplicates stay with that one; a row's folder is no number here.

    Args:
        database: a connection that is in a transaction.
    """

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self._database = database
        self._meta: dict[str, bytes] = {}
        self._rows: dict[int, PhotoRow] = {}  # of candidates that were fetched with their vectors
        self._vectors: dict[int, Vectors] = {}
        self._codes: dict[int, Codes] = {}

    # --- the index -------------------------------------------------------------------------------

    def header(self) -> Header:
        """Read what the index says about itself."""
        if self._remembered.header is None:
            told = json.loads(self._known()["header"])
            sums: dict[str, Any] = {"photo_sum": 0, "block_sum": 0, "details_sum": 0, "graph": None}
            self._remembered.header = Header(**told, **sums)
        return self._remembered.header

    def note(self, key: str) -> bytes | None:
        """Read a note; None where there is none of that key."""
        return self._known().get(f"note:{key}")

    def notes(self) -> dict[str, bytes]:
        """Read all notes by key."""
        found = self._known().items()
        return {key[5:]: value for key, value in found if key.startswith("note:")}

    def _known(self) -> dict[str, bytes]:
        """Read header and notes, all at once: they are few, and most are asked for every time."""
        if not self._meta:
            self._meta = dict(self._ask(f"SELECT key, value FROM {SCHEMA}.meta"))
        return self._meta

    def not_duplicates(self) -> set[tuple[bytes, bytes]]:
        """Give none: such judgements are not published."""
        return set()

    def labels(self) -> dict[str, LabelRow]:
        """Give none: labels are not published."""
        return {}

    def examples(self, label: int | None = None) -> Iterator[ExampleRow]:
        """Give none: labels are not published."""
        return iter(())

    # --- folders ---------------------------------------------------------------------------------

    def roots(self) -> dict[int, RootRow]:
        """Read the root folders by id."""
        found = self._ask(f"SELECT id, path FROM {SCHEMA}.root ORDER BY id")
        return {number: RootRow(number, Path(os.fsdecode(path)), ()) for number, path in found}

    def folders(self, root: int | None = None) -> Iterator[FolderRow]:
        """Give none: only whole paths are published."""
        return iter(())

    def path(self, photo: PhotoRow | UnreadableRow) -> Path:
        """Name a photo's file by its absolute path."""
        return Path(photo.name)

    def below(self, path: Path) -> list[FolderRow]:
        """Give one row where any photo lies below a path."""
        where, values = _below(path)
        found = self._ask(f"SELECT 1 FROM {SCHEMA}.photo p WHERE {where} LIMIT 1", *values)
        return [FolderRow(0, 0, str(path), False, None) for _ in found]

    # --- files -----------------------------------------------------------------------------------

    def photos(self, ids: Iterable[int] | None = None) -> Iterator[PhotoRow]:
        """Read photos, all of them or those with the given ids, in the order asked for."""
        if ids is None:
            query = f"SELECT {_COLUMNS} FROM {SCHEMA}.photo p ORDER BY p.id"
            return map(_photo, self._stream(query))
        wanted = list(ids)
        missing = [number for number in wanted if number not in self._rows]
        known = dict(self._rows)
        if missing:
            query = f"SELECT {_COLUMNS} FROM {SCHEMA}.photo p WHERE p.id = ANY(%s)"
            known |= {row[0]: _photo(row) for row in self._ask(query, missing)}
        return (known[number] for number in wanted if number in known)

    def undescribed(self) -> list[PhotoRow]:
        """Give none: a published index is not changed."""
        return []

    def photo_named(self, folder: int, name: str) -> PhotoRow | None:
        """Look up a photo by its path (its name, for one that has no file)."""
        query = f"SELECT {_COLUMNS} FROM {SCHEMA}.photo p WHERE p.path = %s"
        return next(map(_photo, self._ask(query, os.fsencode(name))), None)

    def unreadable(self) -> Iterator[UnreadableRow]:
        """Read all unreadable files."""
        found = self._ask(f"SELECT path, reason FROM {SCHEMA}.unreadable ORDER BY path")
        for number, (path, reason) in enumerate(found):
            yield UnreadableRow(number, 0, os.fsdecode(path), 0, 0, b"", reason)

    def of_digests(self, digests: Iterable[bytes]) -> list[PhotoRow]:
        """Read the photos of some contents, in the order of their ids."""
        query = f"SELECT {_COLUMNS} FROM {SCHEMA}.photo p WHERE p.digest = ANY(%s) ORDER BY p.id"
        return list(map(_photo, self._ask(query, list(digests))))

    def find(self, path: Path) -> PhotoRow | None:
        """Look up the photo with an absolute path."""
        return self.photo_named(0, str(path))

    def folder_id(self, root: int, path: str) -> int | None:
        """Give 0, the folder of everything."""
        return 0

    def ids_below(self, path: Path) -> Ids:
        """List the photos at or below an absolute path: int64, shape = (n,)."""
        where, values = _below(path)
        found = self._ask(f"SELECT p.id FROM {SCHEMA}.photo p WHERE {where}", *values)
        return np.array([number for (number,) in found], dtype=np.int64)

    def photo_column(
        self, column: str, where: str, values: tuple[Any, ...]
    ) -> Iterator[tuple[int, Any]]:
        """Read one column of photos: (id, value). The condition is one of SQLite's."""
        where = where.replace("instr(", "strpos(").replace("?", "%s")
        return iter(self._ask(f"SELECT id, {column} FROM {SCHEMA}.photo WHERE {where}", *values))

    # --- vectors ---------------------------------------------------------------------------------

    def blocks(self, since: int = -1, first: int = 0, count: int | None = None) -> Iterator[Block]:
        """Put vectors into blocks as a catalogue has them, in order."""
        header = self.header()
        if since >= header.generation:
            return
        for number, slots, values in self._blocks("vector", first, count):
            live = np.zeros(BLOCK_SLOTS, dtype=bool)
            vectors = np.zeros((BLOCK_SLOTS, header.dimension), dtype=np.float32)
            live[slots] = True
            vectors[slots] = [np.frombuffer(value, "<f4") for value in values]
            yield Block(number * BLOCK_SLOTS, header.generation, live, vectors, 0)

    def details_blocks(
        self, since: int = -1, first: int = 0, count: int | None = None
    ) -> Iterator[DetailsBlock]:
        """Put details into blocks as a catalogue has them, in order."""
        header = self.header()
        if since >= header.generation or not header.details:
            return
        for number, slots, values in self._blocks("details", first, count):
            codes = np.zeros((BLOCK_SLOTS, header.details), dtype=np.int8)
            codes[slots] = [np.frombuffer(value, np.int8) for value in values]
            yield DetailsBlock(number * BLOCK_SLOTS, header.generation, codes, 0)

    def changed_blocks(self, since: int) -> list[int]:
        """List the numbers of the blocks, all of them: what is published is published anew."""
        query = f"SELECT DISTINCT id / {BLOCK_SLOTS} FROM {SCHEMA}.photo ORDER BY 1"
        return [number for (number,) in self._ask(query)]

    def vector(self, photo: PhotoRow) -> Vectors:
        """Read one photo's vector, float32, shape = (dimension,)."""
        if photo.id not in self._vectors:
            query = f"SELECT vector FROM {SCHEMA}.content WHERE digest = %s"
            for (value,) in self._ask(query, photo.digest):
                self._vectors[photo.id] = np.frombuffer(value, "<f4")
        if photo.id not in self._vectors:
            raise DamagedRowError(f"vector of photo {photo.id}")
        return self._vectors[photo.id]

    def details(self, photos: Sequence[PhotoRow]) -> Codes:
        """Read the details of some photos: int8, shape = (len(photos), details), 0 where none."""
        return self.details_of([photo.id for photo in photos])

    def details_of(self, ids: Sequence[int]) -> Codes:
        """Read the details of photos: int8, shape = (len(ids), details), 0 where none."""
        missing = [number for number in ids if number not in self._codes]
        if missing:
            query = (
                f"SELECT p.id, c.details FROM {SCHEMA}.photo p JOIN {SCHEMA}.content c "
                "USING (digest) WHERE p.id = ANY(%s)"
            )
            self._codes |= {n: np.frombuffer(v, np.int8) for n, v in self._ask(query, missing)}
        none = np.zeros(self.header().details, dtype=np.int8)
        found = [self._codes.get(number, none) for number in ids]
        return np.array(
            [codes if len(codes) == len(none) else none for codes in found], np.int8
        ).reshape(len(found), len(none))

    def select(self, table: str, rest: str = "", values: tuple[Any, ...] = ()) -> NoReturn:
        """Refuse: the tables of a catalogue are not here."""
        raise UsageError(
            "a published index has no catalogue of its own: ask the index that it was made from"
        )

    # --- candidates ------------------------------------------------------------------------------

    def candidates(self, rest: str, values: tuple[Any, ...]) -> tuple[Ids, Vectors]:
        """Fetch photos with their vectors and details, which are at hand from then on.

        Args:
            rest: of the query, from FROM on; photos are ``p`` and contents ``c`` in it.
            values: of its placeholders.

        Returns:
            int64, shape = (n,), and float32, shape = (n, dimension).
        """
        found = self._ask(f"SELECT {_COLUMNS}, c.vector, c.details {rest}", *values)
        ids: Ids = np.array([row[0] for row in found], dtype=np.int64)
        vectors = np.zeros((len(found), self.header().dimension), dtype=np.float32)
        for place, (*columns, vector, details) in enumerate(found):
            vectors[place] = np.frombuffer(vector, "<f4")
            self._rows[columns[0]] = _photo(columns)
            self._vectors[columns[0]] = vectors[place]
            self._codes[columns[0]] = np.frombuffer(details, np.int8)
        return ids, vectors

    def settings(self, **values: object) -> None:
        """Change settings of the server for this transaction; ``__`` in a name is a dot."""
        pairs = [(name.replace("__", "."), str(value)) for name, value in values.items()]
        calls = ", ".join("set_config(%s, %s, true)" for _ in pairs)
        self._database.execute(f"SELECT {calls}", [one for pair in pairs for one in pair])

    def _blocks(
        self, column: str, first: int, count: int | None
    ) -> Iterator[tuple[int, list[int], list[bytes]]]:
        last = (1 << 62) // BLOCK_SLOTS if count is None else first + count
        query = (
            f"SELECT p.id, c.{column} FROM {SCHEMA}.photo p JOIN {SCHEMA}.content c USING (digest) "
            "WHERE p.id >= %s AND p.id < %s ORDER BY p.id"
        )
        found = self._stream(query, first * BLOCK_SLOTS, last * BLOCK_SLOTS)
        for number, rows in groupby(found, lambda row: row[0] // BLOCK_SLOTS):
            mine = list(rows)
            yield number, [n % BLOCK_SLOTS for n, _ in mine], [value for _, value in mine]

    def _ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self._database.cursor(binary=True)
        found: list[tuple[Any, ...]] = cursor.execute(query, values).fetchall()
        return found

    def _stream(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Go through rows without having all of them in memory."""
        with self._database.cursor(f"stream_{id(values)}", binary=True) as cursor:
            cursor.itersize = _FETCHED
            cursor.execute(query, values)
            yield from cursor


def _photo(row: Sequence[Any]) -> PhotoRow:
    number, digest, path, size, mtime_ns, width, height, described, *rest = row
    metadata = PhotoMetadata(*rest[:6]) if described else None
    name = os.fsdecode(bytes(path))
    return PhotoRow(
        *(number, 0, name, size, mtime_ns, bytes(digest), width, height, metadata),
        payload=rest[6],
    )


def _below(path: Path) -> tuple[str, tuple[bytes, ...]]:
    """Say in SQL that a photo lies at or below a path."""
    whole = os.fsencode(path)
    above = whole.rstrip(b"/")
    return "(p.path = %s OR (p.path >= %s AND p.path < %s))", (whole, above + b"/", above + b"0")
