"""Where photos lie that are embedded: in folders, in storage that fsspec reaches, in archives.

A source is a folder, a photo, an address such as ``s3://bucket/folder`` or a pattern such as
``s3://bucket/*.tar``, a WebDataset archive (``.tar``), or a list of photos (``.csv`` or
``.parquet`` with a column ``path``, ``url`` or ``address``). An archive inside a folder is no
photo: it counts where it is named. Which addresses can be reached depends on the libraries that are
installed, since fsspec finds one for each: https://filesystem-spec.readthedocs.io.
"""

from __future__ import annotations

import csv
import os
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..errors import Problem, UsageError
from ..photos.formats import passed_over_suffixes, readable_suffixes
from ..photos.scan import ClosedFolder, scan

ARCHIVE = ".tar"
LISTS = (".csv", ".parquet")
LIST_COLUMNS = ("path", "url", "address")  # of a list; the first that there is holds the photos
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """The part of an ``os.stat_result`` that storage elsewhere can give too."""

    st_size: int


@dataclass(frozen=True, slots=True)
class Address:
    """A file: a photo, or an archive of photos.

    Attributes:
        source: where it was found: an absolute folder, an address such as ``s3://bucket/folder``,
            or that of an archive.
        path: relative to it, ``/`` between its parts.
        size: in bytes; None where listing it does not tell.
        mtime_ns: time of the last change in nanoseconds since 1970; None likewise.
    """

    source: str
    path: str
    size: int | None = None
    mtime_ns: int | None = None

    @property
    def name(self) -> str:
        """Its name, without the folders above it."""
        return self.path.rpartition("/")[2]

    @property
    def whole(self) -> str:
        """The whole path or address."""
        between = "" if self.source.endswith("/") else "/"
        return f"{self.source}{between}{self.path}"

    @property
    def is_archive(self) -> bool:
        """Whether it is an archive, by its name."""
        return self.path.lower().endswith(ARCHIVE)

    def stat(self) -> Size:
        """Tell its size; 0 where only reading it would tell."""
        if is_remote(self.source):
            return Size(self.size or 0)
        return Size(os.stat(self.whole).st_size)  # noqa: PTH116

    def read_bytes(self) -> bytes:
        """Read all of it.

        Raises:
            OSError: it cannot be read.
        """
        with _opened(self.whole) as file:
            return cast(bytes, file.read())


@dataclass(frozen=True, slots=True)
class Member(Address):
    """A photo in an archive that is being read."""

    content: bytes = b""

    def stat(self) -> Size:
        """Tell its size."""
        return Size(len(self.content))

    def read_bytes(self) -> bytes:
        """Give its bytes."""
        return self.content


@dataclass(frozen=True, slots=True)
class Lost(Address):
    """What could not be read of an archive.

    Attributes:
        reason: why.
    """

    reason: str = ""

    def stat(self) -> Size:
        """Fail with the reason."""
        raise OSError(self.reason)


@dataclass
class Listing:
    """What was found.

    Attributes:
        addresses: photos and archives, each once, in the order of sources and paths.
        whole: sources of which everything was listed: what is not there any more has left them.
        problems: folders that could not be listed.
        passed_over: names of files of a known format that cannot be read here.
    """

    addresses: list[Address] = field(default_factory=list)
    whole: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def is_remote(source: str) -> bool:
    """Tell whether a source is an address and no path of this machine."""
    return "://" in source


def list_sources(sources: Iterable[str]) -> Listing:
    """Find the photos and archives of sources.

    Raises:
        UsageError: a source is not there, cannot be listed, or is none.
    """
    found = Listing()
    for source in sources:
        if source.lower().endswith(LISTS):
            found.addresses += _of_list(source)
        elif is_remote(source):
            _of_storage(source.rstrip("/"), found)
        else:
            _of_disk(source, found)
    unique = {(address.source, address.path): address for address in found.addresses}
    found.addresses = list(unique.values())
    return found


def members(archive: Address) -> Iterator[Address]:
    """Read the photos of an archive one after the other, without unpacking it.

    What is damaged ends it with one :class:`Lost`.
    """
    suffixes = readable_suffixes()
    try:
        with _opened(archive.whole) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                suffix = posixpath.splitext(member.name)[1].lower()
                content = tar.extractfile(member) if suffix in suffixes else None
                if content is not None:
                    changed = int(member.mtime * _NANOSECONDS)
                    yield Member(
                        *(archive.whole, member.name, member.size, changed), content.read()
                    )
    except (tarfile.TarError, OSError, EOFError) as error:
        reason = f"the archive cannot be read to its end ({error})"
        yield Lost(archive.source, archive.path, archive.size, archive.mtime_ns, reason)


