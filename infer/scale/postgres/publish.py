"""An index → PostgreSQL, in one transaction: what is new comes, what has left goes.

Contents are known by their digests: what the database has of a content stays as it is, wherever
its photos lie by now. Only another mean of the collection changes all contents, since they are kept
without it; then they are written beside the old ones, with a graph, and take their place.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...arrays import Ids
from ...catalogue.reader import Snapshot
from ...catalogue.rows import BLOCK_SLOTS, PhotoRow
from ...errors import IndexMismatchError
from ...photos.metadata import PhotoMetadata
from ...progress import Progress
from ...search.calibration import means
from ...search.scores import centred
from .database import connect, meanings, no_extension, shown
from .migrations import CONTENT, PHOTO, SCHEMA, migrate

_HNSW = "m = 16, ef_construction = 128"
_GRAPH_BYTES = 700  # of a content while its graph is built: half vector, neighbours, bookkeeping
_LEAST_MEMORY, _MOST_MEMORY = 64 << 20, 8 << 30
_LOCK = 0x494D4745  # the number of the lock that whoever publishes holds
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_COPY_END = struct.pack(">h", -1)
_HEADER = ("encoder_digest", "model", "dimension", "details", "photos")


@dataclass(frozen=True)
class Published:
    """What publishing did.

    Attributes:
        place: address of the database, without a password.
        photos: that can be found there now.
        contents: distinct ones among them.
        written: contents that were sent.
        removed: contents that left.
    """

    place: str
    photos: int
    contents: int
    written: int
    removed: int


def publish(snapshot: Snapshot, address: str, progress: Progress | None = None) -> Published:
    """Bring an index in PostgreSQL to a committed state of a local one.

    Whoever reads there meanwhile sees the state before, and then this one.

    Args:
        snapshot: the state.
        address: of the database.
        progress: called with (photos and contents sent, how many will be).

    Raises:
        UsageError: the database cannot be used: no pgvector, no right to its schema, a full disk.
        IndexMismatchError: it holds an index of another encoder, or of a newer version.
        IndexBusyError: another process is publishing there, or the connection failed.
    """
    place = shown(address)
    with meanings(place):
        connection = connect(address)
        with connection, connection.transaction():
            return _publish(connection, snapshot, place, progress)


def _publish(
    connection: Any, snapshot: Snapshot, place: str, progress: Progress | None
) -> Published:
    run = connection.execute
    if run("SELECT to_regtype('halfvec')").fetchone()[0] is None:
        raise no_extension(place)
    if not run("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchone()[0]:
        from psycopg.errors import LockNotAvailable

        raise LockNotAvailable("another process holds the lock")
    header = snapshot.header()
    migrate(connection, header.dimension, place)
    before = _header_in(connection)
    if before and before["encoder_digest"] != header.encoder_digest:
        raise IndexMismatchError(
            f"the index in {place} is of another encoder ({before['model']}, digest "
            f"{before['encoder_digest'][:8]}…): publish to another database, or drop the schema "
            f"{SCHEMA} there first"
        )
    run(f"CREATE UNLOGGED TABLE {SCHEMA}.incoming ({PHOTO})")
    total = 2 * header.photos
    with connection.cursor().copy(f"COPY {SCHEMA}.incoming FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_TYPES)
        for done, row in enumerate(snapshot.photos(), start=1):
            copy.write_row(_values(row, snapshot))
            if progress and done % 4096 == 0:
                progress(done, total)
    run(f"CREATE INDEX ON {SCHEMA}.incoming (digest); ANALYZE {SCHEMA}.incoming")

    notes = {f"note:{key}": value for key, value in snapshot.notes().items()}
    mean = run(f"SELECT value FROM {SCHEMA}.meta WHERE key = 'note:mean'").fetchone()
    is_whole = not before or (mean and bytes(mean[0])) != notes.get("note:mean")
    target = f"{SCHEMA}.content"
    if is_whole:
        target = f"{SCHEMA}.fresh_content"
        run(f"CREATE TABLE {target} ({CONTENT.format(dimension=header.dimension)})")
    missing = run(
        f"SELECT min(id) FROM {SCHEMA}.incoming i WHERE NOT EXISTS "
        f"(SELECT 1 FROM {target} c WHERE c.digest = i.digest) GROUP BY digest ORDER BY 1"
    ).fetchall()
    written = 0
    with connection.cursor().copy(f"COPY {target} FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_COPY_HEADER)
        ids = np.array([number for (number,) in missing], dtype=np.int64)
        for part, count in _contents(snapshot, ids):
            copy.write(part)
            written += count
            if progress:
                progress(header.photos + written, header.photos + len(ids))
        copy.write(_COPY_END)
    if is_whole:
        _replace_contents(connection, written)
    removed = _replace_photos(connection)
    _write_meta(connection, snapshot, before, notes)
    run(f"DROP TABLE {SCHEMA}.incoming")
    run(f"ANALYZE {SCHEMA}.photo; ANALYZE {SCHEMA}.content")
    contents = run(f"SELECT count(*) FROM {SCHEMA}.content").fetchone()[0]
    return Published(place, header.photos, contents, written, removed)


_TYPES = (
    *("int8", "bytea", "bytea", "int8", "int8", "int4", "int4", "bool", "int8", "int4"),
    *("text", "text", "int4", "int4", "text"),
)


def _values(row: PhotoRow, snapshot: Snapshot) -> tuple[Any, ...]:
    known = row.metadata or PhotoMetadata()
    return (
        *(row.id, row.digest, os.fsencode(snapshot.path(row)), row.size, row.mtime_ns),
        *(row.width, row.height, row.metadata is not None),
        *(known.taken_ms, known.taken_offset, known.taken_source, known.camera),
        *(known.latitude, known.longitude, row.payload),
    )


def _contents(snapshot: Snapshot, ids: Ids) -> Iterator[tuple[bytes, int]]:
    """Lay contents out as PostgreSQL's binary COPY takes them, a block at a time.

    Every row has the same length, so that NumPy lays out all of them at once.
    """
    header = snapshot.header()
    mean = means(snapshot).embedding
    row = np.dtype(
        [
            ("fields", ">i2"),
            *[("digest_length", ">i4"), ("digest", "V16")],
            *[("vector_length", ">i4"), ("vector", "<f4", header.dimension)],
            *[("embedding_length", ">i4"), ("dimension", ">i2"), ("unused", ">i2")],
            ("embedding", ">f2", header.dimension),
            *[("details_length", ">i4"), ("details", "i1", header.details)],
        ]
    )
    numbers = ids // BLOCK_SLOTS
    for number in np.unique(numbers).tolist():
        slots = ids[numbers == number] - number * BLOCK_SLOTS
        found = np.zeros(len(slots), dtype=row)
        for block in snapshot.blocks(first=number, count=1):
            vectors = block.vectors[slots]
            found["vector"] = vectors
            found["embedding"] = centred(vectors, mean)
        for details in snapshot.details_blocks(first=number, count=1) if header.details else ():
            found["details"] = details.codes[slots]
        between = (number * BLOCK_SLOTS, (number + 1) * BLOCK_SLOTS - 1)
        digests = dict(snapshot.photo_column("digest", "id BETWEEN ? AND ?", between))
        held = b"".join(digests[slot + number * BLOCK_SLOTS] for slot in slots.tolist())
        found["digest"] = np.frombuffer(held, "V16")
        found["fields"], found["digest_length"] = 4, 16
        found["vector_length"] = 4 * header.dimension
        found["embedding_length"] = 4 + 2 * header.dimension
        found["dimension"], found["details_length"] = header.dimension, header.details
        yield found.tobytes(), len(found)


def _replace_contents(connection: Any, count: int) -> None:
    """Give the fresh contents keys and a graph, and let them take the old ones' place."""
    run = connection.execute
    memory = min(max(count * _GRAPH_BYTES, _LEAST_MEMORY), _MOST_MEMORY)
    run("SELECT set_config('maintenance_work_mem', %s, true)", (f"{memory >> 10}kB",))
    fresh = f"{SCHEMA}.fresh_content"
    run(f"ALTER TABLE {fresh} ADD CONSTRAINT fresh_content_pkey PRIMARY KEY (digest)")
    run(
        f"CREATE INDEX fresh_content_embedding ON {fresh} "
        f"USING hnsw (embedding halfvec_ip_ops) WITH ({_HNSW})"
    )
    run(f"DROP TABLE {SCHEMA}.content")
    run(f"ALTER TABLE {fresh} RENAME TO content")
    for name in ("pkey", "embedding"):
        run(f"ALTER INDEX {SCHEMA}.fresh_content_{name} RENAME TO content_{name}")


