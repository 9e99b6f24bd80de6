"""The façade: an index of photos that can be added to and searched.

The command line uses this and nothing below it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Ids, Vectors
from ..catalogue.database import Catalogue
from ..catalogue.reader import Snapshot
from ..catalogue.rows import BLOCK_SLOTS, NO_FOLDER, PhotoRow
from ..encoder.details import details_of
from ..encoder.digest import graph_digest
from ..encoder.onnx_encoder import Encoder, model_path
from ..errors import (
    EncoderError,
    IndexBusyError,
    IndexMismatchError,
    IndexMissingError,
    Problem,
    UsageError,
)
from ..files import data_folder
from ..scale.postgres import is_database
from ..search.calibration import is_missing, means, rarity
from ..search.exact import Chunk, Nearest, all_vectors, stream
from ..search.planner import Searcher
from ..search.rarity import Rarity
from ..search.scores import Means
from .answers import Wishes, answered, combined, ids_below, photos_where, prepared
from .judgements import Judgements
from .query import names_of, query_vectors
from .results import IndexedPhoto as IndexedPhoto
from .results import IndexInfo as IndexInfo
from .results import Match as Match
from .results import Neighbours as Neighbours

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..progress import Progress
    from ..scale.postgres.publish import Published
    from .items import Item
    from .query import Query
    from .report import AddReport
    from .results import Conditions, Order
    from .verify import Finding

_GRAPH_GROWS_AT = 2  # times as many photos as the graph holds, when items are added
_BLOCKS_DRAWN = 64  # of vectors, in which photos are drawn at random
_JOIN_PART = 1024  # photos of a self-join that are asked for at once
_VARIABLE = "IMGSIM_EDGE_INDEX"  # of the environment: names the default place


def default_index() -> Path:
    """Name the folder of the index: ``$IMGSIM_EDGE_INDEX`` or a place for this user's data."""
    return data_folder("index", _VARIABLE)


def _named(folder: Path | str | None) -> Path | str | None:
    """Take the place that was given, or else the one that the environment names."""
    return folder or os.environ.get(_VARIABLE)