def _of_disk(source: str, found: Listing) -> None:
    path = os.path.realpath(source)
    if not Path(path).exists():
        raise UsageError(f"{source} does not exist: give photos or folders of photos")
    if not Path(path).is_dir():
        found.addresses.append(_file(path))
        return
    complete = True
    for folder in scan(Path(path)):
        if isinstance(folder, ClosedFolder):
            found.problems.append(Problem(Path(path) / folder.path, folder.reason))
            complete = False
            continue
        prefix = f"{folder.path}/" if folder.path else ""
        found.passed_over += folder.passed_over
        complete = complete and not folder.doubtful
        found.addresses += [
            Address(path, prefix + name, size, mtime_ns)
            for name, size, mtime_ns in zip(folder.names, folder.sizes, folder.times, strict=True)
        ]
    if complete:
        found.whole.add(path)


def _of_storage(source: str, found: Listing) -> None:
    """List what fsspec finds below an address, or what fits it where it is a pattern."""
    wanted = readable_suffixes()
    if posixpath.splitext(source)[1].lower() in (wanted | {ARCHIVE}) and not _is_pattern(source):
        base, _, name = source.rpartition("/")
        found.addresses.append(Address(base, name))
        return
    storage, path = _storage(source)
    try:
        # An object store answers a whole listing at once, and has sizes and times in it.
        list_files = storage.glob if _is_pattern(path) else storage.find
        files = list_files(path, detail=True)
    except Exception as error:  # each library has errors of its own
        raise UsageError(f"cannot list {source}: {_reason(error)}") from error
    if _is_pattern(source):
        wanted = wanted | {ARCHIVE}
        while _is_pattern(source):
            source, path = source.rpartition("/")[0], path.rpartition("/")[0]
    else:
        found.whole.add(source)
    for name, about in sorted(files.items()):
        suffix = posixpath.splitext(name)[1].lower()
        if suffix in wanted:
            changed = about.get("LastModified") or about.get("mtime") or about.get("created")
            seconds = changed.timestamp() if hasattr(changed, "timestamp") else changed
            mtime_ns = int(seconds * _NANOSECONDS) if isinstance(seconds, (int, float)) else None
            below = name[len(path.rstrip("/")) + 1 :]
            found.addresses.append(Address(source, below, about.get("size"), mtime_ns))
        elif suffix in passed_over_suffixes():
            found.passed_over.append(posixpath.basename(name))


def _is_pattern(address: str) -> bool:
    return any(sign in address for sign in "*?[")


def _of_list(source: str) -> list[Address]:
    """Read the addresses in a list; those without a scheme are relative to its folder."""
    try:
        with _opened(source) as file:
            named = _column(source, file)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the list {source}: {_reason(error)}") from error
    base = source.rpartition("/")[0]
    if not is_remote(source):
        base = os.path.dirname(os.path.realpath(source))  # noqa: PTH120
    listed = [
        name if is_remote(name) or name.startswith("/") else f"{base}/{name}" for name in named
    ]
    local = [name for name in listed if not is_remote(name)]
    top = os.path.commonpath([os.path.dirname(name) for name in local]) if local else ""  # noqa: PTH120
    found = []
    for name in listed:
        if is_remote(name):
            scheme, _, rest = name.partition("://")
            place, _, path = rest.partition("/")
            found.append(Address(f"{scheme}://{place}/", path))
        else:
            found.append(Address(top, os.path.relpath(name, top), *_state(Path(name))))
    return found


def _column(source: str, file: Any) -> list[str]:
    if source.lower().endswith(".parquet"):
        import pyarrow.parquet as pq

        table = pq.ParquetFile(file)
        for column in LIST_COLUMNS:
            if column in table.schema_arrow.names:
                return [str(value) for value in table.read([column])[column].to_pylist() if value]
    else:
        rows = csv.DictReader(line.decode("utf-8", "surrogateescape") for line in file)
        for column in LIST_COLUMNS:
            if column in (rows.fieldnames or ()):
                return [row[column] for row in rows if row[column]]
    raise ValueError(f"it has no column {' or '.join(LIST_COLUMNS)}")


def _file(path: str) -> Address:
    folder, name = os.path.split(path)
    return Address(folder, name, *_state(Path(path)))


def _state(path: Path) -> tuple[int | None, int | None]:
    try:
        status = path.stat()
    except OSError:  # reading it will say why
        return None, None
    return status.st_size, status.st_mtime_ns


def _opened(whole: str) -> Any:
    if not is_remote(whole):
        return open(whole, "rb")  # noqa: PTH123
    storage, path = _storage(whole)
    try:
        return storage.open(path, "rb")
    except OSError:
        raise
    except Exception as error:  # each library has errors of its own
        raise OSError(_reason(error)) from error


def _storage(address: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UsageError(
            f"cannot reach {address}: pip install 'imgsim-edge[parquet]' brings fsspec"
        ) from error
    try:
        storage, path = url_to_fs(address)
    except (ImportError, ValueError) as error:  # a library of its own, or no such kind
        raise UsageError(f"cannot reach {address}: {_reason(error)}") from error
    return storage, str(path)


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
