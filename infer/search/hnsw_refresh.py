"""What is derived from the vectors is refreshed: means and rarities first, then the graph."""

from __future__ import annotations

from pathlib import Path

from ..catalogue.rows import BLOCK_SLOTS, GraphRecord
from ..catalogue.writer import Writer
from ..progress import Progress
from .calibration import means, renew
from .exact import Stored
from .hnsw import TARGET_RECALL, Graph, is_installed

MAX_STALE_FRACTION = 1 / 100  # of the vectors; with more, the file is written again


def refresh(writer: Writer, folder: Path, progress: Progress | None = None) -> None:
    """Bring the means, the rarities and the graph's file up to date, where enough has changed.

    Up to that point, whoever loads the graph asks it for the rest and compares what has changed
    with every query exactly. A graph that cannot be built (for want of hnswlib) or written is no
    error: it is a cache, and without it every query is answered exactly.
    """
    renew(writer)
    header = writer.header()
    mean = means(writer)
    record = header.graph
    if record is not None and record.mean != mean.checksum:
        record = None  # of vectors that another mean was taken from: built anew below
    if record is not None and record.generation == header.generation and _is_there(record, folder):
        return
    if not header.photos:
        writer.set_graph(None)
        _drop_others(folder, None)
        return
    if record is not None and _is_there(record, folder):
        dirty = len(writer.changed_blocks(record.generation)) * BLOCK_SLOTS
        if dirty <= MAX_STALE_FRACTION * header.photos:
            return
    if not is_installed():
        return
    graph = Graph.load(folder, record, header.dimension) if record else None
    if graph is not None and record is not None:
        changes = graph.changes(writer, record.generation, mean.embedding)
        if len(changes) <= MAX_STALE_FRACTION * header.photos:
            return
        if (
            not graph.apply(changes, Stored.of(writer, mean.embedding), progress)
            or graph.recall < TARGET_RECALL
        ):
            graph = None
    if graph is None:
        graph = Graph.build(Stored.of(writer, mean.embedding), progress)
    try:
        fresh = graph.publish(folder, header.generation, mean.checksum)
    except OSError:
        return
    writer.set_graph(fresh)
    _drop_others(folder, fresh)


def graph_files(folder: Path) -> list[Path]:
    """List the files of graphs in an index folder, finished and unfinished ones."""
    return sorted([*folder.glob("graph-*.hnsw"), *folder.glob("graph-*.hnsw.tmp")])


def _is_there(record: GraphRecord, folder: Path) -> bool:
    try:
        return (folder / record.file).stat().st_size == record.bytes
    except OSError:
        return False


def _drop_others(folder: Path, record: GraphRecord | None) -> None:
    for file in graph_files(folder):
        if record is None or file.name != record.file:
            try:
                file.unlink(missing_ok=True)
            except OSError:
                continue  # not ours to judge: verify names it
