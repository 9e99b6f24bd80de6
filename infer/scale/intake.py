"""Shards → catalogue: an index of photos that were embedded elsewhere, without embedding anything.

What is committed is what this machine would have written had it looked at the photos itself: the
same rows, vectors and details, in other places of the file. One shard is in memory at a time.

Photos that are no files of this machine (storage, archives) lie under the root with an empty path,
in folders named by their sources; their payload holds the whole address.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..catalogue.rows import NO_FOLDER, PhotoRow, RootRow, UnreadableRow, array_checksum
from ..catalogue.writer import Batch, Writer
from ..errors import IndexMismatchError, Problem, UsageError
from ..progress import Progress
from .addresses import ARCHIVE, Address, is_remote
from .shards import Manifest, need_pyarrow, read_manifest, read_shard

if TYPE_CHECKING:
    from ..encoder.embed import EmbeddedFile


@dataclass
class Intake:
    """What became of the rows of some shards.

    Attributes:
        added: photos that the index did not have.
        changed: photos whose file had other bytes or another vector.
        removed: photos that are not in the shards any more, below sources that they hold in whole.
        unchanged: photos that were as they are.
        fresh: ids of photos that are new or have other bytes, in the order in which they came.
        problems: files without a vector.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    fresh: array[int] = field(default_factory=lambda: array("q"))
    problems: list[Problem] = field(default_factory=list)


def finished_shards(folder: Path) -> Manifest:
    """Read the manifest of shards that a run has brought to its end.

    Raises:
        UsageError: none has, they hold nothing, or pyarrow is not installed.
        IndexMissingError, IndexMismatchError, IndexDamagedError: as for ``read_manifest``.
    """
    need_pyarrow()
    manifest = read_manifest(folder)
    if not manifest.complete:
        raise UsageError(
            f"the shards in {folder} are not finished: run the same `imgsim-edge embed` again"
        )
    if not manifest.photos:
        raise UsageError(f"the shards in {folder} hold no photo")
    return manifest


def take_in(
    writer: Writer, folder: Path, manifest: Manifest, progress: Progress | None = None
) -> Intake:
    """Commit what shards hold, one after the other.

    Args:
        writer: of the catalogue.
        folder: of the shards.
        manifest: of that folder.
        progress: called with (rows done, rows to do) after every shard.

    Raises:
        IndexMismatchError: the index was made by another encoder.
        IndexDamagedError: a shard is not what was written.
    """
    ours = writer.header()
    if ours.encoder_digest != manifest.encoder.digest:
        raise IndexMismatchError(
            f"the shards in {folder} were made by another encoder than the index "
            f"({manifest.encoder.model}, digest {manifest.encoder.digest[:8]}…): name another "
            "folder for the index"
        )
    taker = _Taker(writer)
    total, done = manifest.photos + manifest.unreadable, 0
    for shard in manifest.shards:
        rows = read_shard(folder, shard, manifest.encoder)
        taker.commit(rows)
        done += len(rows)
        if progress:
            progress(done, total)
    taker.remove_what_left(manifest.whole)
    return taker.intake


