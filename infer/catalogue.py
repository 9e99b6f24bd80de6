"""Stage 4: the catalogue, one SQLite file that is the truth about an index.

It knows every photo and holds its vector. Vectors lie in blocks of ``BLOCK_SLOTS``, so that all of
them can be read at the speed of the disk and still change inside SQLite's transactions: the photo
with id *n* has slot *n* modulo ``BLOCK_SLOTS`` of block *n* div ``BLOCK_SLOTS``. Every row and
every block carries a CRC-32, since SQLite does not notice a flipped bit by itself.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .encoder import Vectors
from .errors import (
    IndexBusyError,
    IndexDamagedError,
    IndexMismatchError,
    IndexMissingError,
    UsageError,
)

FORMAT = 1  # of the tables below; kept in SQLite's user_version
APPLICATION_ID = 0x494D4745  # "IMGE", kept in SQLite's application_id
BLOCK_SLOTS = 256  # vectors in one block: 64 KiB at 64 dimensions
CATALOGUE_FILE = "catalogue.sqlite"
LOCK_FILE = "writer.lock"
READ_PATIENCE = 30.0  # seconds that a reader waits for a commit in progress

_SCHEMA = """
CREATE TABLE header (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE root (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);
CREATE TABLE photo (
    id INTEGER PRIMARY KEY,
    root INTEGER NOT NULL REFERENCES root (id),
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    digest BLOB,
    width INTEGER,
    height INTEGER,
    problem TEXT,
    checksum INTEGER NOT NULL,
    UNIQUE (root, path)
);
CREATE TABLE vectors (
    block INTEGER PRIMARY KEY,
    live BLOB NOT NULL,
    data BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE distinct_pair (
    lower BLOB NOT NULL,
    higher BLOB NOT NULL,
    PRIMARY KEY (lower, higher)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Header:
    """What an index says about itself.

    Attributes:
        encoder_digest: of the encoder that made every vector in it.
        model: the name or path under which that encoder was given.
        dimension: length of a vector.
        generation: counts the commits that changed a vector.
    """

    encoder_digest: str
    model: str
    dimension: int
    generation: int


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """One photo as the catalogue knows it.

    Attributes:
        id: its slot among the vectors.
        root: id of the root folder that it lies under.
        path: relative to that root, ``/`` between its parts.
        size: of the file in bytes.
        mtime_ns: of the file, in nanoseconds since 1970.
        digest: BLAKE2b (128 bits) of the file's bytes; None where they could not be read.
        width: of the upright photo in pixels; None where it could not be decoded.
        height: likewise.
        problem: why the file could not be read as a photo; None where it was indexed.
    """

    id: int
    root: int
    path: str
    size: int
    mtime_ns: int
    digest: bytes | None = None
    width: int | None = None
    height: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class KnownFile:
    """The part of a :class:`PhotoRow` that tells whether a file has changed."""

    id: int
    path: str
    size: int
    mtime_ns: int
    digest: bytes | None


@dataclass(frozen=True)
class Block:
    """A run of stored vectors.

    Attributes:
        first: id of the photo in its first slot.
        live: bool, shape = (slots,): which slots hold a photo.
        vectors: float32, shape = (slots, dimension).
    """

    first: int
    live: NDArray[np.bool_]
    vectors: Vectors


class Catalogue:
    """The SQLite file of one index folder.

    Readers may be used from several threads (each snapshot has a connection of its own) and beside
    a writer in this or another process. One writer at a time, in one thread: see :meth:`writer`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._idle: deque[sqlite3.Connection] = deque()  # its pop and append are atomic
        path = folder / CATALOGUE_FILE
        if not path.is_file():
            raise IndexMissingError(
                f"no index in {folder}: make one with `imgsim-edge index FOLDER`"
            )
        with self._reading() as connection:
            made_by = connection.execute("PRAGMA application_id").fetchone()[0]
            if made_by != APPLICATION_ID:
                raise _damaged(folder, "it is not a catalogue of imgsim-edge")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            raise IndexMismatchError(
                f"the index in {folder} has format {version}, newer than this version of "
                f"imgsim-edge can read ({FORMAT}): upgrade imgsim-edge"
            )

    @classmethod
    def create(cls, folder: Path, encoder_digest: str, model: str, dimension: int) -> Catalogue:
        """Make an empty index in a folder, which is created where needed.

        Raises:
            UsageError: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(folder / CATALOGUE_FILE, isolation_level=None)
        except (OSError, sqlite3.OperationalError) as error:
            raise UsageError(f"cannot make an index in {folder}: {error}") from error
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute("PRAGMA application_id").fetchone()[0]:
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                header = {
                    "encoder_digest": encoder_digest,
                    "model": model,
                    "dimension": dimension,
                    "metric": "cosine",
                    "generation": 0,
                    "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                }
                connection.executemany("INSERT INTO header VALUES (?, ?)", header.items())
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise UsageError(f"cannot make an index in {folder}: {error}") from error
        finally:
            connection.close()
        return cls(folder)

    # --- reading ---------------------------------------------------------------------------------

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Read one committed state: nothing that is written meanwhile shows."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                yield Snapshot(connection, self.folder)
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that nobody else has, and give SQLite's errors their meaning."""
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = sqlite3.connect(
                    f"{(self.folder / CATALOGUE_FILE).absolute().as_uri()}?mode=rw",
                    uri=True,
                    timeout=READ_PATIENCE,
                    isolation_level=None,
                    check_same_thread=False,  # it is lent to one thread at a time
                )
            yield connection
        except sqlite3.DatabaseError as error:
            connection.close()
            raise self._meaning(error) from error
        else:
            self._idle.append(connection)

    def _meaning(self, error: sqlite3.DatabaseError) -> Exception:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return IndexBusyError(f"the index in {self.folder} is busy: try again")
        if isinstance(error, sqlite3.OperationalError):
            return UsageError(f"cannot use the index in {self.folder}: {error}")
        return _damaged(self.folder, str(error))

    def close(self) -> None:
        """Close every connection that is not in use."""
        while self._idle:
            self._idle.pop().close()

    # --- writing ---------------------------------------------------------------------------------

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Become the only writer of this index.

        Raises:
            IndexBusyError: another process is.
        """
        lock = sqlite3.connect(self.folder / LOCK_FILE, timeout=0, isolation_level=None)
        try:
            try:
                # SQLite's own file lock: it exists on every platform and dies with its process.
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    raise IndexBusyError(
                        f"another process is writing to the index in {self.folder}: "
                        "wait until it is done"
                    ) from error
                raise UsageError(f"cannot write to the index in {self.folder}: {error}") from error
            with self._reading() as connection:
                # A commit is on the disk when it returns, also when the power fails.
                connection.execute("PRAGMA synchronous = FULL")
                yield Writer(connection, self.folder)
        finally:
            lock.close()


class Snapshot:
    """One committed state of a catalogue, for as long as its transaction lasts."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder

    def header(self) -> Header:
        """Read what the index says about itself."""
        values = dict(self._connection.execute("SELECT key, value FROM header"))
        try:
            return Header(
                values["encoder_digest"],
                values["model"],
                values["dimension"],
                values["generation"],
            )
        except KeyError as error:
            raise _damaged(self._folder, f"no {error} in its header") from error

    def settings(self, prefix: str) -> dict[str, str | int | float]:
        """Read the header's entries whose key starts with ``prefix``."""
        return dict(
            self._connection.execute(
                "SELECT key, value FROM header WHERE key GLOB ?", (f"{prefix}*",)
            )
        )

    def roots(self) -> dict[int, Path]:
        """Read the root folders by id."""
        return {
            number: Path(os.fsdecode(path))
            for number, path in self._connection.execute("SELECT id, path FROM root")
        }

    def counts(self) -> tuple[int, int]:
        """Count the indexed and the unreadable photos."""
        row = self._connection.execute("SELECT COUNT(*), COUNT(problem) FROM photo").fetchone()
        return row[0] - row[1], row[1]

    def photos(self, ids: Iterable[int] | None = None) -> Iterator[PhotoRow]:
        """Read photos, all of them or those with the given ids, in the order asked for.

        Ids that are not in the catalogue are passed over.

        Raises:
            IndexDamagedError: a row is not what was written.
        """
        query = (
            "SELECT id, root, path, size, mtime_ns, digest, width, height, problem, checksum "
            "FROM photo"
        )
        if ids is None:
            cursor: Iterable[tuple[object, ...]] = self._connection.execute(f"{query} ORDER BY id")
        else:
            one = f"{query} WHERE id = ?"
            cursor = (row for n in ids for row in self._connection.execute(one, (n,)))
        for row in cursor:
            if row[-1] != _row_checksum(row[:-1]):
                raise _damaged(self._folder, f"photo {row[0]}")
            number, root, path, *rest = row[:-1]
            yield PhotoRow(number, root, os.fsdecode(path), *rest)  # type: ignore[arg-type]

    def files_under(self, root: int) -> Iterator[KnownFile]:
        """Read what a scan compares with, for every photo of a root, unchecked and fast."""
        query = "SELECT id, path, size, mtime_ns, digest FROM photo WHERE root = ?"
        for number, path, *rest in self._connection.execute(query, (root,)):
            yield KnownFile(number, os.fsdecode(path), *rest)

    def distinct_pairs(self) -> set[tuple[bytes, bytes]]:
        """Read the pairs of content digests, the lower first, that someone said are no copies."""
        return set(self._connection.execute("SELECT lower, higher FROM distinct_pair"))

    def find(self, path: Path) -> PhotoRow | None:
        """Look up the photo with an absolute path."""
        for number, root in self.roots().items():
            if path.is_relative_to(root):
                relative = os.fsencode(path.relative_to(root).as_posix())
                row = self._connection.execute(
                    "SELECT id FROM photo WHERE root = ? AND path = ?", (number, relative)
                ).fetchone()
                if row:
                    return next(self.photos(row))
        return None

    def blocks(self) -> Iterator[Block]:
        """Read all vectors in order.

        Raises:
            IndexDamagedError: a block is not what was written.
        """
        dimension = self.header().dimension
        for row in self._connection.execute("SELECT * FROM vectors ORDER BY block"):
            yield _block(row, dimension, self._folder)

    def vector(self, photo: int) -> Vectors:
        """Read one photo's vector, float32, shape = (dimension,)."""
        number, slot = divmod(photo, BLOCK_SLOTS)
        row = self._connection.execute(
            "SELECT * FROM vectors WHERE block = ?", (number,)
        ).fetchone()
        block = _block(row, self.header().dimension, self._folder) if row else None
        if block is None or not block.live[slot]:
            raise _damaged(self._folder, f"no vector for photo {photo}")
        vector: Vectors = block.vectors[slot]
        return vector


class Writer(Snapshot):
    """The one writer of a catalogue. Each method is one transaction, on disk when it returns."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        super().__init__(connection, folder)
        used = np.fromiter((row[0] for row in connection.execute("SELECT id FROM photo")), np.int64)
        self._next = int(used.max()) + 1 if used.size else 0
        gaps = np.ones(self._next, dtype=bool)
        gaps[used] = False
        self._free: list[int] = np.flatnonzero(gaps)[::-1].tolist()

    def new_id(self) -> int:
        """Take an id for a photo that is about to be stored, reusing those of deleted ones."""
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def root_id(self, path: Path) -> int:
        """Find or add a root folder."""
        encoded = os.fsencode(path)
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO root (path) VALUES (?)", (encoded,))
            query = "SELECT id FROM root WHERE path = ?"
            return int(connection.execute(query, (encoded,)).fetchone()[0])

    def store(self, rows: Iterable[PhotoRow], vectors: dict[int, Vectors | None]) -> None:
        """Insert or replace photos, and the vectors of those whose id is in ``vectors``.

        A photo that has become unreadable loses its vector by a None in ``vectors``.
        """
        with self._transaction() as connection:
            for row in rows:
                values = _values(row)
                connection.execute(
                    "REPLACE INTO photo VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*values, _row_checksum(values)),
                )
            self._write_slots(vectors, connection)

    def adopt(self, child: int, root: int, prefix: str) -> None:
        """Give all photos of one root to another that contains it."""
        ids = [file.id for file in self.files_under(child)]
        rows = [replace(row, root=root, path=f"{prefix}/{row.path}") for row in self.photos(ids)]
        self.store(rows, {})
        with self._transaction() as connection:
            connection.execute("DELETE FROM root WHERE id = ?", (child,))

    def remove(self, ids: Sequence[int]) -> None:
        """Forget photos and their vectors."""
        if not ids:
            return
        with self._transaction() as connection:
            connection.executemany("DELETE FROM photo WHERE id = ?", ((n,) for n in ids))
            self._write_slots(dict.fromkeys(ids), connection)
        self._free.extend(ids)

    def add_distinct(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember pairs of content digests, the lower first, that are no copies."""
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO distinct_pair VALUES (?, ?)", pairs)

    def remove_distinct(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Forget such pairs."""
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM distinct_pair WHERE lower = ? AND higher = ?", pairs
            )

    def set(self, values: dict[str, str | int | float]) -> None:
        """Write entries of the header."""
        with self._transaction() as connection:
            connection.executemany("REPLACE INTO header VALUES (?, ?)", values.items())

    def _write_slots(
        self, slots: dict[int, Vectors | None], connection: sqlite3.Connection
    ) -> None:
        if not slots:
            return
        dimension = self.header().dimension
        by_block: dict[int, list[int]] = {}
        for photo in slots:
            by_block.setdefault(photo // BLOCK_SLOTS, []).append(photo)
        for number, photos in sorted(by_block.items()):
            row = connection.execute("SELECT * FROM vectors WHERE block = ?", (number,)).fetchone()
            if row:
                old = _block(row, dimension, self._folder)
                live, data = old.live.copy(), old.vectors.copy()
            else:
                live = np.zeros(BLOCK_SLOTS, dtype=bool)
                data = np.zeros((BLOCK_SLOTS, dimension), dtype="<f4")
            first = number * BLOCK_SLOTS
            for photo in photos:
                vector = slots[photo]
                live[photo - first] = vector is not None
                data[photo - first] = 0.0 if vector is None else vector
            packed, content = np.packbits(live).tobytes(), data.tobytes()
            connection.execute(
                "REPLACE INTO vectors VALUES (?, ?, ?, ?)",
                (number, packed, content, _block_checksum(number, packed, content)),
            )
        connection.execute("UPDATE header SET value = value + 1 WHERE key = 'generation'")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _damaged(folder: Path, what: str) -> IndexDamagedError:
    return IndexDamagedError(
        f"the catalogue in {folder} is damaged ({what}): delete that folder and index again"
    )


def _values(row: PhotoRow) -> tuple[object, ...]:
    return (
        row.id,
        row.root,
        os.fsencode(row.path),
        row.size,
        row.mtime_ns,
        row.digest,
        row.width,
        row.height,
        row.problem,
    )


def _row_checksum(values: tuple[object, ...]) -> int:
    """CRC-32 of a row's values: numbers in decimal, NULL as nothing, a zero byte between them."""
    parts = [
        value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
        for value in values
    ]
    return zlib.crc32(b"\0".join(parts))


def _block_checksum(number: int, live: bytes, data: bytes) -> int:
    """CRC-32 of a block's number (decimal), its live bits and its vectors, one after the other."""
    return zlib.crc32(data, zlib.crc32(live, zlib.crc32(str(number).encode())))


def _block(row: tuple[int, bytes, bytes, int], dimension: int, folder: Path) -> Block:
    number, live, data, checksum = row
    whole = len(live) * 8 == BLOCK_SLOTS and len(data) == BLOCK_SLOTS * dimension * 4
    if not whole or checksum != _block_checksum(number, live, data):
        raise _damaged(folder, f"vectors, block {number}")
    return Block(
        first=number * BLOCK_SLOTS,
        live=np.unpackbits(np.frombuffer(live, np.uint8)).astype(bool),
        vectors=np.frombuffer(data, dtype="<f4").reshape(BLOCK_SLOTS, dimension),
    )
