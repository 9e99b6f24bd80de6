"""Stage 4: the catalogue, one SQLite file that is the truth about an index.

It knows every photo and holds its vector. Vectors lie in blocks of ``BLOCK_SLOTS``, so that all of
them can be read at the speed of the disk and still change inside SQLite's transactions: the photo
with id *n* has slot *n* modulo ``BLOCK_SLOTS`` of block *n* div ``BLOCK_SLOTS``. FORMAT.md
describes every table; ``rows`` holds what a row means, ``snapshot`` reads and ``writer`` changes
them.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import (
    IndexBusyError,
    IndexDamagedError,
    IndexMismatchError,
    IndexMissingError,
    UsageError,
    one_line,
)
from ..files import make_folder, publish
from . import rows
from .migrate import migrate
from .reader import Remembered, Snapshot
from .rows import COLUMNS, DamagedRowError
from .schema import APPLICATION_ID, FORMAT, PAGE_SIZE, SCHEMA
from .writer import Writer

CATALOGUE_FILE = "catalogue.sqlite"
LOCK_FILE = "writer.lock"
SUMS = ("photos", "photo_sum", "block_sum", "details_sum")  # that the header keeps of its rows
HOLDER_FILE = "writer.json"
READ_PATIENCE = 30.0  # seconds that a reader waits for another process to finish with the file
READER_CACHE = 256  # KiB of the file that each reader keeps; the system keeps it, too


class Catalogue:
    """The SQLite file of one index folder.

    Readers may be used from several threads (each snapshot has a connection of its own) and beside
    a writer in this or another process. One writer at a time, in one thread: see :meth:`writer`.

    No code of this process may open the catalogue's or the lock's file other than through SQLite:
    closing such a file would drop this process's locks on it (a rule of POSIX).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = str(folder)
        self._idle: deque[_Connection] = deque()  # its pop and append are atomic
        if not (folder / CATALOGUE_FILE).exists():
            raise IndexMissingError(
                f"no index in {folder}: make one with `imgsim-edge index FOLDER`"
            )
        try:
            self._check_format()
        except BaseException:
            self.close()
            raise

    def _check_format(self) -> None:
        with self._reading() as connection:
            made_by = connection.execute("PRAGMA application_id").fetchone()[0]
            if made_by != APPLICATION_ID:
                raise self.damaged("it is not a catalogue of imgsim-edge")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            raise IndexMismatchError(
                f"the index in {self.folder} has format {version}, newer than this version of "
                f"imgsim-edge can read ({FORMAT}): upgrade imgsim-edge"
            )
        if version < FORMAT:
            with self._exclusive(), self._reading() as connection:
                migrate(connection, self.folder)

    @classmethod
    def create(
        cls, folder: Path, encoder_digest: str, model: str, dimension: int, details: int = 0
    ) -> Catalogue:
        """Make an empty index in a folder, which is created where needed.

        It is there whole or not at all, whatever happens meanwhile.

        Raises:
            UsageError: the folder cannot be written.
            IndexBusyError: another process is making one there.
        """
        header = {
            "encoder_digest": encoder_digest,
            "model": model,
            "dimension": dimension,
            "details": details,
            "metric": "cosine",
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **dict.fromkeys(SUMS, 0),
            "generation": 0,
        }
        try:
            make_folder(folder, 0o700)
            with writer_lock(folder):
                if not (folder / CATALOGUE_FILE).exists():
                    fresh = new_file(folder / f"{CATALOGUE_FILE}.new", header)
                    publish(fresh, folder / CATALOGUE_FILE)
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"cannot make an index in {folder}: {one_line(error)}") from error
        return cls(folder)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Read one committed state: nothing that is written meanwhile shows.

        Raises:
            IndexDamagedError: what is read is not what was written.
            IndexBusyError: another process kept the file to itself for too long.
        """
        with self._reading() as connection:
            connection.execute("BEGIN")
            yield Snapshot(connection, connection.remember())

    @contextmanager
    def frozen(self) -> Iterator[Catalogue]:
        """Lend a catalogue that stands still: every snapshot of it is of the same committed state.

        It is for one thread, and nothing can be written through it.
        """
        with self.snapshot() as snapshot:
            yield _Frozen(self, snapshot)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Become the only writer of this index.

        Raises:
            IndexBusyError: another process is.
            IndexDamagedError: what is read is not what was written.
            UsageError: the folder cannot be written, or its disk is full.
        """
        with self._exclusive(), self._reading() as connection:
            # A commit is on the disk when it returns, also when the power fails.
            connection.execute("PRAGMA synchronous = FULL")
            # What was deleted leaves no trace that a salvage could take for a photo.
            connection.execute("PRAGMA secure_delete = ON")
            connection.version = None  # which does not change by its own commits
            yield Writer(connection)

    def bytes(self) -> int:
        """Tell how much the files of the index take."""
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())

    def close(self) -> None:
        """Close every connection that is not in use."""
        while self._idle:
            self._idle.pop().close()

    def damaged(self, what: str) -> IndexDamagedError:
        """Put into words that something is not what was written."""
        return IndexDamagedError(
            f"the catalogue in {self.folder} is damaged ({one_line(what)}): "
            "run `imgsim-edge repair`"
        )

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            with writer_lock(self.folder):
                yield
        except sqlite3.Error as error:
            raise UsageError(
                f"cannot write to the index in {self.folder}: {one_line(error)}"
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[_Connection]:
        """Lend a connection that nobody else has, and give errors their meaning."""
        connection = None
        try:
            if self._idle:
                connection = self._idle.pop()
            else:
                connection = connect(self.folder / CATALOGUE_FILE)
                connection.execute(f"PRAGMA cache_size = -{READER_CACHE}")
            yield connection
        except DamagedRowError as error:
            raise self.damaged(str(error)) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            broken, connection = connection, None
            if broken is not None:
                broken.close()
            if isinstance(error, UnicodeDecodeError):  # SQLite's message quotes what is damaged
                raise self.damaged("its tables cannot be read") from error
            raise self._meaning(error) from error
        finally:
            if connection is not None:
                try:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    self._idle.append(connection)
                except sqlite3.Error:
                    connection.close()

    def _meaning(self, error: sqlite3.DatabaseError) -> Exception:
        if isinstance(error, sqlite3.OperationalError):
            if "locked" in str(error):
                return IndexBusyError(f"the index in {self.folder} is busy: try again")
            if "full" in str(error):
                return UsageError(
                    f"the disk of the index in {self.folder} is full: what was committed is safe; "
                    "make room and run the command again"
                )
            if "no such" not in str(error):
                return UsageError(f"cannot use the index in {self.folder}: {one_line(error)}")
        return self.damaged(str(error))


class _Frozen(Catalogue):
    """One committed state of a catalogue."""

    def __init__(self, whole: Catalogue, held: Snapshot) -> None:
        self.folder, self.place = whole.folder, whole.place
        self._idle = deque()
        self._held = held

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        yield self._held

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        raise RuntimeError("a catalogue that stands still cannot be written")
        yield


class _Connection(sqlite3.Connection):
    """A connection that remembers what its last snapshot asked for."""

    version: int | None = None  # of the state that ``remembered`` is of
    remembered: Remembered

    def remember(self) -> Remembered:
        """Give what is known of the state that the transaction sees, which begins with this."""
        version = self.execute("PRAGMA data_version").fetchone()[0]
        if version != self.version:
            self.version, self.remembered = version, Remembered()
        return self.remembered


def connect(path: Path) -> _Connection:
    """Open an existing SQLite file for reading and writing."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=READ_PATIENCE,
        isolation_level=None,
        check_same_thread=False,  # it is lent to one thread at a time
        factory=_Connection,
    )
    connection.text_factory = _text
    return connection


def new_file(path: Path, header: dict[str, Any]) -> Path:
    """Make a catalogue that holds nothing but a header, in place of whatever is at ``path``."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    # It says which photos there are, and shows in part what is in them: to its owner alone. The
    # files that SQLite puts beside it get the same permissions.
    path.touch(mode=0o600, exist_ok=False)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.executemany(
            f"INSERT INTO header ({', '.join(COLUMNS['header'])}) VALUES (?, ?, ?)",
            (rows.sealed("header", item) for item in header.items()),
        )
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    finally:
        connection.close()  # the last connection copies the log into the file, and syncs it
    return path


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the lock that makes a process the only writer of an index folder.

    It is SQLite's own lock of a file, which every platform has, and which ends with its process.

    Raises:
        IndexBusyError: another process holds it.
    """
    lock = sqlite3.connect(folder / LOCK_FILE, timeout=0, isolation_level=None)
    holder = folder / HOLDER_FILE
    try:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise IndexBusyError(
                f"{_holder(holder)} is writing to the index in {folder}: wait until it is done"
            ) from error
        me = {
            "pid": os.getpid(),
            "host": platform.node(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        with suppress(OSError):  # only for the message above
            holder.write_text(json.dumps(me), encoding="utf-8")
        try:
            yield
        finally:
            with suppress(OSError):
                holder.unlink()
    finally:
        lock.close()


def _holder(path: Path) -> str:
    """Name the process that holds the lock, as far as it is known."""
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']} (since {who['since']})"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"


def _text(raw: bytes) -> str:
    # A damaged text must reach the checksum, which tells that it is damaged.
    return raw.decode("utf-8", "replace")
