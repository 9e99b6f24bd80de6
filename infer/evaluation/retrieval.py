"""How well encoders find photos of the same class, stage by stage of the way through an index."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Codes, Pixels, Vectors
from ..encoder.details import quantise_details
from ..encoder.embed import embed_files
from ..encoder.onnx_encoder import Encoder, Encodings
from ..errors import Problem, UsageError
from ..progress import Progress
from ..search.bands import Band
from ..search.hnsw import is_installed
from .labelled import LabelledPhotos
from .metrics import RECALL_AT, Retrieval
from .stages import BandCount, GraphRecall, Stages

Step = Callable[[int], None]


@dataclass(frozen=True)
class Evaluation:
    """One encoder on one set of labelled photos, or on several as one collection.

    Attributes:
        model: name or path of the encoder.
        encoder: the encoder itself.
        photos: the set, less the photos that could not be read.
        problems: those, and folders that could not be listed.
        collection: the photos' vectors, searched as an index does.
        stages: what each stage of a query's way is worth, in their order; the last is what an index
            answers with.
        bands: of the first ten answers, how many of each band are of the query's class.
        graph: what the graph says of itself; None where it was not asked for, or hnswlib is
            missing.
        sets: how many sets the collection is made of.
    """

    model: str
    encoder: Encoder
    photos: LabelledPhotos
    problems: tuple[Problem, ...]
    collection: Stages
    stages: Mapping[str, Retrieval]
    bands: Mapping[Band, BandCount]
    graph: GraphRecall | None
    sets: int = 1

    @property
    def final(self) -> Retrieval:
        """What an index answers with, measured."""
        return list(self.stages.values())[-1]

    def classes(self) -> Iterator[tuple[str, Retrieval]]:
        """Go through the classes that were asked for, by name."""
        labels = np.asarray(self.photos.labels)[self.final.queries]
        for label in sorted(set(labels.tolist())):
            yield label, self.final.part(labels == label)


@dataclass(frozen=True)
class AnsweredQuery:
    """A query and what was found for it; photos are rows of an evaluation's vectors.

    Attributes:
        query: the photo that was asked for.
        average_precision: of its ranking.
        answers: the first others, the best first.
        scores: theirs.
    """

    query: int
    average_precision: float
    answers: tuple[int, ...]
    scores: tuple[float, ...]


def evaluate(
    photos: LabelledPhotos,
    encoders: Mapping[str, Encoder],
    recall_at: Sequence[int] = RECALL_AT,
    through_graph: bool = True,
    progress: Progress | None = None,
) -> list[Evaluation]:
    """Embed a set with several encoders and measure each; a photo is decoded once for all of them.

    Args:
        photos: the set.
        encoders: by the name that they shall be called.
        recall_at: the k of recall@k.
        through_graph: find candidates by a graph of each encoder's vectors, as large indexes do.
        progress: called with (steps done, steps to do), a step being a photo that is embedded or a
            query that is measured at one stage.

    Raises:
        UsageError: no class has two photos that can be read.
        EncoderError: an encoder failed.
    """
    sizes = sorted({encoder.image_size for encoder in encoders.values()})
    stages = 2 + (through_graph and is_installed())  # of an encoder without details
    steps = len(sizes) + sum(stages + 2 * (e.details_dimension > 0) for e in encoders.values())
    step = _counted(len(photos.paths) * steps, progress)
    kept, encoded, problems = _embed(photos, list(encoders.values()), sizes, step)
    problems = [Problem(photos.folder / c.path, c.reason) for c in photos.closed] + problems
    readable = LabelledPhotos(
        photos.folder,
        tuple(photos.paths[i] for i in kept),
        tuple(photos.labels[i] for i in kept),
        photos.outside,
        photos.closed,
    )
    if len(set(readable.labels)) == len(kept):
        raise UsageError(f"no class in {photos.folder} has two photos that can be read")
    found = []
    for (model, encoder), (vectors, codes) in zip(encoders.items(), encoded, strict=True):
        collection = Stages(vectors, codes, through_graph)
        measured = collection.measured(readable.labels, recall_at, step)
        bands = _bands(collection, readable.labels, measured)
        about = (tuple(problems), collection, measured, bands, collection.graph)
        found.append(Evaluation(model, encoder, readable, *about))
    return found


def evaluate_together(
    results: Sequence[Sequence[Evaluation]],
    recall_at: Sequence[int] = RECALL_AT,
    through_graph: bool = True,
    progress: Progress | None = None,
) -> list[Evaluation]:
    """Measure several sets as one collection; a class is one of one set, whatever its name.

    Args:
        results: for each set, what :func:`evaluate` gave with the same encoders.
        recall_at: as for :func:`evaluate`.
        through_graph: likewise.
        progress: likewise.
    """
    photos = _joined([evaluations[0].photos for evaluations in results])
    steps = sum(len(one.stages) for one in results[0])
    step = _counted(len(photos.paths) * steps, progress)
    found = []
    for column in zip(*results, strict=True):
        parts = [one.collection for one in column]
        codes = [part.codes for part in parts if part.codes is not None]
        collection = Stages(
            np.concatenate([part.vectors for part in parts]),
            np.concatenate(codes) if codes else None,
            through_graph,
        )
        measured = collection.measured(photos.labels, recall_at, step)
        problems = tuple(problem for one in column for problem in one.problems)
        bands = _bands(collection, photos.labels, measured)
        about = (problems, collection, measured, bands, collection.graph, len(results))
        found.append(Evaluation(column[0].model, column[0].encoder, photos, *about))
    return found


def worst_queries(evaluation: Evaluation, count: int, answers: int) -> list[AnsweredQuery]:
    """Give the queries of the lowest average precision with their first answers, worst first."""
    precisions = evaluation.final.of("mAP")
    chosen = np.argsort(precisions, kind="stable")[:count]
    queries = evaluation.final.queries[chosen]
    answered = []
    for place, query, (found, scores) in zip(
        chosen, queries, evaluation.collection.answers(queries), strict=True
    ):
        best = np.argsort(-scores, kind="stable")[:answers]
        answered.append(
            AnsweredQuery(
                int(query),
                float(precisions[place]),
                tuple(found[best].tolist()),
                tuple(scores[best].tolist()),
            )
        )
    return answered


def _counted(total: int, progress: Progress | None) -> Step:
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    return step


def _bands(
    collection: Stages, labels: Sequence[str], measured: Mapping[str, Retrieval]
) -> dict[Band, BandCount]:
    return collection.bands(labels, list(measured.values())[-1].queries)


def _joined(sets: Sequence[LabelledPhotos]) -> LabelledPhotos:
    return LabelledPhotos(
        Path(os.path.commonpath([one.folder.absolute() for one in sets])),
        tuple(path.absolute() for one in sets for path in one.paths),
        tuple(f"{one.folder}/{label}" for one in sets for label in one.labels),
        sum(one.outside for one in sets),
        (),
    )


class _SideBySide:
    """Encoders that take photos of one size, as one: their vectors are joined end to end."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        self.image_size = encoders[0].image_size
        self._encoders = encoders

    def encode(self, images: Pixels) -> Encodings:
        each = [encoder.encode(images) for encoder in self._encoders]
        # Rounded here, each by its own largest number, so that rounding all of them changes none.
        details = [quantise_details(one.details).astype(np.float32) for one in each]
        return Encodings(np.hstack([one.embeddings for one in each]), np.hstack(details))


