"""The way from older formats of the catalogue to the present one.

Each step has the tables and checksums of its own formats written out: what a later format changes
must not change what an older step does.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import IndexDamagedError, IndexMismatchError
from .schema import FORMAT

_SLOTS = 256  # photos in one block of vectors, in all formats so far

_FORMAT_2 = (
    """CREATE TABLE header (key TEXT PRIMARY KEY, value, checksum INTEGER NOT NULL)""",
    """CREATE TABLE root (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE,
        exclude TEXT NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE folder (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        root INTEGER NOT NULL,
        path BLOB NOT NULL,
        mount INTEGER NOT NULL,
        listing BLOB,
        checksum INTEGER NOT NULL,
        UNIQUE (root, path)
    )""",
    """CREATE TABLE photo (
        id INTEGER PRIMARY KEY,
        folder INTEGER NOT NULL,
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        digest BLOB NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        vector INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE (folder, name)
    )""",
    """CREATE INDEX photo_by_size ON photo (size)""",
    """CREATE TABLE unread (
        id INTEGER PRIMARY KEY,
        folder INTEGER NOT NULL,
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        digest BLOB NOT NULL,
        reason TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE (folder, name)
    )""",
    """CREATE TABLE vectors (
        block INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL,
        live BLOB NOT NULL,
        data BLOB NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE distinct_pair (
        lower BLOB NOT NULL,
        higher BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE (lower, higher)
    )""",
    """CREATE TABLE note (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)""",
)

_FORMAT_3 = (
    """CREATE TABLE header (key TEXT PRIMARY KEY, value, checksum INTEGER NOT NULL)""",
    """CREATE TABLE root (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE,
        exclude TEXT NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE folder (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        root INTEGER NOT NULL,
        path BLOB NOT NULL,
        mount INTEGER NOT NULL,
        listing BLOB,
        checksum INTEGER NOT NULL,
        UNIQUE (root, path)
    )""",
    """CREATE TABLE photo (
        id INTEGER PRIMARY KEY,
        folder INTEGER NOT NULL,
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        digest BLOB NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        described INTEGER NOT NULL,
        taken_ms INTEGER,
        taken_offset INTEGER,
        taken_source TEXT,
        camera TEXT,
        latitude INTEGER,
        longitude INTEGER,
        payload TEXT,
        vector INTEGER NOT NULL,
        details INTEGER,
        checksum INTEGER NOT NULL,
        UNIQUE (folder, name)
    )""",
    """CREATE INDEX photo_by_size ON photo (size)""",
    """CREATE TABLE unreadable (
        id INTEGER PRIMARY KEY,
        folder INTEGER NOT NULL,
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        digest BLOB NOT NULL,
        reason TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE (folder, name)
    )""",
    """CREATE TABLE vectors (
        block INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL,
        live BLOB NOT NULL,
        data BLOB NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE details (
        block INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL,
        data BLOB NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE not_duplicate (
        lower BLOB NOT NULL,
        higher BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE (lower, higher)
    )""",
    """CREATE TABLE label (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE example (
        label INTEGER NOT NULL,
        digest BLOB NOT NULL,
        verdict INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE (label, digest)
    )""",
    """CREATE TABLE note (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)""",
)


def migrate(connection: sqlite3.Connection, folder: Path) -> None:
    """Bring a catalogue of an older format to the present one, in one transaction.

    The caller holds the writer's lock. Another process may have migrated it already.

    Raises:
        IndexMismatchError: its format is older than any that is known.
        IndexDamagedError: a row is not what was written.
    """
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    while version < FORMAT:
        step = _STEPS.get(version)
        if step is None:
            raise IndexMismatchError(
                f"the index in {folder} has format {version}, which this version of imgsim-edge "
                "cannot read: delete that folder and index again"
            )
        step(connection, folder)
        version += 1
        connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("COMMIT")


def _from_1(connection: sqlite3.Connection, folder: Path) -> None:
    """Format 1 had whole paths in the photos' rows, and unreadable files among the photos."""
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = [name for (name,) in connection.execute(names)]
    for table in tables:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in _FORMAT_2:
        connection.execute(statement)
    put = _putting(connection)
    header = dict(connection.execute("SELECT key, value FROM old_header"))
    for number, path in connection.execute("SELECT id, path FROM old_root"):
        put("root", _sealed_2((number, path, "")))
    block_sum = 0
    length = 4 * header["dimension"]
    blocks: dict[int, bytes] = {}
    for number, live, data, written in connection.execute("SELECT * FROM old_vectors").fetchall():
        # Format 1's checksum is that of format 2 with nothing between number and content.
        start = zlib.crc32(live, zlib.crc32(str(number).encode()))
        if zlib.crc32(data, start) != written or len(data) != length * _SLOTS:
            raise _damaged(folder, f"vectors {number}")
        blocks[number] = data
        values = _block_2(number, header["generation"], live, data)
        block_sum ^= values[-1]
        put("vectors", values)
    folders: dict[tuple[int, bytes], int] = {}
    photos, photo_sum = 0, 0
    for row in connection.execute("SELECT * FROM old_photo ORDER BY id").fetchall():
        number, root, path, size, mtime_ns, digest, width, height, problem, written = row
        if _crc_2(row[:-1]) != written:
            raise _damaged(folder, f"photo {number}")
        parent, _, name = path.rpartition(b"/")
        if (root, parent) not in folders:
            folders[root, parent] = len(folders) + 1
            put("folder", _sealed_2((len(folders), root, parent, 0, None)))
        place = (number, folders[root, parent], name, size, mtime_ns, digest or b"")
        if problem is None:
            block, slot = divmod(number, _SLOTS)
            if block not in blocks:
                raise _damaged(folder, f"vectors {block}")
            vector = zlib.crc32(blocks[block][slot * length : (slot + 1) * length])
            values = _sealed_2((*place, width, height, vector))
            photo_sum ^= values[-1]
            photos += 1
            put("photo", values)
        else:
            put("unread", _sealed_2((*place, problem)))
    kept = {
        key: header[key]
        for key in ("encoder_digest", "model", "dimension", "metric", "created", "generation")
    }
    sums = {"photos": photos, "photo_sum": photo_sum, "block_sum": block_sum}
    for item in {**kept, **sums}.items():
        put("header", _sealed_2(item))
    if "distinct_pair" in tables:  # which the first catalogues of format 1 did not have
        for pair in connection.execute("SELECT lower, higher FROM old_distinct_pair"):
            put("distinct_pair", _sealed_2(pair))
    for table in tables:
        connection.execute(f"DROP TABLE old_{table}")


def _from_2(connection: sqlite3.Connection, folder: Path) -> None:
    """Format 2 knew no metadata, details or labels, and its checksums did not cover the table."""
    tables = ("header", "root", "folder", "photo", "unread", "vectors", "distinct_pair", "note")
    for table in tables:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    connection.execute("DROP INDEX photo_by_size")
    for statement in _FORMAT_3:
        connection.execute(statement)
    put = _putting(connection)

    def old(table: str) -> Iterator[tuple[Any, ...]]:
        for row in connection.execute(f"SELECT * FROM old_{table}"):
            if _crc_2(row[:-1]) != row[-1]:
                raise _damaged(folder, f"{table} {row[0]}")
            yield row[:-1]

    for table in ("root", "folder"):
        for row in old(table):
            put(table, _sealed_3(table, row))
    photo_sum = 0
    for row in old("photo"):
        values = _sealed_3("photo", (*row[:8], 0, *[None] * 7, row[8], None))
        photo_sum ^= values[-1]
        put("photo", values)
    for row in old("unread"):
        put("unreadable", _sealed_3("unreadable", row))
    block_sum = 0
    for row in connection.execute("SELECT * FROM old_vectors"):
        number, generation, live, data, written = row
        if _block_2(number, generation, live, data)[-1] != written:
            raise _damaged(folder, f"vectors {number}")
        values = _sealed_3("vectors", row[:-1])
        block_sum ^= values[-1]
        put("vectors", values)
    for row in old("distinct_pair"):
        put("not_duplicate", _sealed_3("not_duplicate", row))
    header = dict(old("header"))
    # The graph and the sample of random pairs are caches, which the next `index` makes anew.
    header |= {"graph": None, "photo_sum": photo_sum, "block_sum": block_sum}
    header |= {"details": 0, "details_sum": 0, "generation": header["generation"] + 1}
    for item in header.items():
        put("header", _sealed_3("header", item))
    for table in tables:
        connection.execute(f"DROP TABLE old_{table}")


def _putting(connection: sqlite3.Connection) -> Callable[[str, tuple[Any, ...]], None]:
    def put(table: str, values: tuple[Any, ...]) -> None:
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)

    return put


def _crc_2(values: tuple[Any, ...]) -> int:
    """Checksum of a row in formats 1 and 2."""
    parts = [v if isinstance(v, bytes) else b"" if v is None else str(v).encode() for v in values]
    return zlib.crc32(b"\0".join(parts))


def _sealed_2(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*values, _crc_2(values))


def _block_2(number: int, generation: int, live: bytes, data: bytes) -> tuple[Any, ...]:
    start = zlib.crc32(live, zlib.crc32(f"{number}\0{generation}\0".encode()))
    return (number, generation, live, data, zlib.crc32(data, start))


def _sealed_3(table: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*values, _crc_2((table, *values)))


def _damaged(folder: Path, what: str) -> IndexDamagedError:
    return IndexDamagedError(
        f"the catalogue in {folder} is damaged ({what}) and of an older format: "
        "delete that folder and index again"
    )


_STEPS = {1: _from_1, 2: _from_2}
