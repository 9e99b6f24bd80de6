"""An evaluation's figures, as a table for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .metrics import Estimate, estimate
from .retrieval import ANSWERS, Evaluation

Results = Sequence[Sequence[Evaluation]]  # for each set, an evaluation for each encoder
Estimates = Mapping[str, Estimate]


@dataclass(frozen=True)
class Figures:
    """What was measured of one encoder, on one set or on the mean of several.

    Attributes:
        model: its name or path.
        exact: every measure, every photo compared with all others.
        graph: likewise through the graph; None where that was not asked for.
        graph_loss: how much less that is, each query compared with itself.
        gain: how much more this encoder has than the first one; None for the first one.
    """

    model: str
    exact: Estimates
    graph: Estimates | None
    graph_loss: Estimates | None
    gain: Estimates | None


def figures(results: Results, seed: int = 0) -> list[Figures]:
    """Average each encoder over the sets that are given (one or more)."""
    columns = list(zip(*results, strict=True))
    first = [one.exact for one in columns[0]]
    found = []
    for column in columns:
        exact = [one.exact for one in column]
        graph = [one.graph.retrieval for one in column if one.graph]
        found.append(
            Figures(
                column[0].model,
                estimate(exact, seed=seed),
                estimate(graph, seed=seed) if graph else None,
                estimate(exact, graph, seed) if graph else None,
                None if column is columns[0] else estimate(exact, first, seed),
            )
        )
    return found


def as_objects(results: Results, per_class: bool, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Describe, for JSON, each encoder on each set, then each one's mean over several sets."""
    for evaluations in results:
        for one, told in zip(evaluations, figures([evaluations], seed), strict=True):
            line = {
                "set": str(one.photos.folder),
                **asdict(told),
                "encoder_digest": one.encoder.digest,
                "dimension": one.encoder.dimension,
                "photos": len(one.photos.paths),
                "classes": len(set(one.photos.labels)),
                "queries": len(one.exact.queries),
                "alone": one.exact.alone,
                "outside": one.photos.outside,
                "unreadable": [{"path": str(u.path), "reason": u.reason} for u in one.problems],
                "graph_ef_search": one.graph.ef_search if one.graph else None,
                "graph_recall": one.graph.recall if one.graph else None,
            }
            if per_class:
                line["per_class"] = {
                    label: {"queries": len(part.queries), **_plain(estimate([part], seed=seed))}
                    for label, part in one.classes()
                }
            yield line
    if len(results) > 1:
        for told in figures(results, seed):
            yield {"set": None, "sets": len(results), **asdict(told)}


def as_tables(results: Results, per_class: bool, seed: int = 0) -> Iterator[str]:
    """Lay out each set, then the mean over several sets: a row a measure, a column an encoder."""
    for evaluations in results:
        parts = [headline(evaluations[0]), aligned(measure_rows(figures([evaluations], seed)))]
        if evaluations[0].graph:
            parts.append(aligned(_graphs(evaluations)))
        if per_class:
            parts.append(aligned(class_rows(evaluations, seed)))
        yield "\n".join(parts)
    if len(results) > 1:
        yield f"mean of {len(results)} sets\n{aligned(measure_rows(figures(results, seed)))}"


def class_rows(evaluations: Sequence[Evaluation], seed: int = 0) -> list[list[str]]:
    """Tabulate the classes, a header first: queries, then mAP and P@1 of each encoder."""
    rows = [["class", "queries", *(f"{m} {e.model}" for e in evaluations for m in ("mAP", "P@1"))]]
    for parts in zip(*(one.classes() for one in evaluations), strict=True):
        label, part = parts[0]
        row = [label, f"{len(part.queries):,}"]
        for _, one in parts:
            found = estimate([one], seed=seed)
            row += [interval(found["mAP"]), interval(found["P@1"])]
        rows.append(row)
    return rows


def interval(one: Estimate) -> str:
    """Write a mean and its interval: ``0.453 (0.441 to 0.466)``."""
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells in columns, indented; a row of one cell is a heading and may be as long."""
    full = [row for row in rows if len(row) > 1]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    lines = []
    for row in rows:
        cells = row if len(row) == 1 else map(str.ljust, row, widths)
        lines.append(f"  {'   '.join(cells)}".rstrip())
    return "\n".join(lines)


def _plain(estimates: Estimates) -> dict[str, Any]:
    return {name: asdict(one) for name, one in estimates.items()}


def headline(one: Evaluation) -> str:
    """Tell what a set holds."""
    classes, queries = len(set(one.photos.labels)), len(one.exact.queries)
    alone = f" ({one.exact.alone:,} are alone in their class)" if one.exact.alone else ""
    return (
        f"{one.photos.folder}: {len(one.photos.paths):,} photos, {classes:,} classes, "
        f"{queries:,} queries{alone}"
    )


def measure_rows(columns: Sequence[Figures]) -> list[list[str]]:
    """Tabulate every measure, a header first; a row of one cell is a heading."""
    names = list(columns[0].exact)
    rows = [["", *(column.model for column in columns)]]
    rows += [[name, *(interval(c.exact[name]) for c in columns)] for name in names]
    if columns[0].graph:
        rows.append([f"through the graph (the first {ANSWERS} answers)"])
        rows += [[name, *(_lost(c, name) for c in columns)] for name in names]
    if len(columns) > 1:
        rows.append([f"more than {columns[0].model}"])
        rows += [
            [name, *(interval(c.gain[name]) if c.gain else "" for c in columns)] for name in names
        ]
    return rows


def _lost(column: Figures, name: str) -> str:
    if not column.graph or not column.graph_loss:
        return ""
    lost = round(column.graph_loss[name].value, 4) + 0.0  # no negative zero
    return f"{column.graph[name].value:.3f} ({lost:.4f} lost)"


def _graphs(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """Tell what each graph says about itself."""
    cells = []
    for one in evaluations:
        if one.graph:
            spared = "" if one.graph.trusted else ", too low to be used"
            cells.append(f"{one.graph.recall:.3f} with ef {one.graph.ef_search}{spared}")
    return [["graph's own recall@10", *cells]]