def _embed(
    photos: LabelledPhotos, encoders: Sequence[Encoder], sizes: list[int], step: Step
) -> tuple[list[int], list[tuple[Vectors, Codes | None]], list[Problem]]:
    """Embed a set: the rows that every encoder has, what each gives, the unreadable photos."""
    embedded: dict[int, dict[int, tuple[Vectors, Codes]]] = {}  # image size → row → end to end
    problems: dict[int, Problem] = {}
    for size in sizes:
        alike = [encoder for encoder in encoders if encoder.image_size == size]
        rows, row = embedded.setdefault(size, {}), 0
        for batch in embed_files(photos.paths, _SideBySide(alike)):
            for file in batch:
                if file.vector is None:
                    problems[row] = Problem(file.path, file.problem or "")
                else:
                    codes = np.empty(0, np.int8) if file.details is None else file.details
                    rows[row] = file.vector, codes
                row += 1
            step(len(batch))
    kept = [row for row in range(len(photos.paths)) if row not in problems]
    found: dict[int, tuple[Vectors, Codes | None]] = {}
    for size in sizes:
        numbers = [n for n, encoder in enumerate(encoders) if encoder.image_size == size]
        alike = [encoders[n] for n in numbers]
        rows = embedded[size]
        vectors = _apart([rows[row][0] for row in kept], [one.dimension for one in alike])
        details = _apart([rows[row][1] for row in kept], [one.details_dimension for one in alike])
        for number, own, codes in zip(numbers, vectors, details, strict=True):
            found[number] = own.astype(np.float32), codes if codes.shape[1] else None
    return (
        kept,
        [found[n] for n in range(len(encoders))],
        [problems[row] for row in sorted(problems)],
    )


def _apart(rows: Sequence[NDArray[Any]], lengths: Sequence[int]) -> list[NDArray[Any]]:
    """Take rows apart that were joined end to end."""
    joined = np.stack(rows) if rows else np.empty((0, sum(lengths)))
    return np.split(joined, np.cumsum(lengths)[:-1], axis=1)
