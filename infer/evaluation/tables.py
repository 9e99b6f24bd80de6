"""An evaluation's figures, as tables for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .metrics import Estimate, estimate
from .retrieval import Evaluation
from .stages import ANSWERS

Results = Sequence[Sequence[Evaluation]]  # for each set, an evaluation for each encoder
Estimates = Mapping[str, Estimate]
SHOWN = ("P@1", "P@10", "mAP")  # of each stage: what people see first


@dataclass(frozen=True)
class Figures:
    """What was measured of one encoder, on one set or on the mean of several.

    Attributes:
        model: its name or path.
        stages: every measure after each stage of the way through an index, in their order.
        final: those of the last stage: what an index answers with.
        gain: how much more this encoder has than the first one, each query compared with itself;
            None for the first one.
    """

    model: str
    stages: Mapping[str, Estimates]
    final: Estimates
    gain: Estimates | None


def figures(results: Results, seed: int = 0) -> list[Figures]:
    """Average each encoder over the sets that are given (one or more)."""
    columns = list(zip(*results, strict=True))
    first = [one.final for one in columns[0]]
    found = []
    for column in columns:
        stages = {
            name: estimate([one.stages[name] for one in column], seed=seed)
            for name in column[0].stages
        }
        final = [one.final for one in column]
        found.append(
            Figures(
                column[0].model,
                stages,
                list(stages.values())[-1],
                None if column is columns[0] else estimate(final, first, seed),
            )
        )
    return found


def as_objects(results: Results, per_class: bool, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Describe, for JSON, each encoder on each set, then each one's mean over several sets."""
    for evaluations in results:
        for one, told in zip(evaluations, figures([evaluations], seed), strict=True):
            line = {
                "set": str(one.photos.folder) if one.sets == 1 else None,
                "sets": one.sets,
                "together": one.sets > 1,
                **asdict(told),
                "encoder_digest": one.encoder.digest,
                "dimension": one.encoder.dimension,
                "details": one.encoder.details_dimension,
                "photos": len(one.photos.paths),
                "classes": len(set(one.photos.labels)),
                "queries": len(one.final.queries),
                "alone": one.final.alone,
                "outside": one.photos.outside,
                "unreadable": [{"path": str(u.path), "reason": u.reason} for u in one.problems],
                "bands": {name: asdict(count) for name, count in one.bands.items()},
                "graph_ef_search": one.graph.ef_search if one.graph else None,
                "graph_recall": one.graph.recall if one.graph else None,
            }
            if per_class:
                line["per_class"] = {
                    label: {"queries": len(part.queries), **_plain(estimate([part], seed=seed))}
                    for label, part in one.classes()
                }
            yield line
    alone = each_alone(results)
    if len(alone) > 1:
        for told in figures(alone, seed):
            yield {"set": None, "sets": len(alone), "together": False, **asdict(told)}


def each_alone(results: Results) -> Results:
    """Leave out what several sets as one collection gave."""
    return [evaluations for evaluations in results if evaluations[0].sets == 1]


def as_tables(results: Results, per_class: bool, seed: int = 0) -> Iterator[str]:
    """Lay out each set, then the mean over several: a row a stage, then a row a measure."""
    for evaluations in results:
        columns = figures([evaluations], seed)
        parts = [headline(evaluations[0]), aligned(stage_rows(columns))]
        parts.append(aligned(measure_rows(columns)))
        parts.append(aligned(band_rows(evaluations)))
        if evaluations[0].graph:
            parts.append(aligned(_graphs(evaluations)))
        if per_class:
            parts.append(aligned(class_rows(evaluations, seed)))
        yield "\n".join(parts)
    alone = each_alone(results)
    if len(alone) > 1:
        columns = figures(alone, seed)
        tables = f"{aligned(stage_rows(columns))}\n{aligned(measure_rows(columns))}"
        yield f"mean of {len(alone)} sets\n{tables}"


def class_rows(evaluations: Sequence[Evaluation], seed: int = 0) -> list[list[str]]:
    """Tabulate the classes, a header first: queries, then mAP and P@1 of each encoder."""
    rows = [["class", "queries", *(f"{m} {e.model}" for e in evaluations for m in SHOWN)]]
    for parts in zip(*(one.classes() for one in evaluations), strict=True):
        label, part = parts[0]
        row = [label, f"{len(part.queries):,}"]
        for _, one in parts:
            found = estimate([one], seed=seed)
            row += [interval(found[name]) for name in SHOWN]
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
    classes, queries = len(set(one.photos.labels)), len(one.final.queries)
    alone = f" ({one.final.alone:,} are alone in their class)" if one.final.alone else ""
    name = str(one.photos.folder) if one.sets == 1 else f"{one.sets} sets as one collection"
    return (
        f"{name}: {len(one.photos.paths):,} photos, {classes:,} classes, {queries:,} queries{alone}"
    )


def stage_rows(columns: Sequence[Figures]) -> list[list[str]]:
    """Tabulate what is found after each stage, a header first; a row of one cell is a heading."""
    rows = [["after each stage", *SHOWN]]
    for column in columns:
        if len(columns) > 1:
            rows.append([column.model])
        for name, estimates in column.stages.items():
            rows.append([name, *(interval(estimates[measure]) for measure in SHOWN)])
    return rows


def measure_rows(columns: Sequence[Figures]) -> list[list[str]]:
    """Tabulate every measure of the answers, a header first; a row of one cell is a heading."""
    names = list(columns[0].final)
    rows = [["answers", *(column.model for column in columns)]]
    rows += [[name, *(interval(c.final[name]) for c in columns)] for name in names]
    if len(columns) > 1:
        rows.append([f"more than {columns[0].model}"])
        rows += [
            [name, *(interval(c.gain[name]) if c.gain else "" for c in columns)] for name in names
        ]
    return rows


def band_rows(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """Tabulate how many of the answers of each band are of the query's class, a header first."""
    title = f"of the first {ANSWERS} answers, of the same class"
    rows = [[title, *(one.model for one in evaluations)]]
    for name in evaluations[0].bands:
        counts = [one.bands[name] for one in evaluations]
        cells = [f"{c.right / c.answers:.0%} of {c.answers:,}" if c.answers else "" for c in counts]
        rows.append([name, *cells])
    return rows


def _graphs(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """Tell what each graph says about itself."""
    cells = []
    for one in evaluations:
        if one.graph:
            spared = "" if one.graph.trusted else ", too low to be used"
            cells.append(f"{one.graph.recall:.3f} with ef {one.graph.ef_search}{spared}")
    return [["graph's own recall@10", *cells]]
