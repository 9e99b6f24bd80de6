"""An evaluation as a page: the figures, the classes, and the worst queries as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from ..output.html import figure, page, pictures, shown_as, table
from .retrieval import AnsweredQuery, Evaluation, worst_queries
from .tables import (
    Results,
    band_rows,
    class_rows,
    each_alone,
    figures,
    headline,
    measure_rows,
    stage_rows,
)

ANSWERS = 7  # shown for each of the worst queries


def evaluation_page(results: Results, worst: int, seed: int = 0) -> bytes:
    """Write the page.

    Args:
        results: for each set, an evaluation for each encoder.
        worst: how many queries to show for each of them, those of the lowest average precision.
        seed: of the bootstrap.
    """
    return page("How well photos of one class are found", _parts(results, worst, seed))


def _parts(results: Results, worst: int, seed: int) -> Iterator[str]:
    yield (
        "<p>Every photo is a query against all others of its set; those of its class are right. "
        "Ranges are 95&nbsp;% bootstrap intervals over the queries.</p>"
    )
    alone = each_alone(results)
    if len(alone) > 1:
        columns = figures(alone, seed)
        yield f"<h2>Mean of {len(alone)} sets</h2>"
        yield table(stage_rows(columns)) + table(measure_rows(columns))
    for evaluations in results:
        yield f"<h2>{escape(headline(evaluations[0]))}</h2>"
        columns = figures([evaluations], seed)
        yield table(stage_rows(columns)) + table(measure_rows(columns))
        yield table(band_rows(evaluations))
        yield f"<h3>Classes</h3>{table(class_rows(evaluations, seed))}"
        for one in evaluations:
            yield from _worst(one, worst)


def _worst(one: Evaluation, count: int) -> Iterator[str]:
    answered = worst_queries(one, count, ANSWERS)
    paths = one.photos.paths
    shown = pictures(paths[i] for query in answered for i in (query.query, *query.answers))
    if answered:
        yield f"<h3>The {len(answered)} worst queries of {escape(one.model)}</h3>"
    for query in answered:
        yield f'<div class="photos">{"".join(_row(one, query, shown))}</div>'


def _row(one: Evaluation, query: AnsweredQuery, shown: dict[Path, str | None]) -> Iterator[str]:
    paths, labels = one.photos.paths, one.photos.labels
    asked = query.query
    caption = f"<b>{shown_as(labels[asked])}</b>, average precision {query.average_precision:.3f}"
    yield figure(shown[paths[asked]], f"{caption}<br>{_name(one, asked)}")
    for answer, score in zip(query.answers, query.scores, strict=True):
        right = labels[answer] == labels[asked]
        caption = f"{'✓' if right else '✗'} {shown_as(labels[answer])}, {score:.3f}"
        kind = "right" if right else "wrong"
        yield figure(shown[paths[answer]], f"{caption}<br>{_name(one, answer)}", kind)


def _name(one: Evaluation, photo: int) -> str:
    name = one.photos.paths[photo].relative_to(one.photos.folder)
    return f'<span class="quiet">{shown_as(str(name))}</span>'
