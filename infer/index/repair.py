"""Rebuilding a damaged index from what is proven of it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..catalogue.database import (
    CATALOGUE_FILE,
    SUMS,
    Catalogue,
    connect,
    new_file,
    writer_lock,
)
from ..catalogue.rows import BLOCK_SLOTS
from ..catalogue.salvage import Salvage, merge_log, salvage
from ..catalogue.writer import Batch, Writer
from ..errors import (
    ImgsimError,
    IndexDamagedError,
    IndexMismatchError,
    IndexMissingError,
    UsageError,
    one_line,
)
from ..files import publish, replacing
from ..search.hnsw_refresh import graph_files, refresh
from .verify import Finding, verify

DAMAGED_FILE = "catalogue.damaged"  # what is kept of a catalogue that was replaced
_IDENTITY = ("encoder_digest", "model", "dimension")  # of the header; without these all is lost
_KEPT = (*_IDENTITY, "details", "metric", "created")
_BATCH = 4096  # photos written at once
_NAMED = 20  # lost photos that are named; the others are counted


def repair(folder: Path) -> list[Finding]:
    """Do what :meth:`ImageIndex.repair` promises."""
    try:
        findings = _verified(folder)
        if any(finding.part == "catalogue" for finding in findings):
            with writer_lock(folder):
                findings += _rebuild(folder)
        if findings:
            findings.append(_rebuild_graph(folder))
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"cannot repair the index in {folder}: {one_line(error)}") from error
    return findings


def _verified(folder: Path) -> list[Finding]:
    try:
        catalogue = Catalogue(folder)
    except (IndexMissingError, IndexMismatchError):
        raise
    except ImgsimError as error:
        return [Finding(str(error))]
    findings = verify(catalogue)
    catalogue.close()
    return findings


def _rebuild(folder: Path) -> Iterator[Finding]:
    """Make a new catalogue of all rows that are proven, and put it in the place of the old one."""
    path = folder / CATALOGUE_FILE
    if not path.is_file():
        raise UsageError(f"cannot repair the index in {folder}: {path.name} is no file")
    merge_log(path)
    found = salvage(path)
    if not all(found.header.get(key) for key in _IDENTITY):
        raise IndexDamagedError(
            f"the index in {folder} cannot be repaired: nothing in it says which encoder made it; "
            "delete that folder and index again"
        )
    found.header.setdefault("details", found.length_of_details())
    header = {key: found.header[key] for key in _KEPT if key in found.header}
    zeros = dict.fromkeys(SUMS, 0)
    generation = max(
        [int(found.header.get("generation", 0)), *(b[1] for b in found.blocks.values())]
    )
    fresh = new_file(
        path.with_name(f"{path.name}.new"), {**header, **zeros, "generation": generation + 1}
    )
    lost = _fill(fresh, found)
    with replacing(folder / DAMAGED_FILE) as part:
        shutil.copyfile(path, part)
    publish(fresh, path)
    return iter(
        [
            *lost,
            Finding(
                f"the catalogue has been rebuilt; what it was lies in {DAMAGED_FILE}. "
                "`imgsim-edge index` takes in again what was lost"
            ),
        ]
    )


def _rebuild_graph(folder: Path) -> Finding:
    catalogue = Catalogue(folder)
    with catalogue.writer() as writer:
        writer.set_graph(None)
        for file in graph_files(folder):
            file.unlink(missing_ok=True)
        refresh(writer, folder)
        built = writer.header().graph is not None
    catalogue.close()
    return Finding("the graph has been built again" if built else "there is no graph now", "graph")


def _fill(path: Path, found: Salvage) -> list[Finding]:
    """Write what was salvaged into a new catalogue, and tell what could not be."""
    connection = connect(path)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        writer = Writer(connection)
        folders = {
            number: replace(folder, listing=None)  # so that every file is looked at again
            for number, folder in found.folders.items()
            if folder.root in found.roots
        }
        writer.restore(
            found.roots.values(),
            folders.values(),
            found.not_duplicates,
            found.notes,
            found.labels.values(),
            [example for example in found.examples if example.label in found.labels],
        )
        lost = []
        batch = Batch()
        taken: set[tuple[int, str]] = set()
        for photo in found.photos.values():
            vector = found.vector(photo)
            if photo.folder not in folders or (photo.folder, photo.name) in taken:
                lost.append(f"photo {photo.id} ({photo.name}): its folder is lost")
            elif vector is None:
                folder = folders[photo.folder]
                where = found.roots[folder.root].path / folder.path / photo.name
                lost.append(f"photo {photo.id} ({where}): its vector is lost")
            else:
                taken.add((photo.folder, photo.name))
                codes = found.codes(photo)
                if codes is not None:
                    batch.details[photo.id] = codes
                elif photo.details is not None:
                    lost.append(f"photo {photo.id} ({photo.name}): its details are lost")
                    continue
                batch.photos.append(photo)
                batch.vectors[photo.id] = vector
            if len(batch.photos) == _BATCH:
                writer.commit(batch)
                batch = Batch()
        batch.unreadable = [row for row in found.unreadable.values() if row.folder in folders]
        writer.commit(batch)
        kept = writer.header().photos
    finally:
        connection.close()
    nameless = sum(
        1
        for number in found.blocks
        if (block := found.block(number)) is not None
        for slot in np.flatnonzero(block.live).tolist()
        if number * BLOCK_SLOTS + slot not in found.photos
    )
    findings = [Finding(line) for line in lost[:_NAMED]]
    if len(lost) > _NAMED:
        findings.append(Finding(f"… and {len(lost) - _NAMED:,} more photos are lost"))
    if nameless:
        findings.append(Finding(f"vectors whose photos' names are lost: {nameless:,}"))
    before = found.header.get("photos")
    of = f" of {before:,}" if isinstance(before, int) else ""
    return [*findings, Finding(f"{kept:,}{of} photos are kept")]