def _replace_photos(connection: Any) -> int:
    """Make the photos those that are incoming; give how many contents nobody needs any more."""
    run = connection.execute
    run(
        f"DELETE FROM {SCHEMA}.photo p WHERE NOT EXISTS "
        f"(SELECT 1 FROM {SCHEMA}.incoming i WHERE i.id = p.id)"
    )
    columns = [line.split()[0] for line in PHOTO.strip().splitlines()]
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    run(
        f"INSERT INTO {SCHEMA}.photo AS p SELECT * FROM {SCHEMA}.incoming ON CONFLICT (id) "
        f"DO UPDATE SET {changes} WHERE p.* IS DISTINCT FROM excluded.*"
    )
    gone = run(
        f"DELETE FROM {SCHEMA}.content c WHERE NOT EXISTS "
        f"(SELECT 1 FROM {SCHEMA}.photo p WHERE p.digest = c.digest)"
    )
    return int(gone.rowcount)


def _write_meta(
    connection: Any, snapshot: Snapshot, before: dict[str, Any], notes: dict[str, bytes]
) -> None:
    run = connection.execute
    header = asdict(snapshot.header())
    told = {key: header[key] for key in _HEADER}
    told["generation"] = before.get("generation", 0) + 1
    for table in ("meta", "root", "unreadable"):
        run(f"DELETE FROM {SCHEMA}.{table}")  # not TRUNCATE, which those who are reading would see
    cursor = connection.cursor()
    cursor.executemany(
        f"INSERT INTO {SCHEMA}.meta VALUES (%s, %s)",
        [("header", json.dumps(told).encode()), *notes.items()],
    )
    cursor.executemany(
        f"INSERT INTO {SCHEMA}.root VALUES (%s, %s)",
        [(root.id, os.fsencode(root.path)) for root in snapshot.roots().values()],
    )
    cursor.executemany(
        f"INSERT INTO {SCHEMA}.unreadable VALUES (%s, %s)",
        [(os.fsencode(snapshot.path(row)), row.reason) for row in snapshot.unreadable()],
    )


def _header_in(connection: Any) -> dict[str, Any]:
    found = connection.execute(f"SELECT value FROM {SCHEMA}.meta WHERE key = 'header'").fetchone()
    told: dict[str, Any] = json.loads(bytes(found[0])) if found else {}
    return told
