"""The façade: an index of photos that can be added to and searched.

The command line uses this and nothing below it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .background import Background
from .catalogue import Catalogue, PhotoRow, Snapshot, Writer
from .encoder import Encoder, Vectors
from .errors import IndexMismatchError, IndexMissingError, UsageError
from .graph import TARGET_RECALL, Graph, GraphRecord, Ids
from .photo import load_photo, photo_from_array, photo_from_image
from .search import all_vectors, exact_nearest

if TYPE_CHECKING:
    from .update import AddReport, Progress

Query = Path | str | bytes | BinaryIO | Image.Image | NDArray[np.uint8] | NDArray[np.float32]
_JOIN_PART = 1024  # photos of a self-join that are asked for at once
_BACKGROUND_KEYS = "background."  # of the header entries that hold the sample of random pairs
_REFRESH_AT = 1.5  # times as many photos as when it was taken, or as few
_GRAPH_KEYS = "graph."  # of the header entries that describe the graph's file


@dataclass(frozen=True)
class Match:
    """One answer to a query.

    Attributes:
        rank: 1 for the most similar photo.
        score: cosine similarity in [−1, 1]; 1 is the same direction.
        path: of the photo.
        width: of the upright photo in pixels.
        height: likewise.
        id: of the photo in the index; it stays while the photo does.
    """

    rank: int
    score: float
    path: Path
    width: int
    height: int
    id: int


@dataclass(frozen=True, slots=True)
class IndexedPhoto:
    """One photo that an index can find.

    Attributes:
        id: a small whole number, the photo's as long as it stays in the index.
        path: of its file.
        size: of the file in bytes, when it was indexed.
        mtime_ns: time of the file's last change then, in nanoseconds since 1970.
        digest: BLAKE2b (128 bits) of the file's bytes.
        width: of the upright photo in pixels.
        height: likewise.
    """

    id: int
    path: Path
    size: int
    mtime_ns: int
    digest: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Neighbours:
    """The nearest photos of some photos, a part of a self-join.

    Attributes:
        ids: int64, shape = (n,): the photos.
        neighbours: int64, shape = (n, k): their nearest others, the best first, −1 where there are
            fewer than k.
        scores: float32, shape = (n, k): cosine similarities in [−1, 1], −inf where there is none.
    """

    ids: Ids
    neighbours: Ids
    scores: Vectors


@dataclass(frozen=True)
class IndexInfo:
    """What an index holds.

    Attributes:
        folder: where it lies.
        photos: how many can be found.
        unreadable: how many files could not be read as photos.
        roots: the folders that were indexed.
        away: those of them that are not there now.
        model: name or path of the encoder.
        encoder_digest: identity of the encoder.
        dimension: length of a vector.
        bytes: size of all files of the index.
        graph: what is known of the graph, None where there is none or it is out of date.
    """

    folder: Path
    photos: int
    unreadable: int
    roots: list[Path]
    away: list[Path]
    model: str
    encoder_digest: str
    dimension: int
    bytes: int
    graph: GraphRecord | None


def default_folder() -> Path:
    """Name the folder of the index: ``$IMGSIM_EDGE_INDEX`` or a place for this user's data."""
    named = os.environ.get("IMGSIM_EDGE_INDEX")
    if named:
        return Path(named)
    from platformdirs import user_data_path

    return user_data_path("imgsim-edge", appauthor=False) / "index"


