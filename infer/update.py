"""Bringing the catalogue up to date with folders of photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from .catalogue import KnownFile, PhotoRow, Writer
from .embed import embed_files
from .encoder import Encoder, Vectors
from .errors import UsageError
from .photo import SUFFIXES
from .scan import ClosedFolder, FoundFile, scan

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Unread:
    """A file or folder that could not be taken in, and why."""

    path: Path
    reason: str


@dataclass
class AddReport:
    """What :meth:`ImageIndex.add` did, counted in photos.

    Attributes:
        added: new ones.
        changed: ones whose file has other bytes than before.
        moved: ones found under another path, their vectors kept.
        removed: ones whose file is gone.
        unchanged: ones that were not looked into, since size and time are as before.
        unread: every file or folder that could not be read in this run.
        away: roots that are not there or empty; their photos are kept.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    unread: list[Unread] = field(default_factory=list)
    away: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class _Part:
    """A root, its folder, and the part of it that a run is about (``""`` for all)."""

    root: int
    top: Path
    below: str


class Update:
    """One run over some folders. Everything it has committed stays, whatever ends it."""

    def __init__(
        self,
        writer: Writer,
        encoder: Callable[[], Encoder],
        progress: Progress | None,
        threads: int | None,
        allow_empty: bool,
    ) -> None:
        self.report = AddReport()
        self._writer = writer
        self._encoder = encoder  # a function, since a run without new photos needs none
        self._allow_empty = allow_empty
        self._progress = progress
        self._threads = threads

    def take(self, path: Path) -> None:
        """Take in what is new or changed below a folder or in a file, and drop what is gone.

        Raises:
            UsageError: it is no part of a folder that is known, and no folder with photos either.
        """
        covering = self._covering(path)
        if path.is_dir():
            self._folder(path, covering)
        elif covering is None:
            kind = "is no folder and in no folder of the index" if path.exists() else "is not there"
            raise UsageError(f"{path} {kind}: give a folder of photos")
        elif covering[1].is_dir() and path != covering[1]:
            self._below(_Part(covering[0], covering[1], path.relative_to(covering[1]).as_posix()))
        else:
            self.report.away.append(covering[1])

    def _below(self, part: _Part) -> None:
        """Take in one file, or drop a file or folder that is gone."""
        known = {
            file.path: file
            for file in self._writer.files_under(part.root)
            if file.path == part.below or _is_below(file.path, part.below)
        }
        found = []
        file = part.top / part.below
        if file.is_file() and file.suffix.lower() in SUFFIXES:
            status = file.stat()
            found.append(FoundFile(part.below, status.st_size, status.st_mtime_ns))
        self._compare(part, known, found, [])

    def _folder(self, folder: Path, covering: tuple[int, Path] | None) -> None:
        top = folder if covering is None else covering[1]
        below = "" if top == folder else folder.relative_to(top).as_posix()
        found, closed = [], []
        for entry in scan(top, below):
            if isinstance(entry, FoundFile):
                found.append(entry)
            else:
                closed.append(entry)
                self.report.unread.append(Unread(top / entry.path, entry.reason))
        if covering is not None:
            self._reconcile(_Part(covering[0], top, below), found, closed)
        elif found or self._allow_empty:
            self._reconcile(_Part(self._new_root(top), top, below), found, closed)
        else:
            reason = f" ({closed[0].reason})" if closed else ""
            raise UsageError(f"no photos in {folder}{reason}")

    def _covering(self, folder: Path) -> tuple[int, Path] | None:
        roots = self._writer.roots().items()
        return next(((n, root) for n, root in roots if folder.is_relative_to(root)), None)

    def _new_root(self, folder: Path) -> int:
        known = self._writer.roots()
        root = self._writer.root_id(folder)
        for child, path in known.items():
            if path.is_relative_to(folder):
                self._writer.adopt(child, root, path.relative_to(folder).as_posix())
        return root

    def _reconcile(self, part: _Part, found: list[FoundFile], closed: list[ClosedFolder]) -> None:
        """Make the catalogue hold what was found in a part of a root."""
        known = {
            file.path: file
            for file in self._writer.files_under(part.root)
            if _is_below(file.path, part.below)
        }
        if not found and known:
            # An empty mount point looks just like this.
            self.report.away.append(part.top / part.below)
            return
        self._compare(part, known, found, closed)

    def _compare(
        self,
        part: _Part,
        known: dict[str, KnownFile],
        found: list[FoundFile],
        closed: list[ClosedFolder],
    ) -> None:
        fresh = []
        for file in found:
            before = known.get(file.path)
            if before and (before.size, before.mtime_ns) == (file.size, file.mtime_ns):
                self.report.unchanged += 1
            else:
                fresh.append(file)
        present = {file.path for file in found}
        gone = [
            file
            for path, file in known.items()
            if path not in present and not any(_is_below(path, c.path) for c in closed)
        ]
        moved = self._take_in(part, fresh, known, {f.digest: f.id for f in gone if f.digest})
        # Only now, so that a photo that was moved never leaves the index in between.
        self._writer.remove([file.id for file in gone])
        self.report.removed += len(gone) - moved

    def _take_in(
        self,
        part: _Part,
        fresh: list[FoundFile],
        known: dict[str, KnownFile],
        movable: dict[bytes, int],
    ) -> int:
        """Read new and changed files, commit them batch by batch, and count the moved ones."""
        if not fresh:
            return 0
        paths = (part.top / file.path for file in fresh)
        embedded = iter(fresh)
        done, came = 0, set()
        for batch in embed_files(paths, self._encoder(), movable, self._threads):
            rows: list[PhotoRow] = []
            vectors: dict[int, Vectors | None] = {}
            for item, file in zip(batch, embedded, strict=False):
                if item.problem:
                    self.report.unread.append(Unread(item.path, item.problem))
                if item.digest is None:
                    # The disk, the network or a permission failed, not the photo: the next run
                    # tries again, and what is known of it until then stays.
                    continue
                before = known.get(file.path)
                number = before.id if before else self._writer.new_id()
                row = PhotoRow(
                    number,
                    part.root,
                    file.path,
                    file.size,
                    file.mtime_ns,
                    item.digest,
                    item.width,
                    item.height,
                    item.problem,
                )
                vectors[number] = item.vector
                if item.is_known:
                    # Moved or renamed: all that decoding would tell is known already.
                    source = movable[item.digest]
                    old = next(self._writer.photos([source]))
                    row = replace(row, width=old.width, height=old.height, problem=old.problem)
                    vectors[number] = None if old.problem else self._writer.vector(source)
                    came.add(source)
                    self.report.moved += 1
                elif before:
                    self.report.changed += 1
                elif not item.problem:
                    self.report.added += 1
                rows.append(row)
            self._writer.store(rows, vectors)
            done += len(batch)
            if self._progress:
                self._progress(done, len(fresh))
        return len(came)


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")