class ImageIndex(Judgements):
    """An index of photos in a folder of its own. Make one with :meth:`open` or :meth:`create`.

    Everything that reads (searching, looking, :meth:`verify`) may be done from several threads at
    once, and beside one writer in this or another process: each answer is of one committed state.
    What writes (:meth:`add`, :meth:`upsert`, :meth:`discard`, :meth:`remove`, :meth:`forget`,
    :meth:`repair`, what :class:`Judgements` remember) is for one thread of one process at a time;
    another one gets an IndexBusyError at once. Whatever interrupts a writer, what it had committed
    stays and nothing else.

    Any method may raise IndexDamagedError where what it reads is not what was written, and
    IndexBusyError where another process kept the catalogue to itself for half a minute.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        model: Path | str | None = None,
        searcher: type[Searcher] = Searcher,
    ) -> None:
        self.folder = catalogue.folder
        self.place = catalogue.place
        super().__init__(catalogue)
        self._model = model
        self._encoder: Encoder | None = None  # quickest for one photo: a call uses every core
        self._adds_with: Encoder | None = None  # quickest for many: called once for each core
        self._encoder_lock = threading.Lock()
        self._searcher = searcher(catalogue.folder)
        with catalogue.snapshot() as snapshot:
            self._made_by = snapshot.header()  # an index keeps its encoder for life
        if model is not None:
            _ = self.encoder  # a model that was asked for by name must fit at once

    # --- life ------------------------------------------------------------------------------------

    @classmethod
    def open(cls, folder: Path | str | None = None, model: Path | str | None = None) -> ImageIndex:
        """Open an existing index. One of an older format is brought to the present one.

        Args:
            folder: where it lies; the default place where None. An address such as
                ``postgresql://USER@HOST/DATABASE`` opens what :meth:`publish` has put there: all
                that reads works on it, nothing can be changed, and labels are not there.
            model: the encoder, by name or path; the one that made the index where None.

        Raises:
            IndexMissingError: there is none.
            IndexMismatchError: of a newer format, or made by another encoder than ``model``.
            IndexDamagedError: its catalogue is damaged.
        """
        place = _named(folder)
        if is_database(place):
            from ..scale.postgres.database import PostgresCatalogue
            from ..scale.postgres.searcher import PostgresSearcher

            return cls(PostgresCatalogue(str(place)), model, PostgresSearcher)
        index = cls(Catalogue(Path(folder) if folder else default_index()), model)
        index._calibrate()
        return index

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
            if is_database(_named(folder)):
                raise
            encoder = Encoder(model or "default", threads=1)
            encoder.try_out()
            name = "default" if model is None else str(model)
            where = Path(folder) if folder else default_index()
            if Path(name).is_file():
                name = str(Path(name).absolute())
            catalogue = Catalogue.create(
                where, encoder.digest, name, encoder.dimension, encoder.details_dimension
            )
            index = cls(catalogue)
            index._adds_with = encoder
            return index

    @staticmethod
    def repair(folder: Path | str | None = None) -> list[Finding]:
        """Rebuild what can be rebuilt of a damaged index, and say what cannot.

        Every photo whose row and vector are proven by their checksums is kept. The next
        :meth:`add` looks at every file again and takes in what was lost. The damaged catalogue is
        kept beside the new one where anything was.

        Returns:
            what was found and done; empty where nothing was wrong.

        Raises:
            IndexDamagedError: it cannot even be told which encoder made the index.
            IndexMissingError, IndexBusyError, UsageError: as elsewhere.
        """
        from .repair import repair

        if is_database(_named(folder)):
            raise UsageError("a published index is repaired by publishing it again")
        return repair(Path(folder) if folder else default_index())

    def _calibrate(self) -> None:
        """Take the means and rarities of a collection that has none, so that bands tell the truth.

        Where that cannot be written, or another process is writing, scores stay as they are.
        """
        with self._catalogue.snapshot() as snapshot:
            if not is_missing(snapshot):
                return
        from ..search.calibration import renew

        with suppress(IndexBusyError, UsageError), self._catalogue.writer() as writer:
            renew(writer)

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
        with self._encoder_lock:
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
        self._check_digest(name, encoder.digest)
        return encoder

    def check_model(self) -> None:
        """Check that the encoder which made this index is there, without loading it.

        Raises:
            EncoderError, IndexMismatchError: as for :attr:`encoder`.
        """
        name = str(self._model or self._made_by.model)
        path = model_path(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise EncoderError(f"cannot read the model {path}: {error.strerror}") from error
        self._check_digest(name, graph_digest(content))

    def _check_digest(self, name: str, digest: str) -> None:
        if digest != self._made_by.encoder_digest:
            raise IndexMismatchError(
                f"the index in {self.place} was made by another encoder than {name} "
                f"({self._made_by.model}, digest {self._made_by.encoder_digest[:8]}…): name "
                "that model, or index again into another folder"
            )

    @contextmanager
    def frozen(self) -> Iterator[ImageIndex]:
        """Lend an index that stands still: whatever is read through it is of one committed state.

        It is for one thread, for reading, and shares nothing that changes with this one.
        """
        with self._catalogue.frozen() as catalogue:
            yield ImageIndex(catalogue, searcher=type(self._searcher))

    # --- changing --------------------------------------------------------------------------------

    def add(
        self,
        paths: Sequence[Path | str] | None = None,
        progress: Progress | None = None,
        threads: int | None = None,
        *,
        allow_empty: bool = False,
        graph_progress: Progress | None = None,
        exclude: Sequence[str] | None = None,
        retry: bool = False,
    ) -> AddReport:
        """Bring the index up to date with folders of photos, or with single files.

        Only files that are new or whose size or time changed are read, and only those with new
        content are decoded. Photos whose files are gone leave the index; a root folder that is
        missing or empty, or a mount point with nothing mounted, empties nothing. Work is committed
        batch by batch: whatever ends this call, what was committed stays, and the next goes on.
        At the end the graph is brought up to date.

        Args:
            paths: folders, each with everything below it, and single files inside folders that are
                known; all known folders where None. A path inside a known folder that is no longer
                there leaves the index.
            progress: called with (files done, files to do) after every batch.
            threads: how many photos are worked on at once; one for each core by default.
            allow_empty: a new folder may be without photos yet: it is remembered.
            graph_progress: called with (vectors done, vectors to do) while the graph is built.
            exclude: patterns of what is passed over below the roots of ``paths`` from now on (see
                ``ignore``); what was said before counts where None.
            retry: also try files again that failed before and have not changed.

        Raises:
            UsageError: a folder is no folder and unknown, or none of them holds a photo; or the
                disk is full.
            IndexBusyError: another process is writing.
            EncoderError: the encoder fails.
        """
        from ..search.hnsw_refresh import refresh
        from .update import Update

        with self._catalogue.writer() as writer:
            update = Update(
                writer,
                self._adding_encoder,
                progress,
                threads,
                allow_empty=allow_empty,
                retry=retry,
            )
            known = [root.path for root in writer.roots().values() if root.path != NO_FOLDER]
            wanted = known if paths is None else [Path(os.path.realpath(path)) for path in paths]
            update.run(wanted, exclude)
            refresh(writer, self.folder, graph_progress)
        return update.report

    def add_vectors(
        self,
        folder: Path | str,
        progress: Progress | None = None,
        *,
        graph_progress: Progress | None = None,
    ) -> AddReport:
        """Take in the shards that ``embed_sources`` has made, here or elsewhere, and embed nothing.

        The index holds then what :meth:`add` would have put there for the same photos. Photos that
        have left a source leave the index; a run that was ended goes on when it is called again.
        One shard is in memory at a time. Photos in storage and in archives have a relative path,
        and their whole address as ``payload["address"]``.

        Args:
            folder: of the shards.
            progress: called with (rows done, rows to do) after every shard.
            graph_progress: called with (vectors done, vectors to do) while the graph is built.

        Raises:
            IndexMismatchError: they were made by another encoder.
            IndexMissingError, IndexDamagedError: there are none, or not those that were written.
            UsageError: they are not finished, or the disk is full.
            IndexBusyError: another process is writing.
        """
        from ..scale.intake import finished_shards, take_in
        from ..search.hnsw_refresh import refresh
        from .report import AddReport

        manifest = finished_shards(Path(folder))
        with self._catalogue.writer() as writer:
            intake = take_in(writer, Path(folder), manifest, progress)
            refresh(writer, self.folder, graph_progress)
        return AddReport(
            added=intake.added,
            changed=intake.changed,
            removed=intake.removed,
            unchanged=intake.unchanged,
            fresh=intake.fresh,
            problems=intake.problems,
        )

    @staticmethod
    def encoder_of(folder: Path | str) -> str:
        """Name the encoder that made the vectors in a folder of shards; see :meth:`add_vectors`.

        Raises:
            IndexMissingError, IndexMismatchError, IndexDamagedError, UsageError: likewise.
        """
        from ..scale.intake import finished_shards

        return finished_shards(Path(folder)).encoder.model

    def publish(self, address: str, progress: Progress | None = None) -> Published:
        """Put this index into a PostgreSQL with pgvector, or bring it there up to date.

        In one transaction: who reads there sees the state before, and then this one. What is there
        of a content is not sent again. :meth:`open` with the same address searches it. Nothing is
        needed there but a schema ``imgsim_edge`` of the user's own, or the right to make one.

        Args:
            address: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, as libpq takes it.
            progress: called with (rows sent, rows to send).

        Raises:
            UsageError: the database cannot be used: no pgvector, no right, a full disk.
            IndexMismatchError: it holds an index of another encoder or of a newer version.
            IndexBusyError: another process is publishing there, or the connection failed.
        """
        from ..scale.postgres.publish import publish

        with self._catalogue.snapshot() as snapshot:
            return publish(snapshot, address, progress)

    def upsert(self, items: Sequence[Item]) -> list[int]:
        """Add photos and vectors that have no file, in one commit: frames of a camera, uploads.

        One whose name is there already takes its place, and keeps its id. What is added can be
        found as photos of files are; :attr:`Match.path` is the item's name then, and
        :attr:`Match.payload` what was given with it. The graph is brought up to date whenever the
        collection has doubled (and by every :meth:`add`); what it does not know yet is compared
        with every query, so that nothing is missed.

        Returns:
            the items' ids, in their order.

        Raises:
            UsageError: a name, payload or vector is none, a name is there twice, or the disk is
                full.
            PhotoError: a content is no photo; nothing is added then.
            IndexBusyError: another process is writing.
            EncoderError, IndexMismatchError: as for :attr:`encoder`.
        """
        from ..search.calibration import renew
        from ..search.hnsw_refresh import refresh
        from .items import encode_items, store_items

        encoded = encode_items(items, self._made_by.dimension, lambda: self.encoder)
        with self._catalogue.writer() as writer:
            ids = store_items(writer, encoded)
            renew(writer)
            graph = writer.header().graph
            if writer.header().photos > _GRAPH_GROWS_AT * (graph.count if graph else 0):
                refresh(writer, self.folder)
        return ids

    def discard(self, names: Iterable[str]) -> int:
        """Take items that :meth:`upsert` has added out of the index, in one commit.

        Returns:
            how many there were of these names.

        Raises:
            IndexBusyError: another process is writing.
        """
        from .items import remove_items

        with self._catalogue.writer() as writer:
            return remove_items(writer, names)

    def item(self, name: str) -> IndexedPhoto | None:
        """Look up an item that :meth:`upsert` has added; None where there is none of that name."""
        from .items import find_item

        with self._catalogue.snapshot() as snapshot:
            row = find_item(snapshot, name)
            return None if row is None else _public(row, snapshot)

    def remove(self, paths: Sequence[Path | str]) -> int:
        """Take photos out of the index, by their files or by folders above them.

        The files themselves are not touched; where they still exist, the next :meth:`add` of their
        folder finds them again. All leave in one commit.

        Returns:
            how many photos left.

        Raises:
            IndexBusyError: another process is writing.
        """
        from ..catalogue.writer import Batch
        from ..search.hnsw_refresh import refresh

        with self._catalogue.writer() as writer:
            gone = {
                number
                for path in paths
                for name in names_of(Path(path))
                for number in writer.ids_below(name).tolist()
            }
            if gone:
                writer.commit(Batch(gone=sorted(gone)))
                refresh(writer, self.folder)
        return len(gone)

    def forget(self, root: Path | str) -> int:
        """Forget a root folder with all its photos, in one commit. Its files are not touched.

        Returns:
            how many photos left.

        Raises:
            UsageError: it is no root folder of this index.
            IndexBusyError: another process is writing.
        """
        from ..search.hnsw_refresh import refresh

        with self._catalogue.writer() as writer:
            roots = {known.path: known.id for known in writer.roots().values()}
            roots.pop(NO_FOLDER, None)
            named = [name for name in names_of(Path(root)) if name in roots]
            if not named:
                listed = ", ".join(map(str, roots)) or "none"
                raise UsageError(f"{root} is no folder that was indexed (these were: {listed})")
            count = writer.forget(roots[named[0]])
            refresh(writer, self.folder)
        return count

    def relocate(self, old: Path | str, new: Path | str) -> list[Path]:
        """Tell the index that a library has moved, in one commit. No photo is read.

        Args:
            old: where it was: a root folder, or a folder above some.
            new: where it is.

        Returns:
            the new paths of the roots that moved.

        Raises:
            UsageError: no root was there, or the new place is not there or overlaps another root.
            IndexBusyError: another process is writing.
        """
        target = Path(os.path.realpath(new))
        if not target.is_dir():
            raise UsageError(f"{new} is no folder: name the place where the photos are now")
        with self._catalogue.writer() as writer:
            roots = [root for root in writer.roots().values() if root.path != NO_FOLDER]
            for source in names_of(Path(old)):
                moved = {
                    root.id: target / root.path.relative_to(source)
                    for root in roots
                    if root.path.is_relative_to(source)
                }
                if moved:
                    break
            else:
                listed = ", ".join(str(root.path) for root in roots) or "none"
                raise UsageError(f"no folder that was indexed is in {old} (these were: {listed})")
            for other in roots:
                for place in moved.values() if other.id not in moved else ():
                    if other.path.is_relative_to(place) or place.is_relative_to(other.path):
                        raise UsageError(
                            f"{place} overlaps {other.path}, which was indexed too: "
                            "forget one of them first"
                        )
            writer.relocate(moved)
        return list(moved.values())

    # --- searching -------------------------------------------------------------------------------

    def similar(
        self,
        query: Query,
        k: int = 10,
        *,
        exact: bool = False,
        within: Path | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        camera: str | None = None,
        label: str | None = None,
        min_score: float | None = None,
        min_rarity: float | None = None,
        omit: Collection[int] = (),
        copies: bool = True,
        unrelated: bool = True,
        order: Order = "likeness",
        combine: Sequence[Query] = (),
        exclude: Sequence[Query] = (),
    ) -> list[Match]:
        """Find the photos most similar to one photo, or to several together.

        Candidates are found by their embeddings and put in order by their details, if the encoder
        gives some. A query that is a vector has no details: its answers are in the order of the
        embeddings.

        Args:
            query: a path, the bytes of an image file, a binary file, a Pillow image, pixels (uint8,
                shape = (height, width, 3)), a photo of the index (:class:`IndexedPhoto`) or an
                embedding (float, shape = (dimension,)).
            k: how many at most.
            exact: compare with every photo, whatever the graph could tell.
            within: only photos below this folder.
            since: only photos taken at this time, by the camera's clock, or later.
            until: only photos taken before; :func:`~.periods.period_of` reads dates.
            camera: only photos of a camera whose name contains this.
            label: only photos that were said to show what this label says.
            min_score: only photos with at least this score.
            min_rarity: only photos so similar that at most one random pair in so many is.
            omit: ids of photos that are no answer.
            copies: give every photo with the same bytes, not only the first by path.
            unrelated: also give answers of the band ``"weak"``.
            order: ``"date"`` puts the newest first and photos without a date last; ranks stay.
            combine: more photos to be like: the query is the mean of all.
            exclude: photos to be unlike.

        Returns:
            The best first; equal scores in the order of paths. Photos of the index that the query
            is made of are not among its answers.

        Raises:
            PhotoError: a query is no photo.
            UsageError: ``within`` is not in the index, it is too small for ``min_rarity``, or
                nothing is left of the query.
            EncoderError, IndexMismatchError: as for :attr:`encoder`.
        """
        return self.similar_to_groups(
            [[query, *combine]],
            k,
            exact=exact,
            within=within,
            since=since,
            until=until,
            camera=camera,
            label=label,
            min_score=min_score,
            min_rarity=min_rarity,
            omit=omit,
            copies=copies,
            unrelated=unrelated,
            order=order,
            exclude=exclude,
        )[0]

    def similar_many(
        self, queries: Sequence[Query], k: int = 10, **wishes: Unpack[Conditions]
    ) -> list[list[Match]]:
        """Answer several queries at once; see :meth:`similar`. All see the same state."""
        return self.similar_to_groups([[query] for query in queries], k, **wishes)

    def similar_to_groups(
        self,
        groups: Sequence[Sequence[Query]],
        k: int = 10,
        *,
        exact: bool = False,
        within: Path | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        camera: str | None = None,
        label: str | None = None,
        min_score: float | None = None,
        min_rarity: float | None = None,
        omit: Collection[int] = (),
        copies: bool = True,
        unrelated: bool = True,
        order: Order = "likeness",
        exclude: Sequence[Query] = (),
    ) -> list[list[Match]]:
        """Answer queries, each the mean of a group of photos; see :meth:`similar`."""
        if k < 1:
            raise UsageError(f"the number of answers must be at least 1, not {k}")
        with self._catalogue.snapshot() as snapshot:
            mean = means(snapshot)
            every = [query for group in groups for query in (*group, *exclude)]
            asked = iter(prepared(query_vectors(every, snapshot, lambda: self.encoder), mean))
            ready = []
            for group in groups:
                wanted, unlike = list(islice(asked, len(group))), list(islice(asked, len(exclude)))
                whole = len(wanted) == 1 and not unlike
                ready.append(wanted[0] if whole else combined(wanted, unlike))
            only = photos_where(within, since, until, camera, label, snapshot)
            wishes = Wishes(
                *(k, exact, only, min_score, min_rarity, frozenset(omit), copies, unrelated),
                order=order,
            )
            return answered(ready, wishes, snapshot, self._searcher, mean)

    def embed(self, queries: Sequence[Query]) -> Vectors:
        """Give the vectors of queries: float32, shape = (len(queries), dimension), unit length.

        A file that is in the index as it is now is not decoded again. Errors as for
        :meth:`similar`.
        """
        with self._catalogue.snapshot() as snapshot:
            return query_vectors(queries, snapshot, lambda: self.encoder).vectors

    def neighbours(
        self,
        k: int = 10,
        *,
        exact: bool = False,
        within: Path | str | None = None,
        centred: bool = True,
    ) -> Iterator[Neighbours]:
        """Join the index with itself: the ``k`` nearest others of every photo, part by part.

        Memory holds one part and the graph (or all vectors), never a square. One committed state is
        seen from the first part to the last. Photos are compared by their embeddings.

        Args:
            k: how many others at most.
            exact: compare with every photo, whatever the graph could tell.
            within: only photos below this folder, on both sides.
            centred: take the collection's mean off first, as :meth:`similar` does. Without, every
                photo is compared: the graph holds centred vectors.
        """
        with self._catalogue.snapshot() as snapshot:
            only = None if within is None else ids_below(within, snapshot)
            mean = means(snapshot)
            if not centred:
                mean = Means(np.zeros_like(mean.embedding), mean.details)
            ids, vectors = all_vectors(snapshot, mean.embedding)
            if only is not None:
                mine = np.isin(ids, only)
                ids, vectors = ids[mine], vectors[mine]
            for first in range(0, len(ids), _JOIN_PART):
                part, queries = ids[first : first + _JOIN_PART], vectors[first : first + _JOIN_PART]
                found = self._searcher.nearest(
                    queries, k + 1, snapshot, mean, exact=exact, only=only
                )
                yield _joined(part, found, k)

    def rarity(self) -> Rarity | None:
        """Tell how rare a score is in this collection; None with fewer than two photos.

        It is measured when photos are added, and again whenever there are half as many more, or
        fewer, than when it was measured.
        """
        with self._catalogue.snapshot() as snapshot:
            return rarity(snapshot)

    # --- looking ---------------------------------------------------------------------------------

    def find(self, path: Path | str) -> IndexedPhoto | None:
        """Look up the photo of a file; None where the index holds none of that path."""
        with self._catalogue.snapshot() as snapshot:
            for candidate in names_of(Path(path)):
                row = snapshot.find(candidate)
                if row is not None:
                    return _public(row, snapshot)
        return None

    def photos_of(self, digests: Iterable[bytes]) -> list[IndexedPhoto]:
        """Find the photos of some contents, in the order of their ids; copies are all given."""
        with self._catalogue.snapshot() as snapshot:
            return [_public(row, snapshot) for row in snapshot.of_digests(digests)]

    def photos(
        self,
        ids: Sequence[int] | None = None,
        *,
        within: Path | str | None = None,
        label: str | None = None,
    ) -> Iterator[IndexedPhoto]:
        """Go through photos in the order of their ids, or those with the ids given, in that order.

        All are of one committed state. Ids that are not in the index are passed over.

        Args:
            ids: which photos; all where None.
            within: only photos below this folder.
            label: only photos that were said to show what this label says.
        """
        with self._catalogue.snapshot() as snapshot:
            found = photos_where(within, None, None, None, label, snapshot)
            only = None if found is None else set(found.tolist())
            for row in snapshot.photos(ids):
                if only is None or row.id in only:
                    yield _public(row, snapshot)

    def ids(
        self,
        *,
        within: Path | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        camera: str | None = None,
        label: str | None = None,
    ) -> Ids:
        """List the ids of photos for which conditions hold: int64, shape = (n,), in rising order.

        Arguments and errors are those of :meth:`similar`.
        """
        with self._catalogue.snapshot() as snapshot:
            found = photos_where(within, since, until, camera, label, snapshot)
            if found is not None:
                return found
            every = (number for number, _ in snapshot.photo_column("id", "id >= 0", ()))
            return np.sort(np.fromiter(every, dtype=np.int64))

    def vectors(self, ids: Sequence[int] | None = None) -> tuple[Ids, Vectors]:
        """Read stored vectors.

        Args:
            ids: of which photos; of all where None.

        Returns:
            ids, int64, shape = (n,), in rising order, and float32, shape = (n, dimension). Ids that
            are not in the index are passed over.
        """
        with self._catalogue.snapshot() as snapshot:
            if ids is None:
                return all_vectors(snapshot)
            wanted = np.unique(np.asarray(ids, dtype=np.int64))
            held: list[Ids] = [np.empty(0, np.int64)]
            vectors: list[Vectors] = [np.empty((0, snapshot.header().dimension), np.float32)]
            for number in np.unique(wanted // BLOCK_SLOTS).tolist():
                for block in snapshot.blocks(first=number, count=1):
                    slots = wanted[wanted // BLOCK_SLOTS == number] - block.first
                    slots = slots[block.live[slots]]
                    held.append(slots + block.first)
                    vectors.append(block.vectors[slots])
        return np.concatenate(held), np.concatenate(vectors)

    def draw(self, count: int) -> Ids:
        """Draw photos at random, the same each time: int64, shape = (at most count,), rising.

        Of a large index, only some blocks are read, and several photos are taken of each.
        """
        random = np.random.default_rng(0)
        with self._catalogue.snapshot() as snapshot:
            numbers = random.permutation(snapshot.changed_blocks(-1))[:_BLOCKS_DRAWN]
            drawn = [np.empty(0, np.int64)]
            for number in numbers.tolist():
                blocks = snapshot.blocks(first=number, count=1)
                drawn += [np.flatnonzero(block.live) + block.first for block in blocks]
        ids = random.permutation(np.concatenate(drawn))[:count]
        return np.sort(ids)

    def vector_parts(self) -> Iterator[Chunk]:
        """Go through all stored vectors of one committed state, a bounded part at a time."""
        with self._catalogue.snapshot() as snapshot:
            yield from stream(snapshot)

    def details(self, ids: Sequence[int]) -> Vectors:
        """Read stored details.

        Args:
            ids: of which photos.

        Returns:
            float32, shape = (len(ids), details), of unit length; of zeros for photos that have
            none or are not in the index, and of no columns where the encoder gives none.
        """
        with self._catalogue.snapshot() as snapshot:
            found = np.zeros((len(ids), snapshot.header().details), dtype=np.float32)
            wanted = np.asarray(ids, dtype=np.int64)
            # By blocks, whose checksums prove them: the photos' rows need not be read.
            for number in np.unique(wanted // BLOCK_SLOTS).tolist() if found.size else ():
                for block in snapshot.details_blocks(first=number, count=1):
                    places = np.flatnonzero(wanted // BLOCK_SLOTS == number)
                    found[places] = details_of(block.codes[wanted[places] % BLOCK_SLOTS])
        return found

    def unreadable(self) -> Iterator[Problem]:
        """Go through the files that could not be read as photos when they were last looked at."""
        with self._catalogue.snapshot() as snapshot:
            for row in snapshot.unreadable():
                yield Problem(snapshot.path(row), row.reason)

    def info(self) -> IndexInfo:
        """Tell what the index holds."""
        from ..search.hnsw import is_installed

        with self._catalogue.snapshot() as snapshot:
            header = snapshot.header()
            roots = sorted({root.path for root in snapshot.roots().values()} - {NO_FOLDER})
            unreadable = sum(1 for _ in snapshot.unreadable())
        return IndexInfo(
            folder=self.folder,
            photos=header.photos,
            unreadable=unreadable,
            roots=roots,
            away=[root for root in roots if not root.is_dir()],
            model=header.model,
            encoder_digest=header.encoder_digest,
            dimension=header.dimension,
            bytes=self._catalogue.bytes(),
            graph=header.graph,
            hnswlib=is_installed(),
        )

    def verify(self) -> list[Finding]:
        """Read everything and check it: every checksum, SQLite's own check, the graph's file.

        Returns:
            what is wrong; empty where nothing is.

        Raises:
            UsageError: it is a published index.
        """
        from .verify import verify

        if is_database(self.place):
            raise UsageError("a published index is verified where it was published from")
        return verify(self._catalogue)

    @property
    def generation(self) -> int:
        """A number that grows with every commit that changes what can be found; quick to read."""
        with self._catalogue.snapshot() as snapshot:
            return snapshot.header().generation

    def __len__(self) -> int:
        """Count the photos that can be found."""
        with self._catalogue.snapshot() as snapshot:
            return snapshot.header().photos

    def __iter__(self) -> Iterator[Path]:
        """Go through the paths of all photos that can be found, as they are now."""
        return iter([photo.path for photo in self.photos()])


def _public(row: PhotoRow, snapshot: Snapshot) -> IndexedPhoto:
    path = snapshot.path(row)
    about_file = (row.size, row.mtime_ns, row.digest)
    return IndexedPhoto(
        row.id, path, *about_file, row.width, row.height, row.metadata, _payload(row)
    )


def _payload(row: PhotoRow) -> Any:
    return None if row.payload is None else json.loads(row.payload)


def _joined(ids: Ids, found: list[Nearest], k: int) -> Neighbours:
    neighbours = np.full((len(ids), k), -1, dtype=np.int64)
    scores = np.full((len(ids), k), -np.inf, dtype=np.float32)
    for row, (photo, nearest) in enumerate(zip(ids, found, strict=True)):
        others = np.flatnonzero(nearest.ids != photo)[:k]
        neighbours[row, : len(others)] = nearest.ids[others]
        scores[row, : len(others)] = nearest.scores[others]
    return Neighbours(ids, neighbours, scores)