class ImageIndex:
    """An index of photos in a folder of its own. Make one with :meth:`open` or :meth:`create`.

    Searching is safe from several threads, and beside another process that adds. Adding is for one
    thread of one process at a time (another is told so by IndexBusyError).
    """

    def __init__(self, catalogue: Catalogue, model: Path | str | None = None) -> None:
        self.folder = catalogue.folder
        self._catalogue = catalogue
        self._model = model
        self._encoder: Encoder | None = None  # quickest for one photo: a call uses every core
        self._adds_with: Encoder | None = None  # quickest for many: called once for each core
        self._graph: Graph | None = None
        self._graph_generation = -1
        self._queries = 0
        with catalogue.snapshot() as snapshot:
            self._made_by = snapshot.header()  # an index keeps its encoder for life
        if model is not None:
            _ = self.encoder  # a model that was asked for by name must fit at once

    # --- life ------------------------------------------------------------------------------------

    @classmethod
    def open(cls, folder: Path | str | None = None, model: Path | str | None = None) -> ImageIndex:
        """Open an existing index.

        Args:
            folder: where it lies; the default place where None.
            model: the encoder, by name or path; the one that made the index where None.

        Raises:
            IndexMissingError: there is none.
            IndexMismatchError: of a newer format, or made by another encoder than ``model``.
            IndexDamagedError: its catalogue is damaged.
        """
        return cls(Catalogue(Path(folder) if folder else default_folder()), model)

    @classmethod
    def create(
        cls, folder: Path | str | None = None, model: Path | str | None = None
    ) -> ImageIndex:
        """Open an index, or make an empty one where there is none. Arguments as for :meth:`open`.

        Raises:
            UsageError: the folder cannot be written.
        """
        try:
            return cls.open(folder, model)
        except IndexMissingError:
            encoder = Encoder(model or "default", threads=1)
            name = "default" if model is None else str(model)
            where = Path(folder) if folder else default_folder()
            if Path(name).is_file():
                name = str(Path(name).absolute())
            catalogue = Catalogue.create(where, encoder.digest, name, encoder.dimension)
            index = cls(catalogue)
            index._adds_with = encoder
            return index

    def close(self) -> None:
        """Release the index's files."""
        self._catalogue.close()

    def __enter__(self) -> ImageIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def encoder(self) -> Encoder:
        """The encoder that made this index, loaded at first use.

        Raises:
            EncoderError: its file is gone or damaged.
            IndexMismatchError: the file holds another encoder by now.
        """
        if self._encoder is None:
            self._encoder = self._load_encoder()
        return self._encoder

    def _adding_encoder(self) -> Encoder:
        if self._adds_with is None:
            self._adds_with = self._load_encoder(threads=1)
        return self._adds_with

    def _load_encoder(self, threads: int | None = None) -> Encoder:
        name = str(self._model or self._made_by.model)
        encoder = Encoder(name, threads)
        if encoder.digest != self._made_by.encoder_digest:
            raise IndexMismatchError(
                f"the index in {self.folder} was made by another encoder than {name} "
                f"({self._made_by.model}, digest {self._made_by.encoder_digest[:8]}…): name "
                "that one with --model, or another folder with --index and index again"
            )
        return encoder

    # --- adding ----------------------------------------------------------------------------------

    def add(
        self,
        paths: Sequence[Path | str] | None = None,
        progress: Progress | None = None,
        threads: int | None = None,
        *,
        allow_empty: bool = False,
    ) -> AddReport:
        """Bring the index up to date with folders of photos, or with single files.

        Only files that are new or whose size or time changed are read. Photos whose files are gone
        leave the index, but a folder that is missing or empty never empties it. Work is committed
        batch by batch: whatever ends this call, what was committed stays, and the next goes on.

        Args:
            paths: folders, each with everything below it, and single files inside folders that are
                known; all known folders where None. A path inside a known folder that is no longer
                there leaves the index.
            progress: called with (files done, files to do) after every batch.
            threads: how many photos are worked on at once; one for each core by default.
            allow_empty: a new folder may be without photos yet: it is remembered.

        Raises:
            UsageError: a folder is no folder and unknown, or none of them holds a photo.
            IndexBusyError: another process is adding.
            EncoderError: the encoder fails.
        """
        from .update import Update  # here, since a query needs neither it nor thread pools

        with self._catalogue.writer() as writer:
            update = Update(writer, self._adding_encoder, progress, threads, allow_empty)
            for path in writer.roots().values() if paths is None else paths:
                update.take(Path(os.path.realpath(path)))
            self._refresh_background(writer)
            self._publish_graph(writer)
        return update.report

    def remove(self, paths: Sequence[Path | str]) -> int:
        """Take photos out of the index, by their files or by folders above them.

        The files themselves are not touched; where they still exist, the next :meth:`add` of their
        folder finds them again.

        Returns:
            how many photos left.

        Raises:
            IndexBusyError: another process is writing.
        """
        with self._catalogue.writer() as writer:
            roots = writer.roots()
            tops = [Path(os.path.realpath(path)) for path in paths]
            gone = [
                photo.id
                for photo in writer.photos()
                if any((roots[photo.root] / photo.path).is_relative_to(top) for top in tops)
            ]
            writer.remove(gone)
            self._publish_graph(writer)
        return len(gone)

    def _refresh_background(self, writer: Writer) -> None:
        """Sample random pairs anew when the collection has become another in size."""
        count = writer.counts()[0]
        sampled = writer.settings(_BACKGROUND_KEYS).get(f"{_BACKGROUND_KEYS}photos")
        fits = (
            isinstance(sampled, int) and sampled <= count * _REFRESH_AT <= sampled * _REFRESH_AT**2
        )
        if count >= 2 and not fits:
            text = Background.of(all_vectors(writer)[1]).to_text()
            writer.set({f"{_BACKGROUND_KEYS}photos": count, f"{_BACKGROUND_KEYS}sample": text})

    def _publish_graph(self, writer: Writer) -> None:
        header = writer.header()
        record = _graph_record(writer)
        if record and record.generation == header.generation:
            return
        ids, vectors = all_vectors(writer)
        if not len(ids):
            return
        graph = Graph.build(ids, vectors)
        try:
            fresh = graph.publish(self.folder, header.generation)
        except OSError:
            return  # the graph is a cache: without it every query is answered exactly
        writer.set({f"{_GRAPH_KEYS}{key}": value for key, value in asdict(fresh).items()})
        for old in self.folder.glob("graph-*.hnsw"):
            if old.name != fresh.file:
                old.unlink(missing_ok=True)

    # --- searching -------------------------------------------------------------------------------

    def similar(
        self,
        query: Query,
        k: int = 10,
        *,
        exact: bool = False,
        within: Path | str | None = None,
        min_score: float | None = None,
        omit: Collection[int] = (),
    ) -> list[Match]:
        """Find the photos most similar to one photo.

        Args:
            query: a path, the bytes of an image file, a binary file, a Pillow image, pixels (uint8,
                shape = (height, width, 3)) or a vector (float, shape = (dimension,)).
            k: how many at most.
            exact: compare with every photo, whatever the graph could tell.
            within: only photos below this folder.
            min_score: only photos with at least this score.
            omit: ids of photos that are no answer.

        Returns:
            The best first; equal scores in the order of paths. A query that is itself a photo of
            the index is not among its answers.

        Raises:
            PhotoError: the query is no photo.
            EncoderError, IndexMismatchError: as for :attr:`encoder`.
            IndexDamagedError: the catalogue is damaged.
        """
        return self.similar_many(
            [query], k, exact=exact, within=within, min_score=min_score, omit=omit
        )[0]

    def similar_many(
        self,
        queries: Sequence[Query],
        k: int = 10,
        *,
        exact: bool = False,
        within: Path | str | None = None,
        min_score: float | None = None,
        omit: Collection[int] = (),
    ) -> list[list[Match]]:
        """Answer several queries at once; see :meth:`similar`. All see the same state."""
        if k < 1:
            raise UsageError(f"the number of answers must be at least 1, not {k}")
        with self._catalogue.snapshot() as snapshot:
            vectors, own = self._query_vectors(queries, snapshot)
            only = None if within is None else _ids_below(Path(os.path.realpath(within)), snapshot)
            wanted = k + 1 + len(omit)
            finalists = None
            if not exact and only is None:
                finalists = self._from_graph(vectors, wanted, snapshot)
            if finalists is None:
                finalists = exact_nearest(vectors, wanted, snapshot, only)
            self._queries += 1
            roots = snapshot.roots()
            answers = [
                _matches(vector, ids, stored, {itself, *omit}, k, snapshot, roots)
                for vector, (ids, stored), itself in zip(vectors, finalists, own, strict=True)
            ]
        if min_score is None:
            return answers
        return [[match for match in answer if match.score >= min_score] for answer in answers]

    def embed(self, queries: Sequence[Query]) -> Vectors:
        """Give the vectors of queries: float32, shape = (len(queries), dimension), unit length.

        A file that is in the index as it is now is not decoded again. Errors as for
        :meth:`similar`.
        """
        with self._catalogue.snapshot() as snapshot:
            return self._query_vectors(queries, snapshot)[0]

    def neighbours(
        self, k: int = 10, *, exact: bool = False, within: Path | str | None = None
    ) -> Iterator[Neighbours]:
        """Join the index with itself: the ``k`` nearest others of every photo, part by part.

        Memory holds one part and the graph (or all vectors), never a square. One committed state is
        seen from the first part to the last.

        Args:
            k: how many others at most.
            exact: compare with every photo, whatever the graph could tell.
            within: only photos below this folder, on both sides.
        """
        with self._catalogue.snapshot() as snapshot:
            only = None if within is None else _ids_below(Path(os.path.realpath(within)), snapshot)
            ids, vectors = all_vectors(snapshot)
            if only is not None:
                mine = np.isin(ids, only)
                ids, vectors = ids[mine], vectors[mine]
            for first in range(0, len(ids), _JOIN_PART):
                part, queries = ids[first : first + _JOIN_PART], vectors[first : first + _JOIN_PART]
                self._queries += len(part)
                finalists = None
                if not exact and only is None:
                    finalists = self._from_graph(queries, k + 1, snapshot)
                if finalists is None:
                    finalists = exact_nearest(queries, k + 1, snapshot, only)
                yield _joined(part, queries, finalists, k)

    def _query_vectors(
        self, queries: Sequence[Query], snapshot: Snapshot
    ) -> tuple[Vectors, list[int | None]]:
        """Find or compute the queries' vectors, and their ids where they are in the index."""
        dimension = snapshot.header().dimension
        vectors = np.empty((len(queries), dimension), dtype=np.float32)
        own: list[int | None] = [None] * len(queries)
        pixels, places = [], []
        for place, query in enumerate(queries):
            if isinstance(query, np.ndarray) and query.ndim == 1:
                vectors[place] = _unit(query, dimension)
                continue
            if isinstance(query, (str, Path)):
                row = _indexed(Path(query), snapshot)
                if row is not None:
                    own[place] = row.id
                    vectors[place] = snapshot.vector(row.id)
                    continue
            size = self.encoder.image_size
            if isinstance(query, np.ndarray):
                photo = photo_from_array(query, size)
            elif isinstance(query, Image.Image):
                photo = photo_from_image(query, size)
            else:
                photo = load_photo(query, size)
            pixels.append(photo.pixels)
            places.append(place)
        if pixels:
            vectors[places] = self.encoder.encode(np.stack(pixels))
        return vectors, own

    def _from_graph(
        self, vectors: Vectors, k: int, snapshot: Snapshot
    ) -> list[tuple[Ids, Vectors]] | None:
        """Ask the graph; None where the exact search has to answer."""
        generation = snapshot.header().generation
        if generation != self._graph_generation:
            if not self._queries:
                return None  # for one query, reading all vectors is quicker than loading the graph
            record = _graph_record(snapshot)
            self._graph = None
            if record and record.generation == generation and record.recall >= TARGET_RECALL:
                self._graph = Graph.load(self.folder, record, vectors.shape[1])
            self._graph_generation = generation
        if self._graph is None:
            return None
        found = self._graph.nearest(vectors, k)
        if found is None:
            return None
        return [(ids, self._graph.vectors(ids)) for ids in found]

    def background(self) -> Background | None:
        """Tell how similar random pairs of this index's photos are; None with fewer than two.

        The sample is taken when photos are added, and again whenever there are half as many more,
        or fewer, than when it was taken.
        """
        with self._catalogue.snapshot() as snapshot:
            text = snapshot.settings(_BACKGROUND_KEYS).get(f"{_BACKGROUND_KEYS}sample")
        return Background.from_text(str(text)) if text else None

    # --- judgements ------------------------------------------------------------------------------

    def mark_distinct(self, digests: Iterable[bytes], *, forget: bool = False) -> None:
        """Remember that photos are no copies of one another, whatever their pictures look like.

        The judgement is about contents: it stays when files are moved, and goes when they change.

        Args:
            digests: content digests of the photos; every pair of them is meant.
            forget: take the judgement back.

        Raises:
            IndexBusyError: another process is writing.
        """
        pairs = list(combinations(sorted(set(digests)), 2))
        with self._catalogue.writer() as writer:
            if forget:
                writer.remove_distinct(pairs)
            else:
                writer.add_distinct(pairs)

    def distinct_pairs(self) -> set[tuple[bytes, bytes]]:
        """Read the pairs of content digests, the lower first, that were marked as distinct."""
        with self._catalogue.snapshot() as snapshot:
            return snapshot.distinct_pairs()

    # --- looking ---------------------------------------------------------------------------------

    def info(self) -> IndexInfo:
        """Tell what the index holds."""
        with self._catalogue.snapshot() as snapshot:
            header, roots = snapshot.header(), sorted(snapshot.roots().values())
            photos, unreadable = snapshot.counts()
            record = _graph_record(snapshot)
        return IndexInfo(
            folder=self.folder,
            photos=photos,
            unreadable=unreadable,
            roots=roots,
            away=[root for root in roots if not root.is_dir()],
            model=header.model,
            encoder_digest=header.encoder_digest,
            dimension=header.dimension,
            bytes=sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file()),
            graph=record if record and record.generation == header.generation else None,
        )

    def find(self, path: Path | str) -> IndexedPhoto | None:
        """Look up the photo of a file; None where the index holds none of that path."""
        with self._catalogue.snapshot() as snapshot:
            for candidate in _names_of(Path(path)):
                row = snapshot.find(candidate)
                if row is not None and row.problem is None:
                    return _public(row, snapshot.roots())
        return None

    def photos(
        self, ids: Sequence[int] | None = None, *, within: Path | str | None = None
    ) -> Iterator[IndexedPhoto]:
        """Go through photos in the order of their ids, or those with the ids given, in that order.

        All are of one committed state. Ids that are not in the index are passed over.

        Args:
            ids: which photos; all where None.
            within: only photos below this folder.
        """
        top = None if within is None else Path(os.path.realpath(within))
        with self._catalogue.snapshot() as snapshot:
            roots = snapshot.roots()
            for row in snapshot.photos(ids):
                if row.problem is None:
                    photo = _public(row, roots)
                    if top is None or photo.path.is_relative_to(top):
                        yield photo

    def vectors(self, ids: Sequence[int] | None = None) -> tuple[Ids, Vectors]:
        """Read stored vectors.

        Args:
            ids: of which photos; of all where None.

        Returns:
            ids, int64, shape = (n,), in rising order, and float32, shape = (n, dimension). Ids that
            are not in the index are passed over.
        """
        with self._catalogue.snapshot() as snapshot:
            every, vectors = all_vectors(snapshot)
        if ids is None:
            return every, vectors
        mine = np.isin(every, np.asarray(ids, dtype=np.int64))
        return every[mine], vectors[mine]

    @property
    def generation(self) -> int:
        """A number that grows with every commit that changes what can be found; quick to read."""
        with self._catalogue.snapshot() as snapshot:
            return snapshot.header().generation

    def __len__(self) -> int:
        """Count the photos that can be found."""
        with self._catalogue.snapshot() as snapshot:
            return snapshot.counts()[0]

    def __iter__(self) -> Iterator[Path]:
        """Go through the paths of all photos that can be found, as they are now."""
        return iter([photo.path for photo in self.photos()])


