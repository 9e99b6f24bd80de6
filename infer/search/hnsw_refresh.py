"""The graph follows the catalogue: added to, cleared and compacted, and published again."""

from __future__ import annotations

from pathlib import Path

from ..catalogue.rows import BLOCK_SLOTS, GraphRecord
from ..catalogue.writer import Writer
from ..progress import Progress
from .exact import Stored
from .hnsw import TARGET_RECALL, Graph, is_installed

PUBLISH_SHARE = 100  # the file is written again when one vector in so many has changed


def follow(writer: Writer, folder: Path, progress: Progress | None = None) -> None:
    """Bring the graph's file up to date, where enough has changed.

    Up to that point, whoever loads the graph asks it for the rest and compares what has changed
    with every query exactly. A graph that cannot be built (for want of hnswlib) or written is no
    error: it is a cache, and without it every query is answered exactly.
    """
    header = writer.header()
    record = header.graph
    if record is not None and record.generation == header.generation and _is_there(record, folder):
        return
    if not header.photos:
        writer.set_graph(None)
        _drop_others(folder, None)
        return
    if record is not None and _is_there(record, folder):
        dirty = len(writer.changed_blocks(record.generation)) * BLOCK_SLOTS
        if dirty * PUBLISH_SHARE <= header.photos:
            return
    if not is_installed():
        return
    graph = Graph.load(folder, record, header.dimension) if record else None
    if graph is not None and record is not None:
        changes = graph.changes(writer, record.generation)
        if len(changes) * PUBLISH_SHARE <= header.photos:
            return
        if not graph.apply(changes, Stored.of(writer), progress) or graph.recall < TARGET_RECALL:
            graph = None
    if graph is None:
        graph = Graph.build(Stored.of(writer), progress)
    try:
        fresh = graph.publish(folder, header.generation)
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
