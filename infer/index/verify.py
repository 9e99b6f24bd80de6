"""Reading everything of an index and telling what is wrong with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..catalogue import rows
from ..catalogue.database import Catalogue
from ..catalogue.reader import Snapshot
from ..catalogue.rows import BLOCK_SLOTS, BLOCKS, COLUMNS, DamagedRowError
from ..errors import ImgsimError, one_line
from ..search.calibration import means
from ..search.hnsw_refresh import graph_files
from ..search.scores import centred

_ABOVE = {"folder": "root", "photo": "folder", "unreadable": "folder", "example": "label"}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with an index, or that was done about it.

    Attributes:
        what: in words, one line.
        part: where. A graph can always be rebuilt from the catalogue.
    """

    what: str
    part: Literal["catalogue", "graph"] = "catalogue"


def verify(catalogue: Catalogue) -> list[Finding]:
    """Check every checksum, SQLite's own integrity, and that catalogue and graph agree."""
    findings = []
    try:
        with catalogue.snapshot() as snapshot:
            findings += list(_integrity(snapshot))
            findings += list(_rows(snapshot))
            findings += list(_vectors(snapshot))
            findings += list(_details(snapshot))
            findings += list(_graph(snapshot, catalogue.folder))
    except ImgsimError as error:
        findings.append(Finding(str(error)))
    return findings


def _integrity(snapshot: Snapshot) -> Iterator[Finding]:
    for (said,) in snapshot.connection.execute("PRAGMA integrity_check"):
        for line in said.splitlines():
            if line != "ok" and not line.startswith("***"):  # which names the only database
                yield Finding(f"SQLite: {one_line(line)}")


def _rows(snapshot: Snapshot) -> Iterator[Finding]:
    """Check the rows of all tables but the vectors', and what they refer to."""
    known: dict[str, set[Any]] = {}
    photos = 0
    for table in COLUMNS:
        if table in BLOCKS:
            continue
        seen: set[Any] = set()
        try:
            for row in snapshot.select(table):
                seen.add(row[0])
                if not rows.is_intact(table, row):
                    yield Finding(f"{table} {row[0]}: its row is damaged")
                    continue
                if table == "photo":
                    photos ^= row[-1]
                above = _ABOVE.get(table)
                column = row[COLUMNS[table].index(above)] if above else None
                if above and column not in known[above]:
                    yield Finding(f"{table} {row[0]}: its {above} is missing")
        except sqlite3.DatabaseError as error:
            yield Finding(f"table {table}: {one_line(error)}")
        known[table] = seen
    try:
        header = snapshot.header()
    except DamagedRowError as error:
        yield Finding(str(error))
        return
    if (len(known["photo"]), photos) != (header.photos, header.photo_sum):
        yield Finding("the photos do not add up to what the header says")


def _vectors(snapshot: Snapshot) -> Iterator[Finding]:
    """Check the blocks, and that they hold the vectors of the photos and of nothing else."""
    try:
        header = snapshot.header()
    except DamagedRowError:
        return  # said already
    total = 0
    last = -1
    try:
        for row in snapshot.select("vectors", "ORDER BY block"):
            number = row[0]
            last = max(last, number)
            try:
                block = rows.block(row, header.dimension)
            except DamagedRowError:
                yield Finding(f"vectors {number}: the block is damaged")
                continue
            total ^= block.checksum
            if block.generation > header.generation:
                yield Finding(f"vectors {number}: newer than the index")
            between = (number * BLOCK_SLOTS, (number + 1) * BLOCK_SLOTS - 1)
            here = dict(snapshot.photo_column("vector", "id BETWEEN ? AND ?", between))
            live = set((np.flatnonzero(block.live) + block.first).tolist())
            for number, written in here.items():
                if number not in live:
                    yield Finding(f"photo {number}: it has no vector")
                elif written != rows.array_checksum(block.vectors[number - block.first]):
                    yield Finding(f"photo {number}: the vector is not its own")
            for number in sorted(live - here.keys()):
                yield Finding(f"photo {number}: it has a vector and no row")
        beyond = (last + 1) * BLOCK_SLOTS
        for number, _ in snapshot.photo_column("vector", "id >= ? OR id < 0", (beyond,)):
            yield Finding(f"photo {number}: it has no vector")
    except sqlite3.DatabaseError as error:
        yield Finding(f"table vectors: {one_line(error)}")
    if total != header.block_sum:
        yield Finding("the vectors do not add up to what the header says")


def _details(snapshot: Snapshot) -> Iterator[Finding]:
    """Check the blocks of details, and that they hold those of the photos."""
    try:
        header = snapshot.header()
    except DamagedRowError:
        return  # said already
    total = 0
    wanted = dict(snapshot.photo_column("details", "details IS NOT NULL", ()))
    try:
        for row in snapshot.select("details", "ORDER BY block"):
            try:
                block = rows.details_block(row, header.details)
            except DamagedRowError:
                yield Finding(f"details {row[0]}: the block is damaged")
                continue
            total ^= block.checksum
            for slot, codes in enumerate(block.codes):
                written = wanted.pop(block.first + slot, None)
                if written is not None and written != rows.array_checksum(codes):
                    yield Finding(f"photo {block.first + slot}: the details are not its own")
        for number in sorted(wanted):
            yield Finding(f"photo {number}: its details are missing")
    except sqlite3.DatabaseError as error:
        yield Finding(f"table details: {one_line(error)}")
    if total != header.details_sum:
        yield Finding("the details do not add up to what the header says")


def _graph(snapshot: Snapshot, folder: Path) -> Iterator[Finding]:
    """Check that the graph's file is what was written, and holds what the catalogue does."""
    from ..search.hnsw import Graph, file_digest, is_installed

    try:
        header = snapshot.header()
    except DamagedRowError:
        return
    record = header.graph
    for file in graph_files(folder):
        if record is None or file.name != record.file:
            yield Finding(f"{file.name}: left over, and of no use", "graph")
    if record is None:
        return
    if not (folder / record.file).is_file():
        yield Finding(f"{record.file}: the graph is missing", "graph")
        return
    graph = Graph.load(folder, record, header.dimension)
    if graph is None:
        if not is_installed() and file_digest(folder / record.file) == record.digest:
            return  # it is whole; what it holds cannot be looked at
        yield Finding(f"{record.file}: the graph is not what was written", "graph")
        return
    try:
        mean = means(snapshot)
        if record.mean != mean.checksum:
            return  # the graph is not used, and built anew by the next run
        for block in snapshot.blocks():
            if block.generation > record.generation:
                continue  # the graph need not know of this yet
            slots = np.flatnonzero(block.live)
            held, vectors = graph.holding(np.arange(BLOCK_SLOTS) + block.first)
            same = np.array_equal(held - block.first, slots)
            now = centred(block.vectors, mean.embedding)[slots]
            if not same or not np.array_equal(vectors, now):
                number = block.first // BLOCK_SLOTS
                yield Finding(f"{record.file}: the graph differs from vectors {number}", "graph")
    except DamagedRowError:
        return  # the block has been named