def _unit(vector: NDArray[Any], dimension: int) -> Vectors:
    length = float(np.linalg.norm(vector))
    if vector.shape != (dimension,) or not np.isfinite(length) or length == 0.0:
        raise UsageError(
            f"a vector must be {dimension} finite numbers, not all zero; got shape {vector.shape}"
        )
    return np.asarray(vector / length, dtype=np.float32)


def _indexed(path: Path, snapshot: Snapshot) -> PhotoRow | None:
    """Find a file in the index, if it is as it was when it was indexed."""
    for candidate in _names_of(path):
        row = snapshot.find(candidate)
        if row is not None and row.problem is None:
            try:
                status = path.stat()
            except OSError:
                return None
            same = (row.size, row.mtime_ns) == (status.st_size, status.st_mtime_ns)
            return row if same else None
    return None


def _names_of(path: Path) -> Iterable[Path]:
    """Name a file as the catalogue may know it: as it was put, and without symbolic links."""
    return dict.fromkeys((path.absolute(), Path(os.path.realpath(path))))


def _ids_below(folder: Path, snapshot: Snapshot) -> Ids:
    roots = snapshot.roots()
    found = (p.id for p in snapshot.photos() if (roots[p.root] / p.path).is_relative_to(folder))
    return np.fromiter(found, np.int64)


