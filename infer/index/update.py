"""Bringing the catalogue up to date with folders of photos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..catalogue.rows import NO_FOLDER, FolderRow, PhotoRow, RootRow, UnreadableRow
from ..catalogue.writer import Batch, Writer
from ..encoder.onnx_encoder import Encoder
from ..errors import Problem, UsageError
from ..photos.formats import passed_over_suffixes
from ..photos.scan import ClosedFolder, FoundFolder, find_file, scan
from ..progress import Progress
from .report import AddReport

if TYPE_CHECKING:
    from ..encoder.embed import EmbeddedFile


@dataclass
class _Folder:
    """A folder that is not as the catalogue knows it.

    Attributes:
        root: that it lies under.
        row: of the folder.
        fresh: names of files to look into.
        listing: digest of what was found in it; None where not all of that is known for certain.
    """

    root: RootRow
    row: FolderRow
    fresh: list[str]
    listing: bytes | None


class Update:
    """One run over some folders. Everything it has committed stays, whatever ends it.

    Args:
        writer: of the catalogue.
        encoder: gives the encoder; a function, since a run without new photos needs none.
        progress: called with (files done, files to do) after every batch.
        threads: how many photos are worked on at once; one for each core where None.
        allow_empty: a new folder may be without photos yet.
        retry: also try files again that failed before and have not changed.
    """

    def __init__(
        self,
        writer: Writer,
        encoder: Callable[[], Encoder],
        progress: Progress | None = None,
        threads: int | None = None,
        *,
        allow_empty: bool = False,
        retry: bool = False,
    ) -> None:
        self.report = AddReport()
        self._writer = writer
        self._encoder = encoder
        self._progress = progress
        self._threads = threads
        self._allow_empty = allow_empty
        self._retry = retry
        self._changed: dict[int, _Folder] = {}
        self._gone: dict[int, PhotoRow] = {}
        self._gone_unreadable: list[UnreadableRow] = []
        self._looked_at: dict[int, tuple[RootRow, int | None]] = {}

    def run(self, paths: Iterable[Path], exclude: Sequence[str] | None) -> None:
        """Take in what is new or changed at and below paths, and drop what is gone.

        Args:
            paths: absolute, without symbolic links; folders, and files inside folders of the index.
            exclude: patterns to remember for the roots of these paths; those that are remembered
                count where None.

        Raises:
            UsageError: a path is no part of a folder that is known, and no folder with photos.
        """
        for path in paths:
            self._bring_up_to_date(path, exclude)
        self._take_in()
        self._describe()
        self._drop()

    # --- looking ---------------------------------------------------------------------------------

    def _bring_up_to_date(self, path: Path, exclude: Sequence[str] | None) -> None:
        placed = self._writer.place(path)
        if placed is None:
            self._index_new_root(path, exclude or ())
            return
        root, below = placed
        if exclude is not None:
            root = self._writer.set_exclude(root, exclude)
        if not root.path.is_dir():
            self._away(root.path)
        elif below and not path.is_dir():
            self._index_one(root, below)
        else:
            self._reconcile(root, below, scan(root.path, below, root.exclude))

    def _index_new_root(self, path: Path, exclude: Sequence[str]) -> None:
        if not path.is_dir():
            what = "is a file in no folder of the index" if path.exists() else "is not there"
            raise UsageError(f"{path} {what}: give a folder of photos")
        found = list(scan(path, "", exclude))
        full = any(isinstance(entry, FoundFolder) and entry.names for entry in found)
        if not full and not self._allow_empty:
            closed = [entry for entry in found if isinstance(entry, ClosedFolder)]
            reason = f" ({closed[0].reason})" if closed else ""
            for entry in found:
                if isinstance(entry, FoundFolder):
                    self.report.see(entry.passed_over, entry.names)
            if self.report.seen:
                seen = ", ".join(map(str, self.report.passed_over))
                raise UsageError(f"no photos in {path} that can be read here: {seen}{reason}")
            raise UsageError(f"no photos in {path}{reason}")
        root = self._writer.add_root(path, exclude)
        self._reconcile(root, "", iter(found))

    def _index_one(self, root: RootRow, path: str) -> None:
        """Look at one file, or at what was a folder and is no longer."""
        self._looked_at[root.id] = root, _device(root.path)
        known = self._writer.below(root.path / path)
        if known:
            self._forget_folders(known)
            return
        parent, _, name = path.rpartition("/")
        number = self._writer.folder_id(root.id, parent)
        before = None if number is None else self._writer.photo_named(number, name)
        failed = None if number is None else self._writer.unreadable_named(number, name)
        try:
            file = find_file(root.path, path, root.exclude)
        except OSError as error:
            self.report.problems.append(Problem(root.path / path, error.strerror or str(error)))
            return
        is_foreign = name[name.rfind(".") :].lower() in passed_over_suffixes()
        if file is None and is_foreign and os.path.lexists(root.path / path):
            self.report.see([name], [])
            return
        if file is None:
            self._gone.update({before.id: before} if before else {})
            self._gone_unreadable += [failed] if failed else []
        elif before and (before.size, before.mtime_ns) == (file.size, file.mtime_ns):
            self.report.unchanged += 1
        elif number is None:
            row = self._writer.add_folders(root.id, {parent: False})[parent]
            self._note(_Folder(root, row, [name], None))
        else:
            (row,) = (row for row in self._writer.folders(root.id) if row.id == number)
            self._note(_Folder(root, row, [name], None))

    def _reconcile(
        self, root: RootRow, below: str, found: Iterator[FoundFolder | ClosedFolder]
    ) -> None:
        """Find out what differs between a part of a root and the catalogue."""
        device = _device(root.path)
        known = {row.path: row for row in self._writer.folders(root.id) if _is_in(row.path, below)}
        closed: list[str] = []
        seen: set[str] = set()
        changed, unchanged, unreadable = [], 0, False
        for entry in found:
            if isinstance(entry, ClosedFolder):
                closed.append(entry.path)
                self.report.problems.append(Problem(root.path / entry.path, entry.reason))
                continue
            self.report.see(entry.passed_over, entry.names)
            unreadable = unreadable or bool(entry.passed_over)
            row = known.get(entry.path)
            if row is None and not entry.names and not entry.is_mount:
                continue
            seen.add(entry.path)
            if (
                row is not None
                and row.listing == entry.listing()
                and row.is_mount == entry.is_mount
                and not self._retry
            ):
                unchanged += len(entry.names)
            else:
                changed.append(entry)
        empty = not unchanged and not unreadable and not any(entry.names for entry in changed)
        if known and not below and empty:
            # An empty mount point looks just like this.
            self._away(root.path)
            return
        self._looked_at[root.id] = root, device
        self.report.unchanged += unchanged
        fresh = {entry.path: entry.is_mount for entry in changed if entry.path not in known}
        known.update(self._writer.add_folders(root.id, fresh))
        for entry in changed:
            self._compare(root, known[entry.path], entry)
        self._forget_folders(
            row
            for path, row in known.items()
            if path not in seen and not any(_is_in(path, folder) for folder in closed)
        )

    def _compare(self, root: RootRow, row: FolderRow, entry: FoundFolder) -> None:
        """Find out what differs in one folder."""
        photos = {photo.name: photo for photo in self._writer.photos_in(row.id)}
        unreadable = {file.name: file for file in self._writer.unreadable_in(row.id)}
        fresh = []
        for name, size, mtime_ns in zip(entry.names, entry.sizes, entry.times, strict=True):
            before = photos.get(name) or unreadable.get(name)
            same = before is not None and (before.size, before.mtime_ns) == (size, mtime_ns)
            if same and not (self._retry and name in unreadable):
                self.report.unchanged += 1
            else:
                fresh.append(name)
        # A library that is missing now costs no photo that was read when it was there.
        present = {*entry.names, *entry.doubtful, *entry.passed_over}
        self._gone.update((p.id, p) for name, p in photos.items() if name not in present)
        self._gone_unreadable += [u for name, u in unreadable.items() if name not in present]
        # A mount point stays one until something of what was mounted there is seen without it.
        is_mount = entry.is_mount or (row.is_mount and not present & photos.keys())
        listing = None if entry.doubtful else entry.listing()
        self._note(_Folder(root, replace(row, is_mount=is_mount), fresh, listing))

    def _note(self, folder: _Folder) -> None:
        """Remember a folder that has changed; it may be named several times in one run."""
        before = self._changed.get(folder.row.id)
        if before is not None:
            folder.fresh = list(dict.fromkeys([*before.fresh, *folder.fresh]))
            folder.listing = folder.listing or before.listing
        self._changed[folder.row.id] = folder

    def _forget_folders(self, folders: Iterable[FolderRow]) -> None:
        for row in folders:
            self._gone.update((photo.id, photo) for photo in self._writer.photos_in(row.id))
            self._gone_unreadable += self._writer.unreadable_in(row.id)

    def _away(self, folder: Path) -> None:
        if folder not in self.report.away:
            self.report.away.append(folder)

    # --- taking in -------------------------------------------------------------------------------

    def _take_in(self) -> None:
        """Look into the files that are new or changed, and commit them batch by batch."""
        total = sum(len(folder.fresh) for folder in self._changed.values())
        if not total:
            return
        done = 0
        encoder = self._encoder()
        again: list[tuple[_Folder, str]] = []
        work = ((folder, name) for folder in self._changed.values() for name in folder.fresh)
        for known in (True, False):
            intake = _Intake(self._writer, self.report, self._gone)
            for batch in intake.batches(work, encoder, known, self._threads):
                done += batch
                if self._progress:
                    self._progress(min(done, total), total)
            again = intake.again
            total += len(again)
            work = ((folder, name) for folder, name in again)

    def _describe(self) -> None:
        """Read the metadata of photos that were taken in before the catalogue kept any."""
        folders = {row.id for number in self._looked_at for row in self._writer.folders(number)}
        photos = [
            photo
            for photo in self._writer.undescribed()
            if photo.folder in folders and photo.id not in self._gone
        ]
        if not photos:
            return
        from .describe import describe  # here, since a run with nothing to read needs no Pillow

        done = 0
        for looked_at, described in describe(self._writer, photos, self._threads):
            done += looked_at
            self.report.described += described
            if self._progress:
                self._progress(done, len(photos))

    def _drop(self) -> None:
        """Remove what is gone: only now, so that a photo that was moved never leaves meanwhile."""
        of_gone = {photo.folder for photo in self._gone.values()}
        of_gone.update(file.folder for file in self._gone_unreadable)
        changed = self._changed
        kept = self._folders_away(of_gone | changed.keys())
        batch = Batch(
            gone=[photo.id for photo in self._gone.values() if photo.folder not in kept],
            gone_unreadable=[file.id for file in self._gone_unreadable if file.folder not in kept],
            folders=[
                replace(folder.row, listing=None if number in kept else folder.listing)
                for number, folder in changed.items()
            ],
        )
        if batch.gone or batch.gone_unreadable or batch.folders:
            self._writer.commit(batch)
        self.report.removed += len(batch.gone)
        if batch.gone or batch.gone_unreadable:
            for root in self._looked_at:
                self._writer.drop_empty_folders(root)

    def _folders_away(self, folders: set[int]) -> set[int]:
        """Tell which folders lie where a file system is not mounted, or went away meanwhile."""
        away = set()
        for root, device in self._looked_at.values():
            known = list(self._writer.folders(root.id))
            unmounted = [row.path for row in known if row.is_mount and not _is_mounted(root, row)]
            if _device(root.path) != device:
                unmounted.append("")
            for row in known:
                for above in unmounted:
                    if row.id in folders and _is_in(row.path, above):
                        away.add(row.id)
                        self._away(root.path / above)
        return away


class _Intake:
    """Files → rows, for some files that are new or changed.

    Attributes:
        again: files whose content was known when they were read, and no longer when it counted.
    """

    def __init__(self, writer: Writer, report: AddReport, gone: dict[int, PhotoRow]) -> None:
        self.again: list[tuple[_Folder, str]] = []
        self._writer = writer
        self._report = report
        self._gone = gone
        self._files: dict[Path, tuple[_Folder, str, int, int]] = {}
        self._by_digest: dict[bytes, int] = {}
        self._sizes: set[int] = set()  # of files whose like have been looked up

    def batches(
        self,
        work: Iterable[tuple[_Folder, str]],
        encoder: Encoder,
        known: bool,
        threads: int | None,
    ) -> Iterator[int]:
        """Read and embed files, commit batch after batch, and tell how many each held.

        Args:
            work: folders, and names in them.
            encoder: makes the vectors.
            known: files whose content is in the catalogue are not decoded again.
            threads: how many photos are worked on at once.
        """
        from ..encoder.embed import (
            embed_files,  # here, since a run without new photos needs no Pillow
        )

        paths = self._paths(work, known)
        for embedded in embed_files(paths, encoder, self._by_digest, threads):
            batch = Batch()
            for item in embedded:
                folder, name, size, mtime_ns = self._files.pop(item.path)
                self._add(batch, item, folder, name, size, mtime_ns)
            self._writer.commit(batch)
            yield len(embedded)

    def _paths(self, work: Iterable[tuple[_Folder, str]], known: bool) -> Iterator[Path]:
        for folder, name in work:
            path = folder.root.path / folder.row.path / name
            try:
                status = path.stat()
            except OSError as error:
                folder.listing = None
                if not isinstance(error, FileNotFoundError):
                    self._report.problems.append(Problem(path, error.strerror or str(error)))
                continue
            if known and status.st_size not in self._sizes:
                self._sizes.add(status.st_size)
                for photo in self._writer.of_size(status.st_size):
                    self._by_digest[photo.digest] = photo.id
            self._files[path] = (folder, name, status.st_size, status.st_mtime_ns)
            yield path

    def _add(
        self,
        batch: Batch,
        item: EmbeddedFile[Path],
        folder: _Folder,
        name: str,
        size: int,
        mtime_ns: int,
    ) -> None:
        if item.problem:
            self._report.problems.append(Problem(item.path, item.problem))
        if item.digest is None:
            # The disk, the network or a permission failed, not the photo: the next run tries
            # again, and what is known of it until then stays.
            folder.listing = None
            return
        before = self._writer.photo_named(folder.row.id, name)
        failed = self._writer.unreadable_named(folder.row.id, name)
        place = (folder.row.id, name, size, mtime_ns, item.digest)
        if item.problem:
            reason = item.problem.encode("utf-8", "replace").decode()
            number = failed.id if failed else self._writer.new_unreadable_id()
            batch.unreadable.append(UnreadableRow(number, *place, reason))
            if before:
                batch.gone.append(before.id)
            return
        source = self._source(item, batch) if item.is_known else None
        if item.is_known and source is None:
            self.again.append((folder, name))
            return
        if failed:
            batch.gone_unreadable.append(failed.id)
        width, height = (source.width, source.height) if source else (item.width, item.height)
        moved = source is not None and self._has_moved(source)
        if source is not None and moved and before is None:
            self._gone.pop(source.id, None)
            number = source.id
            self._report.moved += 1
        else:
            number = before.id if before else self._writer.new_id()
            if source is not None and source.id != number:
                batch.vectors[number] = self._writer.vector(source)
                if source.details is not None:
                    batch.details[number] = self._writer.details([source])[0]
            elif source is None and item.vector is not None:
                batch.vectors[number] = item.vector
                if item.details is not None:
                    batch.details[number] = item.details
            if before is not None and before.digest == item.digest:
                self._report.unchanged += 1
            else:
                self._report.added += before is None
                self._report.changed += before is not None
                self._report.fresh.append(number)
        row = PhotoRow(number, *place, width or 0, height or 0, item.metadata)
        if source is not None:
            metadata = source.metadata and source.metadata.named(name)
            row = replace(row, metadata=metadata, vector=source.vector, details=source.details)
        batch.photos.append(row)

    def _source(self, item: EmbeddedFile[Path], batch: Batch) -> PhotoRow | None:
        """Find the photo that has the same content, if it still has it."""
        number = self._by_digest[item.digest] if item.digest else -1
        if any(row.id == number for row in batch.photos) or number in batch.gone:
            return None
        source = next(self._writer.photos([number]), None)
        return source if source is not None and source.digest == item.digest else None

    def _has_moved(self, source: PhotoRow) -> bool:
        if source.id in self._gone:
            return True
        path = self._writer.path(source)
        placed = self._writer.place(path)
        if placed is None or placed[0].path == NO_FOLDER:  # it never was a file of this machine
            return False
        # Where the whole root is not there, its photos are away and not moved.
        return placed[0].path.is_dir() and not os.path.lexists(path)


def _device(path: Path) -> int | None:
    """Name the file system that a folder is on; None where the folder is not there."""
    try:
        return path.stat().st_dev
    except OSError:
        return None


def _is_mounted(root: RootRow, folder: FolderRow) -> bool:
    place = root.path / folder.path
    # The folder above may be one that a link leads to: its path is told, and not resolved.
    return _device(place) not in (None, _device(place.parent))


def _is_in(path: str, folder: str) -> bool:
    """Tell whether a relative path is a folder or lies below it."""
    return not folder or path == folder or path.startswith(f"{folder}/")