class _Taker:
    """Rows of shards → rows of the catalogue, for one run."""

    def __init__(self, writer: Writer) -> None:
        self.intake = Intake()
        self._writer = writer
        self._roots: dict[str, tuple[RootRow, str]] = {}  # of sources: root, and path from it
        self._folders: dict[tuple[int, str], int] = {}
        self._seen = np.zeros(0, dtype=bool)  # by id

    def commit(self, rows: list[EmbeddedFile[Address]]) -> None:
        """Commit the rows of one shard together."""
        self._add_folders(rows)
        batch = Batch()
        for row in rows:
            self._add(batch, row)
        if batch != Batch():
            self._writer.commit(batch)

    def remove_what_left(self, sources: tuple[str, ...]) -> None:
        """Remove the photos below some sources that no row was about."""
        gone: set[int] = set()
        for source in sources:
            root, below = self._root(source)
            ids = self._writer.ids_below(root.path / below)
            seen = np.zeros(len(ids), dtype=bool)
            known = ids < len(self._seen)
            seen[known] = self._seen[ids[known]]
            gone.update(ids[~seen].tolist())
        if gone:
            self._writer.commit(Batch(gone=sorted(gone)))
            self.intake.removed += len(gone)

    def _add(self, batch: Batch, row: EmbeddedFile[Address]) -> None:
        address = row.path
        if row.problem is not None:
            self.intake.problems.append(Problem(Path(address.whole), row.problem))
        if row.digest is None:  # not the photo failed, but reading it
            return
        folder = self._folder(address)
        place = (folder, address.name, address.size or 0, address.mtime_ns or 0, row.digest)
        before = self._writer.photo_named(folder, address.name)
        failed = self._writer.unreadable_named(folder, address.name)
        if row.problem is not None or row.vector is None:
            number = failed.id if failed else self._writer.new_unreadable_id()
            unreadable = UnreadableRow(number, *place, row.problem or "")
            if unreadable != failed:
                batch.unreadable.append(unreadable)
            if before:
                batch.gone.append(before.id)
            return
        if failed:
            batch.gone_unreadable.append(failed.id)
        number = before.id if before else self._writer.new_id()
        self._see(number)
        photo = PhotoRow(
            number,
            *place,
            row.width or 0,
            row.height or 0,
            row.metadata,
            payload=None if _is_file(address.source) else json.dumps({"address": address.whole}),
            vector=array_checksum(row.vector),
            details=None if row.details is None else array_checksum(row.details),
        )
        if photo == before:
            self.intake.unchanged += 1
            return
        if before is None:
            self.intake.added += 1
        else:
            self.intake.changed += 1
        if before is None or before.digest != row.digest:
            self.intake.fresh.append(number)
        batch.photos.append(photo)
        batch.vectors[number] = row.vector
        if row.details is not None:
            batch.details[number] = row.details

    def _see(self, number: int) -> None:
        if number >= len(self._seen):
            more = np.zeros(max(number + 1, 2 * len(self._seen)), dtype=bool)
            more[: len(self._seen)] = self._seen
            self._seen = more
        self._seen[number] = True

    def _add_folders(self, rows: list[EmbeddedFile[Address]]) -> None:
        """Make sure that every folder of some rows is in the catalogue."""
        missing: dict[int, dict[str, bool]] = {}
        for row in rows:
            root, path = self._place(row.path)
            if (root.id, path) in self._folders:
                continue
            number = self._writer.folder_id(root.id, path)
            if number is None:
                missing.setdefault(root.id, {})[path] = False
            else:
                self._folders[root.id, path] = number
        for root_id, paths in missing.items():
            for path, folder in self._writer.add_folders(root_id, paths).items():
                self._folders[root_id, path] = folder.id

    def _folder(self, address: Address) -> int:
        root, path = self._place(address)
        return self._folders[root.id, path]

    def _place(self, address: Address) -> tuple[RootRow, str]:
        """Tell the root of a photo, and its folder relative to that."""
        root, below = self._root(address.source)
        inside = address.path.rpartition("/")[0]
        return root, "/".join(part for part in (below, inside) if part)

    def _root(self, source: str) -> tuple[RootRow, str]:
        """Tell the root of a source and the source relative to it; it is added where needed."""
        if source not in self._roots:
            if _is_file(source):
                placed = self._writer.place(Path(source))
                if placed is None:
                    placed = self._writer.add_root(Path(source), ()), ""
                    self._roots.clear()  # roots inside the new one have become part of it
                    self._folders.clear()
            else:
                known = [r for r in self._writer.roots().values() if r.path == NO_FOLDER]
                root = known[0] if known else self._writer.add_root(NO_FOLDER, ())
                placed = root, source.strip("/")
            self._roots[source] = placed
        return self._roots[source]


def _is_file(source: str) -> bool:
    """Tell whether the photos of a source are files of this machine."""
    return not is_remote(source) and not source.lower().endswith(ARCHIVE)
