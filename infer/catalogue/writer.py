"""Changing the catalogue: each method is one transaction, on the disk when it returns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Codes, Vectors
from . import rows
from .reader import Remembered, Snapshot
from .rows import (
    BLOCK_SLOTS,
    COLUMNS,
    DamagedRowError,
    ExampleRow,
    FolderRow,
    GraphRecord,
    LabelRow,
    PhotoRow,
    RootRow,
    UnreadableRow,
)

_INSERT = {
    table: f"REPLACE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    for table, columns in COLUMNS.items()
}
MAX_UNUSED_FRACTION = 1 / 4  # of the pages; with more, the file gives space back


@dataclass
class Batch:
    """Changes that are committed together.

    Attributes:
        photos: rows to insert or replace; what they say of their vector is set on commit.
        vectors: float32, shape = (dimension,), for the ids in ``photos`` whose vector is new.
        details: int8, shape = (details,), likewise.
        unreadable: rows to insert or replace.
        gone: ids of photos to remove.
        gone_unreadable: ids of unreadable files to remove.
        folders: rows to replace.
    """

    photos: list[PhotoRow] = field(default_factory=list)
    vectors: dict[int, Vectors] = field(default_factory=dict)
    details: dict[int, Codes] = field(default_factory=dict)
    unreadable: list[UnreadableRow] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    gone_unreadable: list[int] = field(default_factory=list)
    folders: list[FolderRow] = field(default_factory=list)


class Writer(Snapshot):
    """The one writer of a catalogue, for one thread. It sees its own commits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._free = self._free_slots()
        self._new_unreadable = self._highest("unreadable") + 1

    # --- ids -------------------------------------------------------------------------------------

    def new_id(self) -> int:
        """Take an id for a photo that is about to be committed: the lowest that is free."""
        return next(self._free)

    def new_unreadable_id(self) -> int:
        """Take an id for the row of an unreadable file."""
        self._new_unreadable += 1
        return self._new_unreadable - 1

    def _free_slots(self) -> Iterator[int]:
        taken = 0
        query = "SELECT block, live FROM vectors ORDER BY block"
        for number, live in self.connection.execute(query).fetchall():
            yield from range(taken, number * BLOCK_SLOTS)
            if not isinstance(live, bytes) or len(live) * 8 > BLOCK_SLOTS:
                raise DamagedRowError(f"vectors {number}")
            bits = np.unpackbits(np.frombuffer(live, np.uint8))
            full = np.zeros(BLOCK_SLOTS, dtype=np.uint8)
            full[: len(bits)] = bits
            for slot in np.flatnonzero(full == 0).tolist():
                yield number * BLOCK_SLOTS + slot
            taken = (number + 1) * BLOCK_SLOTS
        while True:
            yield taken
            taken += 1

    def _highest(self, table: str) -> int:
        highest = self.connection.execute(f"SELECT MAX(id) FROM {table}").fetchone()[0]
        return 0 if highest is None else int(highest)

    # --- folders ---------------------------------------------------------------------------------

    def add_root(self, path: Path, exclude: Sequence[str]) -> RootRow:
        """Add a root folder. Roots inside it become a part of it, with all their photos."""
        inside = [root for root in self.roots().values() if root.path.is_relative_to(path)]
        with self._transaction():
            root = RootRow(self._highest("root") + 1, path, tuple(exclude))
            self._put("root", [rows.root_values(root)])
            for child in inside:
                prefix = child.path.relative_to(path).as_posix()
                moved = [
                    replace(
                        folder,
                        root=root.id,
                        path=f"{prefix}/{folder.path}" if folder.path else prefix,
                    )
                    for folder in self.folders(child.id)
                ]
                self._put("folder", map(rows.folder_values, moved))
                self._delete("root", [child.id])
            self._set_header(generation=self.header().generation + 1)
        return root

    def set_exclude(self, root: RootRow, exclude: Sequence[str]) -> RootRow:
        """Change what is passed over below a root."""
        changed = replace(root, exclude=tuple(exclude))
        if changed != root:
            with self._transaction():
                self._put("root", [rows.root_values(changed)])
        return changed

    def add_folders(self, root: int, mounts: Mapping[str, bool]) -> dict[str, FolderRow]:
        """Add folders of a root that are not known: paths, and whether a file system begins there.

        Returns:
            their rows by path.
        """
        added = {}
        if mounts:
            with self._transaction():
                for path, is_mount in mounts.items():
                    # AUTOINCREMENT: a folder's id is never given to another one.
                    cursor = self.connection.execute(
                        "INSERT INTO folder (root, path, mount, checksum) VALUES (?, ?, ?, 0)",
                        (root, os.fsencode(path), int(is_mount)),
                    )
                    added[path] = FolderRow(int(cursor.lastrowid or 0), root, path, is_mount, None)
                self._put("folder", map(rows.folder_values, added.values()))
        return added

    def relocate(self, moved: Mapping[int, Path]) -> None:
        """Give roots, by id, a new place."""
        known = self.roots()
        with self._transaction():
            changed = [replace(known[number], path=path) for number, path in moved.items()]
            self._put("root", map(rows.root_values, changed))
            self._set_header(generation=self.header().generation + 1)

    def forget(self, root: int) -> int:
        """Forget a root with all its folders and photos, and count these."""
        folders = [folder.id for folder in self.folders(root)]
        photos = [photo.id for folder in folders for photo in self.photos_in(folder)]
        unread = [file.id for folder in folders for file in self.unreadable_in(folder)]
        with self._transaction():
            self._remove(photos)
            self._delete("unreadable", unread)
            self._delete("folder", folders)
            self._delete("root", [root])
        self._free = self._free_slots()
        self._shrink()
        return len(photos)

    # --- files -----------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> None:
        """Commit changes together.

        The folders that its photos and unreadable files are or were in lose their ``listing``: it
        described what was there before. Those in ``batch.folders`` are written as they are.
        """
        with self._transaction():
            touched = {row.folder for row in batch.photos} | {
                row.folder for row in batch.unreadable
            }
            replaced = [row.id for row in batch.photos]
            touched.update(row.folder for row in self.photos([*replaced, *batch.gone]))
            self._remove(batch.gone)
            self._delete("unreadable", batch.gone_unreadable)
            if batch.photos:
                self._store(batch.photos, batch.vectors, batch.details)
            self._put("unreadable", map(rows.unreadable_values, batch.unreadable))
            touched -= {row.id for row in batch.folders}
            self._put("folder", map(rows.folder_values, self._without_listing(touched)))
            self._put("folder", map(rows.folder_values, batch.folders))
        if batch.gone:
            self._free = self._free_slots()

    def drop_empty_folders(self, root: int) -> None:
        """Forget the folders of a root that hold nothing any more, neither do those below them."""
        used = "SELECT folder FROM photo UNION SELECT folder FROM unreadable"
        full = {number for (number,) in self.connection.execute(used)}
        known = list(self.folders(root))
        needed = {folder.path for folder in known if folder.id in full}
        gone = [
            folder.id
            for folder in known
            if folder.id not in full
            and not (
                folder.is_mount
                and any(not folder.path or path.startswith(f"{folder.path}/") for path in needed)
            )
        ]
        if gone:
            with self._transaction():
                self._delete("folder", gone)

    def restore(
        self,
        roots: Iterable[RootRow],
        folders: Iterable[FolderRow],
        not_duplicates: Iterable[tuple[bytes, bytes]],
        notes: Mapping[str, bytes],
        labels: Iterable[LabelRow],
        examples: Iterable[ExampleRow],
    ) -> None:
        """Write rows that were salvaged from another catalogue, with the ids they had there."""
        with self._transaction():
            self._put("root", map(rows.root_values, roots))
            self._put("folder", map(rows.folder_values, folders))
            self._put(
                "not_duplicate", (rows.sealed("not_duplicate", pair) for pair in not_duplicates)
            )
            self._put("note", (rows.sealed("note", item) for item in notes.items()))
            self._put("label", (rows.sealed("label", (row.id, row.name)) for row in labels))
            self._put("example", map(rows.example_values, examples))

    # --- labels ----------------------------------------------------------------------------------

    def add_label(self, name: str) -> LabelRow:
        """Add a label of a name that is not in use."""
        label = LabelRow(self._highest("label") + 1, name)
        self.set_label(label)
        return label

    def set_label(self, label: LabelRow) -> None:
        """Write a label, such as under another name that is not in use."""
        with self._transaction():
            self._put("label", [rows.sealed("label", (label.id, label.name))])

    def remove_label(self, label: int) -> None:
        """Forget a label with all its examples."""
        with self._transaction():
            self._delete("label", [label])
            self.connection.execute("DELETE FROM example WHERE label = ?", (label,))

    def set_examples(self, examples: Iterable[ExampleRow]) -> None:
        """Write examples, each in place of what was said of that label and content before."""
        with self._transaction():
            self._put("example", map(rows.example_values, examples))

    def remove_examples(self, label: int, digests: Iterable[bytes]) -> None:
        """Forget what was said of a label and some contents."""
        with self._transaction():
            self.connection.executemany(
                "DELETE FROM example WHERE label = ? AND digest = ?",
                ((label, digest) for digest in digests),
            )

    # --- the rest --------------------------------------------------------------------------------

    def set_graph(self, record: GraphRecord | None) -> None:
        """Record the graph that was published."""
        with self._transaction():
            self._set_header(graph=record.as_text() if record else None)

    def add_not_duplicates(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember pairs of content digests, the lower first, that are no copies."""
        with self._transaction():
            self._put("not_duplicate", (rows.sealed("not_duplicate", pair) for pair in pairs))

    def remove_not_duplicates(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Forget such pairs."""
        with self._transaction():
            self.connection.executemany(
                "DELETE FROM not_duplicate WHERE lower = ? AND higher = ?", pairs
            )

    def set_notes(self, notes: Mapping[str, bytes]) -> None:
        """Write notes, each under its key."""
        with self._transaction():
            self._put("note", (rows.sealed("note", item) for item in notes.items()))

    # --- inside a transaction --------------------------------------------------------------------

    def _store(
        self,
        photos: Iterable[PhotoRow],
        vectors: Mapping[int, Vectors],
        details: Mapping[int, Codes],
    ) -> None:
        total, count = 0, 0
        for photo in photos:
            if photo.id in vectors:
                photo = replace(photo, vector=rows.array_checksum(vectors[photo.id]))
            if photo.id in details:
                photo = replace(photo, details=rows.array_checksum(details[photo.id]))
            values = rows.photo_values(photo)
            before = self._photo_sum([photo.id])
            total ^= before[0] ^ values[-1]
            count += 1 - before[1]
            marks = ", ".join("?" * len(values))
            columns = COLUMNS["photo"]
            update = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
            # Not REPLACE: that would silently drop another photo of the same name.
            self.connection.execute(
                f"INSERT INTO photo ({', '.join(columns)}) VALUES ({marks}) "
                f"ON CONFLICT (id) DO UPDATE SET {update}",
                values,
            )
        self._count(total, count)
        self._write_slots(vectors)
        self._write_details(details)

    def _remove(self, ids: Sequence[int]) -> None:
        if ids:
            total, count = self._photo_sum(ids)
            self._delete("photo", ids)
            self._count(total, -count)
            self._write_slots(dict.fromkeys(ids))
            self._write_details(dict.fromkeys(ids))

    def _photo_sum(self, ids: Iterable[int]) -> tuple[int, int]:
        """Add up the checksums of photos' rows (exclusive or), and count them."""
        total, count = 0, 0
        for number in ids:
            for row in self.select("photo", "WHERE id = ?", (number,)):
                rows.photo_row(row)  # raises where it is damaged
                total ^= row[-1]
                count += 1
        return total, count

    def _count(self, total: int, more: int) -> None:
        header = self.header()
        self._set_header(
            photos=header.photos + more,
            photo_sum=header.photo_sum ^ total,
            generation=header.generation + 1,
        )

    def _write_slots(self, slots: Mapping[int, Vectors | None]) -> None:
        """Write vectors, and clear those that are None."""
        if not slots:
            return
        header = self.header()
        generation, total = header.generation + 1, header.block_sum
        by_block: dict[int, list[int]] = {}
        for photo in slots:
            by_block.setdefault(photo // BLOCK_SLOTS, []).append(photo)
        for number, photos in sorted(by_block.items()):
            live = np.zeros(BLOCK_SLOTS, dtype=bool)
            data = np.zeros((BLOCK_SLOTS, header.dimension), dtype=np.float32)
            for old in self.blocks(first=number, count=1):
                live[:], data[:] = old.live, old.vectors
                total ^= old.checksum
            for photo in photos:
                vector = slots[photo]
                slot = photo % BLOCK_SLOTS
                live[slot] = vector is not None
                data[slot] = 0.0 if vector is None else vector
            values = rows.block_values(number, generation, live, data)
            total ^= values[-1]
            self._put("vectors", [values])
        self._set_header(generation=generation, block_sum=total)

    def _write_details(self, slots: Mapping[int, Codes | None]) -> None:
        """Write details, and clear those that are None."""
        header = self.header()
        if not slots or not header.details:
            return
        total = header.details_sum
        by_block: dict[int, list[int]] = {}
        for photo in slots:
            by_block.setdefault(photo // BLOCK_SLOTS, []).append(photo)
        for number, photos in sorted(by_block.items()):
            codes = np.zeros((BLOCK_SLOTS, header.details), dtype=np.int8)
            for old in self.details_blocks(first=number, count=1):
                codes[:] = old.codes
                total ^= old.checksum
            for photo in photos:
                slot = slots[photo]
                codes[photo % BLOCK_SLOTS] = 0 if slot is None else slot
            values = rows.details_values(number, header.generation, codes)
            total ^= values[-1]
            self._put("details", [values])
        self._set_header(details_sum=total)

    def _without_listing(self, folders: Iterable[int]) -> list[FolderRow]:
        found = (
            rows.folder_row(row)
            for number in folders
            for row in self.select("folder", "WHERE id = ?", (number,))
        )
        return [replace(folder, listing=None) for folder in found if folder.listing is not None]

    def _set_header(self, **values: Any) -> None:
        self._put("header", (rows.sealed("header", item) for item in values.items()))
        self._remembered.header = None

    def _put(self, table: str, values: Iterable[tuple[Any, ...]]) -> None:
        self.connection.executemany(_INSERT[table], values)

    def _delete(self, table: str, ids: Iterable[int]) -> None:
        self.connection.executemany(
            f"DELETE FROM {table} WHERE id = ?", ((number,) for number in ids)
        )

    def _shrink(self) -> None:
        """Give unused space back to the disk, where there is much of it."""
        pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
        unused = self.connection.execute("PRAGMA freelist_count").fetchone()[0]
        if unused > pages * MAX_UNUSED_FRACTION:
            self.connection.execute("VACUUM")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self._remembered = Remembered()  # what was read may have been of the attempt
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self._remembered = Remembered(self._remembered.header)
