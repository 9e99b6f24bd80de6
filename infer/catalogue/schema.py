"""The tables of the catalogue, and the way from older formats to the present one."""

from __future__ import annotations

import os
import sqlite3
import zlib
from pathlib import Path

import numpy as np

from ..errors import IndexDamagedError, IndexMismatchError
from . import rows
from .rows import BLOCK_SLOTS, FolderRow, PhotoRow, RootRow, UnreadRow

FORMAT = 2  # of the tables below; kept in SQLite's user_version
PAGE_SIZE = 4096  # bytes; a salvage relies on it where the file's own header is damaged
APPLICATION_ID = 0x494D4745  # "IMGE", kept in SQLite's application_id

SCHEMA = (
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
    for statement in SCHEMA:
        connection.execute(statement)

    def put(table: str, values: tuple[object, ...]) -> None:
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)

    header = dict(connection.execute("SELECT key, value FROM old_header"))
    for number, path in connection.execute("SELECT id, path FROM old_root"):
        put("root", rows.root_values(RootRow(number, Path(os.fsdecode(path)), ())))
    sums, blocks = 0, 0
    for number, live, data, written in connection.execute("SELECT * FROM old_vectors").fetchall():
        # Format 1's checksum is this one's with nothing between number and content.
        start = zlib.crc32(live, zlib.crc32(str(number).encode()))
        if zlib.crc32(data, start) != written:
            raise _damaged(folder, f"vectors {number}")
        bits = np.unpackbits(np.frombuffer(live, np.uint8)).astype(bool)
        vectors = np.frombuffer(data, "<f4").reshape(BLOCK_SLOTS, header["dimension"])
        values = rows.block_values(number, header["generation"], bits, vectors)
        blocks ^= values[-1]
        put("vectors", values)
    folders: dict[tuple[int, bytes], int] = {}
    photos = 0
    for row in connection.execute("SELECT * FROM old_photo ORDER BY id").fetchall():
        number, root, path, size, mtime_ns, digest, width, height, problem, _ = row
        if not rows.is_intact(row):
            raise _damaged(folder, f"photo {number}")
        parent, _, name = path.rpartition(b"/")
        if (root, parent) not in folders:
            folders[root, parent] = len(folders) + 1
            known = FolderRow(len(folders), root, os.fsdecode(parent), False, None)
            put("folder", rows.folder_values(known))
        place = (number, folders[root, parent], os.fsdecode(name), size, mtime_ns, digest or b"")
        if problem is None:
            block, slot = divmod(number, BLOCK_SLOTS)
            query = "SELECT data FROM vectors WHERE block = ?"
            data = connection.execute(query, (block,)).fetchone()[0]
            length = 4 * header["dimension"]
            vector = zlib.crc32(data[slot * length : (slot + 1) * length])
            values = rows.file_values(PhotoRow(*place, width, height, vector))
            sums ^= values[-1]
            photos += 1
            put("photo", values)
        else:
            put("unread", rows.file_values(UnreadRow(*place, problem)))
    kept = ("encoder_digest", "model", "dimension", "metric", "created", "generation")
    for key in kept:
        put("header", rows.sealed((key, header[key])))
    for key, value in (("photos", photos), ("photo_sum", sums), ("block_sum", blocks)):
        put("header", rows.sealed((key, value)))
    if "distinct_pair" in tables:  # which the first catalogues of format 1 did not have
        for pair in connection.execute("SELECT lower, higher FROM old_distinct_pair"):
            put("distinct_pair", rows.sealed(pair))
    for table in tables:
        connection.execute(f"DROP TABLE old_{table}")


def _damaged(folder: Path, what: str) -> IndexDamagedError:
    return IndexDamagedError(
        f"the catalogue in {folder} is damaged ({what}) and of an older format: "
        "delete that folder and index again"
    )


_STEPS = {1: _from_1}
