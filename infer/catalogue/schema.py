"""The tables of the catalogue as they are now. FORMAT.md says what they hold."""

from __future__ import annotations

FORMAT = 3  # of the tables below; kept in SQLite's user_version
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