def _public(row: PhotoRow, roots: dict[int, Path]) -> IndexedPhoto:
    return IndexedPhoto(
        row.id,
        roots[row.root] / row.path,
        row.size,
        row.mtime_ns,
        row.digest or b"",
        row.width or 0,
        row.height or 0,
    )


def _joined(ids: Ids, queries: Vectors, finalists: list[tuple[Ids, Vectors]], k: int) -> Neighbours:
    neighbours = np.full((len(ids), k), -1, dtype=np.int64)
    scores = np.full((len(ids), k), -np.inf, dtype=np.float32)
    for row, (photo, query, (others, stored)) in enumerate(
        zip(ids, queries, finalists, strict=True)
    ):
        others_scores = (stored @ query).clip(-1.0, 1.0)
        order = [n for n in np.lexsort((others, -others_scores)) if others[n] != photo][:k]
        neighbours[row, : len(order)] = others[order]
        scores[row, : len(order)] = others_scores[order]
    return Neighbours(ids, neighbours, scores)


def _graph_record(snapshot: Snapshot) -> GraphRecord | None:
    values = {
        key.removeprefix(_GRAPH_KEYS): value
        for key, value in snapshot.settings(_GRAPH_KEYS).items()
    }
    if set(values) != {f.name for f in fields(GraphRecord)}:
        return None
    return GraphRecord(**values)  # type: ignore[arg-type]


def _matches(
    query: Vectors,
    ids: Ids,
    stored: Vectors,
    omit: set[int | None],
    k: int,
    snapshot: Snapshot,
    roots: dict[int, Path],
) -> list[Match]:
    """Score the finalists in double precision, order them, and look up their photos."""
    scores = (stored.astype(np.float64) * query.astype(np.float64)).sum(axis=1).clip(-1.0, 1.0)
    rows = zip(snapshot.photos(ids.tolist()), scores.tolist(), strict=True)
    ranked = sorted(
        (-score, roots[row.root] / row.path, row) for row, score in rows if row.id not in omit
    )
    return [
        Match(rank, -negated, path, row.width or 0, row.height or 0, row.id)
        for rank, (negated, path, row) in enumerate(ranked[:k], start=1)
    ]
