"""How well encoders find photos of the same class, and how much of it the graph loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Ids, Pixels, Vectors
from ..encoder.embed import embed_files
from ..encoder.onnx_encoder import Encoder, Encodings
from ..errors import Problem, UsageError
from ..progress import Progress
from ..search.exact import Stored
from ..search.hnsw import TARGET_RECALL, Graph, is_installed
from .labelled import LabelledPhotos
from .metrics import RECALL_AT, Retrieval, measure

Step = Callable[[int], None]
ANSWERS = 10  # that the graph is asked for: what `similar` shows unless told otherwise


@dataclass(frozen=True)
class GraphEvaluation:
    """One encoder's vectors searched through the graph.

    Attributes:
        ef_search: that the graph chose for itself.
        recall: share of the exact ten nearest that it found with that, on a sample of its own.
        trusted: whether an index would use it; it answers exactly where the recall is too low.
        retrieval: measured with the first ``ANSWERS`` from the graph. Photos that it missed rank no
            better than the last of those, all others are in their exact order.
    """

    ef_search: int
    recall: float
    trusted: bool
    retrieval: Retrieval


@dataclass(frozen=True)
class Evaluation:
    """One encoder on one set of labelled photos.

    Attributes:
        model: name or path of the encoder.
        encoder: the encoder itself.
        photos: the set, less the photos that could not be read.
        problems: those, and folders that could not be listed.
        vectors: float32, shape = (photos, dimension).
        exact: every photo compared with all others.
        graph: the same through the graph; None where it was not asked for, or hnswlib is missing.
    """

    model: str
    encoder: Encoder
    photos: LabelledPhotos
    problems: tuple[Problem, ...]
    vectors: Vectors
    exact: Retrieval
    graph: GraphEvaluation | None

    def classes(self) -> Iterator[tuple[str, Retrieval]]:
        """Go through the classes that were asked for, by name."""
        labels = np.asarray(self.photos.labels)[self.exact.queries]
        for label in sorted(set(labels.tolist())):
            yield label, self.exact.part(labels == label)


@dataclass(frozen=True)
class AnsweredQuery:
    """A query and what was found for it; photos are rows of an evaluation's vectors.

    Attributes:
        query: the photo that was asked for.
        average_precision: of its ranking.
        answers: the nearest others, the best first.
        scores: their cosines.
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
        through_graph: build a graph of each encoder's vectors too, and measure through that.
        progress: called with (steps done, steps to do), a step being a photo that is embedded or a
            query that is measured.

    Raises:
        UsageError: no class has two photos that can be read.
        EncoderError: an encoder failed.
    """
    through_graph = through_graph and is_installed()
    sizes = sorted({encoder.image_size for encoder in encoders.values()})
    steps = len(sizes) + len(encoders) * (1 + through_graph)
    done, total = 0, len(photos.paths) * steps

    def step(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    kept, vectors, problems = _embed(photos, list(encoders.values()), sizes, step)
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
    return [
        Evaluation(
            model,
            encoder,
            readable,
            tuple(problems),
            own,
            measure(own, readable.labels, recall_at, step=step),
            _through_graph(own, readable.labels, recall_at, step) if through_graph else None,
        )
        for (model, encoder), own in zip(encoders.items(), vectors, strict=True)
    ]


def worst_queries(evaluation: Evaluation, count: int, answers: int) -> list[AnsweredQuery]:
    """Give the queries of the lowest average precision with their first answers, worst first."""
    precisions = evaluation.exact.of("mAP")
    chosen = np.argsort(precisions, kind="stable")[:count]
    answered = []
    for place in chosen:
        query = int(evaluation.exact.queries[place])
        scores = evaluation.vectors @ evaluation.vectors[query]
        scores[query] = -np.inf
        nearest = np.argsort(-scores, kind="stable")[: min(answers, len(scores) - 1)]
        answered.append(
            AnsweredQuery(
                query,
                float(precisions[place]),
                tuple(nearest.tolist()),
                tuple(scores[nearest].clip(-1, 1).tolist()),
            )
        )
    return answered


class _SideBySide:
    """Encoders that take photos of one size, as one: their vectors are joined end to end."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        self.image_size = encoders[0].image_size
        self._encoders = encoders

    def encode(self, images: Pixels) -> Encodings:
        each = [encoder.encode(images) for encoder in self._encoders]
        return Encodings(
            np.hstack([one.embeddings for one in each]), np.hstack([one.details for one in each])
        )


def _embed(
    photos: LabelledPhotos, encoders: Sequence[Encoder], sizes: list[int], step: Step
) -> tuple[list[int], list[Vectors], list[Problem]]:
    """Embed a set: the rows that every encoder has, the vectors of each, the unreadable photos."""
    embedded: dict[int, dict[int, Vectors]] = {}  # image size → row → vectors end to end
    problems: dict[int, Problem] = {}
    for size in sizes:
        alike = [encoder for encoder in encoders if encoder.image_size == size]
        rows, row = embedded.setdefault(size, {}), 0
        for batch in embed_files(photos.paths, _SideBySide(alike)):
            for file in batch:
                if file.vector is None:
                    problems[row] = Problem(file.path, file.problem or "")
                else:
                    rows[row] = file.vector
                row += 1
            step(len(batch))
    kept = [row for row in range(len(photos.paths)) if row not in problems]
    found: dict[int, Vectors] = {}
    for size in sizes:
        numbers = [n for n, encoder in enumerate(encoders) if encoder.image_size == size]
        joined = np.stack([embedded[size][row] for row in kept]) if kept else np.empty((0, 0))
        ends = np.cumsum([encoders[n].dimension for n in numbers])[:-1]
        parts = np.split(joined.astype(np.float32, copy=False), ends, axis=1)
        found.update(zip(numbers, parts, strict=True))
    return (
        kept,
        [found[n] for n in range(len(encoders))],
        [problems[row] for row in sorted(problems)],
    )


def _through_graph(
    vectors: Vectors, labels: Sequence[str], recall_at: Sequence[int], step: Step
) -> GraphEvaluation:
    everything = np.arange(len(vectors), dtype=np.int64)
    graph = Graph.build(Stored.of_arrays(everything, vectors))
    count = min(ANSWERS, len(vectors) - 1)

    def first(queries: Ids) -> Ids:
        # One more, since a stored photo finds itself; where it did not, the last goes instead.
        answers = graph.nearest(vectors[queries], count + 1)
        found = np.stack(
            [
                # Where the graph cannot tell, an index answers exactly.
                np.argsort(-(vectors @ vectors[query]), kind="stable")[: count + 1]
                if answer is None
                else answer.ids[: count + 1]
                for query, answer in zip(queries, answers, strict=True)
            ]
        )
        itself = found == queries[:, None]
        itself[~itself.any(axis=1), -1] = True
        others: Ids = found[~itself].reshape(len(queries), count)
        return others

    retrieval = measure(vectors, labels, recall_at, first, step=step)
    return GraphEvaluation(graph.ef_search, graph.recall, graph.recall >= TARGET_RECALL, retrieval)
