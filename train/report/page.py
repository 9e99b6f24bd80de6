"""Stage 7 of training: a page to look at, in one file without any other.

It needs no network and no script: curves are SVG, photos are inside as small JPEGs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from ...infer.arrays import Pixels
from ...infer.output.html import PICTURE_SIDE, figure, page, picture
from ..classifier.checkpoint import HEAD
from ..data.split import Split
from ..run_folder import REPORT, Run, write_whole
from .charts import Line, line_chart
from .metrics import CONFIDENCE, Metrics, Share

LARGEST_MATRIX = 30  # classes; of more, the commonest confusions are listed
LISTED_CONFUSIONS = 30

_STYLE = """
.matrix td { min-width: 2rem; text-align: center } .matrix th { font-weight: 400; font-size: .8rem }
.matrix thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left }
svg { margin-right: 1rem; fill: currentColor } .title { font-weight: 600; font-size: 13px }
.scale { font-size: 11px; fill: var(--quiet) } .grid { stroke: var(--line) }
.border { stroke: #888; stroke-dasharray: 4 3 }
"""


def write_report(
    run: Run,
    rows: Sequence[Mapping[str, Any]],
    metrics: Metrics | None,
    classes: Sequence[str],
    split: Split,
    pixels: Callable[[int], Pixels],
) -> None:
    """Write ``report.html`` into a run folder.

    Args:
        run: the folder.
        rows: of ``history.csv``; none where there were no epochs.
        metrics: of the test part; None where that is empty.
        classes: their names.
        split: their parts.
        pixels: index of a photo → its pixels as the network sees them.
    """
    parts = [
        _result(metrics),
        _data(run, classes, split),
        *(["<h2>Loss and accuracy</h2>", _curves(rows)] if rows else []),
    ]
    if metrics is not None:
        parts += [
            "<h2>Finding similar photos</h2>",
            _retrieval(metrics),
            "<h2>Classes</h2>",
            _classes(metrics),
            "<h2>Confusions</h2>",
            _confusions(metrics),
            "<h2>Most confidently wrong</h2>",
            _mistakes(metrics, pixels),
        ]
    parts += ["<h2>How it was made</h2>", _settings(run)]
    content = page(f"Training {run.folder.resolve().name}", parts, _STYLE)
    write_whole(run.folder / REPORT, lambda part: part.write_bytes(content))


def _result(metrics: Metrics | None) -> str:
    if metrics is None:
        return "<p>No photo is in the test part: nothing was measured.</p>"
    return (
        f"<p><b>{_percent(metrics.accuracy)}</b> of the {metrics.accuracy.of} test photos are "
        f'called right.</p><p class="quiet">Ranges are {CONFIDENCE:.0%} confidence intervals. No '
        "test photo was used for training or for choosing the best epoch.</p>"
    )


def _data(run: Run, classes: Sequence[str], split: Split) -> str:
    sizes = ", ".join(f"{len(own)} {name}" for name, own in split.parts().items())
    data = ", ".join(path.name for path in run.data)
    return f"<p>Data: {escape(data)}; {len(classes)} classes; photos: {sizes}.</p>"


def _curves(rows: Sequence[Mapping[str, Any]]) -> str:
    border = sum(row["phase"] == HEAD for row in rows)
    charts = [
        line_chart(
            title,
            [
                Line("training", "#2b6cb0", [float(row[key]) for row in rows]),
                Line("validation", "#c05621", [float(row[f"val_{key}"]) for row in rows]),
            ],
            border,
        )
        for title, key in (("Loss", "loss"), ("Accuracy", "accuracy"))
    ]
    note = "Epochs from left to right; fine-tuning begins at the dashed line."
    return f'{"".join(charts)}<p class="quiet">{note}</p>'


def _retrieval(metrics: Metrics) -> str:
    if not metrics.retrieval:
        return "<p>No class has two test photos: there is nothing to find.</p>"
    rows = [
        f"<tr><td>{escape(found.what)}</td><td>{found.dimension}</td>"
        f"<td>{found.mean_average_precision:.3f}</td><td>{found.precision_at_1:.3f}</td>"
        f"<td>{found.precision_at_10:.3f}</td></tr>"
        for found in metrics.retrieval
    ]
    return (
        "<p>Each test photo is a query among the other test photos; those of its class are the "
        "right answers.</p><table><tr><th>vectors</th><th>length</th><th>mAP</th><th>P@1</th>"
        f"<th>P@10</th></tr>{''.join(rows)}</table>"
    )


def _classes(metrics: Metrics) -> str:
    rows = [
        f"<tr><td>{escape(own.name)}</td><td>{own.photos}</td><td>{_percent(own.precision)}</td>"
        f"<td>{_percent(own.recall)}</td><td>{_percent(own.f1)}</td></tr>"
        for own in metrics.classes
    ]
    return (
        "<table><tr><th>class</th><th>test photos</th><th>precision</th><th>recall</th><th>F1</th>"
        f"</tr>{''.join(rows)}</table>"
    )


def _confusions(metrics: Metrics) -> str:
    names = [own.name for own in metrics.classes]
    if len(names) <= LARGEST_MATRIX:
        return _matrix(names, metrics.confusion)
    pairs = sorted(
        (
            (count, names[i], names[j])
            for i, row in enumerate(metrics.confusion)
            for j, count in enumerate(row)
            if i != j and count
        ),
        key=lambda pair: (-pair[0], pair[1:]),
    )
    rows = "".join(
        f"<tr><td>{escape(truth)}</td><td>{escape(called)}</td><td>{count}</td></tr>"
        for count, truth, called in pairs[:LISTED_CONFUSIONS]
    )
    return f"<table><tr><th>is</th><th>called</th><th>photos</th></tr>{rows}</table>"


def _matrix(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for i, (name, row) in enumerate(zip(names, confusion, strict=True)):
        total = max(sum(row), 1)
        cells = "".join(
            f'<td style="background:rgba({"43,108,176" if i == j else "192,86,33"},'
            f'{count / total:.2f})">{count or ""}</td>'
            for j, count in enumerate(row)
        )
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return (
        f'<table class="matrix"><thead><tr><th></th>{head}</tr></thead>{"".join(rows)}</table>'
        '<p class="quiet">A row for each true class, a column for what it was called.</p>'
    )


def _mistakes(metrics: Metrics, pixels: Callable[[int], Pixels]) -> str:
    if not metrics.mistakes:
        return "<p>None: every test photo is called right.</p>"
    figures = [
        figure(
            _picture(pixels(own.sample)),
            f"<b>{escape(own.called)}</b> ({own.confidence:.0%}), labelled {escape(own.truth)}<br>"
            f'<span class="quiet">{escape(own.path)}</span>',
        )
        for own in metrics.mistakes
    ]
    return (
        "<p>What the network is surest of and the label denies: worth a look for wrong labels.</p>"
        f'<div class="photos">{"".join(figures)}</div>'
    )


def _picture(pixels: Pixels) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    return picture(image)


def _settings(run: Run) -> str:
    own = {**asdict(run.settings), "weights": Path(run.settings.weights).name, **run.packages}
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in own.items()
    )
    return f"<table>{rows}</table>"


def _percent(share: Share | None) -> str:
    if share is None:
        return ""
    return f"{share.value:.0%} ({share.low:.0%}-{share.high:.0%})"
