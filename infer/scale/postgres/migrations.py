"""The tables in PostgreSQL, as numbered steps from nothing to the present ones.

Everything lies in one schema of its own. ``content`` holds what is of a photo's bytes, once for all
copies, ``photo`` where it lies and what its file says, ``meta`` what the index says about itself.
"""

from __future__ import annotations

from typing import Any

from ...errors import IndexMismatchError

SCHEMA = "imgsim_edge"
CONTENT = """
    digest bytea NOT NULL,                 -- BLAKE2b of the file, 16 bytes
    vector bytea NOT NULL,                 -- float32, little-endian, of unit length
    embedding halfvec({dimension}) NOT NULL,  -- the same without the collection's mean
    details bytea NOT NULL                 -- int8; zeros or nothing where there are none
"""
PHOTO = """
    id bigint NOT NULL,                    -- as in the index that was published
    digest bytea NOT NULL,
    path bytea NOT NULL,                   -- whole, as the file system's bytes
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    described boolean NOT NULL,
    taken_ms bigint,
    taken_offset integer,
    taken_source text,
    camera text,
    latitude integer,
    longitude integer,
    payload text
"""
MIGRATIONS = (
    f"""
    CREATE TABLE {SCHEMA}.meta (key text PRIMARY KEY, value bytea NOT NULL);
    CREATE TABLE {SCHEMA}.root (id bigint PRIMARY KEY, path bytea NOT NULL);
    CREATE TABLE {SCHEMA}.content ({CONTENT}, PRIMARY KEY (digest));
    CREATE TABLE {SCHEMA}.photo ({PHOTO}, PRIMARY KEY (id));
    CREATE INDEX photo_digest ON {SCHEMA}.photo (digest);
    CREATE INDEX photo_path ON {SCHEMA}.photo (path);
    CREATE TABLE {SCHEMA}.unreadable (path bytea NOT NULL, reason text NOT NULL);
    """,
)
VERSION = len(MIGRATIONS)


def applied(connection: Any) -> int:
    """Tell how many migrations a database has; 0 where it holds no index."""
    if connection.execute(f"SELECT to_regclass('{SCHEMA}.migration')").fetchone()[0] is None:
        return 0
    return int(
        connection.execute(f"SELECT coalesce(max(number), 0) FROM {SCHEMA}.migration").fetchone()[0]
    )


def migrate(connection: Any, dimension: int, place: str) -> None:
    """Bring a database to the present tables, inside the caller's transaction.

    Raises:
        IndexMismatchError: it has newer ones.
    """
    present = applied(connection)
    check_version(present, place)
    if connection.execute("SELECT to_regnamespace(%s)", (SCHEMA,)).fetchone()[0] is None:
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.migration "
        "(number integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"
    )
    for number, statements in enumerate(MIGRATIONS[present:], start=present + 1):
        connection.execute(statements.replace("{dimension}", str(int(dimension))))
        connection.execute(f"INSERT INTO {SCHEMA}.migration (number) VALUES (%s)", (number,))


def check_version(present: int, place: str) -> None:
    """Refuse tables that are newer than this program.

    Raises:
        IndexMismatchError: they are.
    """
    if present > VERSION:
        raise IndexMismatchError(
            f"the index in {place} has version {present}, newer than this version of imgsim-edge "
            f"can read ({VERSION}): upgrade imgsim-edge"
        )
