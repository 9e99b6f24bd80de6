"""Connections to PostgreSQL, and what its errors mean."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ...catalogue.database import Catalogue
from ...catalogue.rows import DamagedRowError
from ...errors import (
    ImgsimError,
    IndexBusyError,
    IndexDamagedError,
    IndexMismatchError,
    IndexMissingError,
    UsageError,
)
from .migrations import SCHEMA, VERSION, applied, check_version
from .reader import PostgresSnapshot

_CONNECT_PATIENCE = 10  # seconds
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresCatalogue(Catalogue):
    """An index in PostgreSQL, which can be read like one in a folder.

    Readers may be used from several threads; each snapshot has a connection of its own.

    Args:
        address: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, as libpq takes it.

    Raises:
        IndexMissingError: there is no index in that database.
        IndexMismatchError: its tables are newer than this program, or older.
        UsageError: psycopg is not installed, or the database cannot be reached.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.place = shown(address)
        self.folder = Path(self.place)
        self._waiting: deque[Any] = deque()  # its pop and append are atomic
        with self._borrowed() as connection:
            present = applied(connection)
            check_version(present, self.place)
            if present == 0 or not connection.execute(f"SELECT 1 FROM {SCHEMA}.meta").fetchone():
                raise self._missing()
            if present < VERSION:
                raise IndexMismatchError(
                    f"the index in {self.place} has the older version {present}: publish it again"
                )

    @contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        """Read one committed state: nothing that is published meanwhile shows.

        Raises:
            IndexBusyError: the connection was lost, or the database stopped the query.
            IndexMissingError: the index is gone.
        """
        # Locked before anything is read: a table that takes this one's place would look empty.
        with self._borrowed(f"LOCK TABLE {SCHEMA}.content IN ACCESS SHARE MODE") as connection:
            try:
                yield PostgresSnapshot(connection)
            except DamagedRowError as error:
                raise IndexDamagedError(
                    f"the index in {self.place} is damaged ({error}): publish it again"
                ) from error

    def writer(self) -> NoReturn:
        """Refuse: such an index changes by being published."""
        raise UsageError(
            f"the index in {self.place} is a published one and cannot be changed: change the one "
            "that it was published from, and `imgsim-edge publish` that again"
        )

    def bytes(self) -> int:
        """Tell how much the tables take, with all that belongs to them."""
        query = (
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'"
        )
        with self._borrowed() as connection:
            return int(connection.execute(query, (SCHEMA,)).fetchone()[0])

    def close(self) -> None:
        """Close every connection that is not in use."""
        while self._waiting:
            self._waiting.pop().close()

    @contextmanager
    def _borrowed(self, first: str = "") -> Iterator[Any]:
        """Lend a connection that nobody else has, in a transaction that only reads.

        Args:
            first: a statement to begin with, sent along with the beginning.
        """
        with meanings(self.place):
            connection = self._begun(f"{_BEGIN}; {first}")
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            connection.execute("ROLLBACK")
            self._waiting.append(connection)

    def _begun(self, begin: str) -> Any:
        while self._waiting:
            import psycopg  # here, so that connecting says if it is missing

            connection = self._waiting.pop()
            try:
                connection.execute(begin)
            except psycopg.OperationalError:
                # It waited while its server went away, or this is a lock that cannot be had.
                was_lost = connection.closed
                connection.close()
                if not was_lost:
                    raise
            else:
                return connection
        connection = connect(self.address)
        connection.autocommit = True  # transactions are begun and ended here, in as few messages
        connection.execute(begin)
        return connection

    def _missing(self) -> IndexMissingError:
        return IndexMissingError(
            f"no index in {self.place}: publish one with `imgsim-edge publish --to {self.place}`"
        )


def connect(address: str) -> Any:
    """Connect to a database.

    Raises:
        UsageError: psycopg is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise UsageError("PostgreSQL needs psycopg: pip install 'imgsim-edge[postgres]'") from error
    return psycopg.connect(
        address, connect_timeout=_CONNECT_PATIENCE, application_name="imgsim-edge"
    )


@contextmanager
def meanings(place: str) -> Iterator[None]:
    """Give the errors of PostgreSQL a meaning, in one line each."""
    try:
        import psycopg
    except ImportError:
        yield  # connecting says what is missing
        return
    try:
        yield
    except ImgsimError:
        raise
    except psycopg.Error as error:
        raise _meaning(error, place) from error


def _meaning(error: Any, place: str) -> ImgsimError:
    from psycopg import errors

    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, errors.QueryCanceled):
        return IndexBusyError(
            f"{place} stopped the work ({reason}): raise its statement_timeout, or ask again later"
        )
    if isinstance(error, (errors.UndefinedTable, errors.InvalidSchemaName)):
        return IndexMissingError(
            f"the index in {place} is gone or being published anew ({reason}): try again"
        )
    if isinstance(error, errors.UndefinedObject) and "halfvec" in reason:
        return no_extension(place)
    if isinstance(error, errors.InsufficientPrivilege):
        return UsageError(
            f"{place}: {reason}: have its administrator run `CREATE SCHEMA {SCHEMA} AUTHORIZATION "
            "…` for this user"
        )
    if isinstance(error, errors.DiskFull):
        return UsageError(f"the disk of {place} is full: nothing was changed; make room")
    if isinstance(error, errors.LockNotAvailable):
        return IndexBusyError(f"another process is publishing to {place}: wait until it is done")
    if isinstance(error, (errors.OperationalError, errors.InterfaceError)):
        return IndexBusyError(f"the connection to {place} failed ({reason}): try again")
    return UsageError(f"{place}: {reason}")


def no_extension(place: str) -> UsageError:
    """Say that pgvector is missing."""
    return UsageError(
        f"{place} has no pgvector 0.7 or newer: have its administrator install it and run "
        "`CREATE EXTENSION vector`"
    )


def shown(address: str) -> str:
    """Write an address without its password."""
    scheme, _, rest = address.partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{place.partition('?')[0]}"
