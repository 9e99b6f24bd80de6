"""What is measured on the test part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.train.data.split import Split
from imgsim_edge.train.report.charts import Line, line_chart
from imgsim_edge.train.report.metrics import MeasuredPhotos, measure, share
from imgsim_edge.train.report.page import write_report
from imgsim_edge.train.run_folder import Settings, create_run


def test_shares_have_wilson_intervals() -> None:
    """Known values: 8 of 10 and 10 of 10, at 95 %."""
    eight, ten = share(8, 10), share(10, 10)
    assert (eight.value, ten.value) == (0.8, 1.0)
    assert (eight.low, eight.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert (ten.low, ten.high) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert (share(0, 0).low, share(0, 0).high) == (0.0, 1.0)


def test_classes_confusions_and_mistakes_are_counted() -> None:
    probabilities = np.asarray([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.3, 0.7, 0], [0.99, 0, 0.01]])
    labels = np.asarray([0, 0, 1, 1])
    found = measure(
        probabilities.astype(np.float32),
        MeasuredPhotos(np.asarray([5, 6, 7, 8]), [f"{i}.jpg" for i in (5, 6, 7, 8)], labels),
        ("a", "b", "c"),
        {"perfect": np.asarray([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)},
    )
    assert found.accuracy.value == 0.5
    assert found.confusion == ((1, 1, 0), (1, 1, 0), (0, 0, 0))
    a, _, c = found.classes
    assert a.precision is not None
    assert a.f1 is not None
    assert (a.precision.value, a.f1.value, a.f1.of) == (0.5, pytest.approx(0.5), 3)
    assert (c.photos, c.precision, c.recall, c.f1) == (0, None, None, None)
    assert [(m.sample, m.path, m.truth, m.called) for m in found.mistakes] == [
        (8, "8.jpg", "b", "a"),
        (6, "6.jpg", "a", "b"),
    ]
    assert found.retrieval[0].mean_average_precision == 1.0


def test_f1_has_the_interval_of_the_share_that_it_grows_with() -> None:
    """Of 8 right, 1 missed and 1 wrongly called so: 8 of 10, whose interval is known from above."""
    called = np.asarray([0] * 8 + [1] + [0] + [1] * 5)
    photos = MeasuredPhotos(np.arange(15), [""] * 15, np.asarray([0] * 9 + [1] * 6))
    own = measure(np.eye(2, dtype=np.float32)[called], photos, ("a", "b"), {}).classes[0].f1
    assert own is not None
    assert (own.value, own.of) == (pytest.approx(16 / 18), 10)
    assert (own.low, own.high) == pytest.approx((0.6579, 0.9708), abs=1e-4)


def test_one_sigmoid_is_the_probability_of_the_second_class() -> None:
    found = measure(
        np.asarray([[0.2], [0.9]], np.float32),
        MeasuredPhotos(np.arange(2), ["0.jpg", "1.jpg"], np.asarray([0, 1])),
        ("a", "b"),
        {"nothing to find": np.eye(2, dtype=np.float32)},
    )
    assert found.accuracy.value == 1.0
    assert found.retrieval == ()


def test_a_report_takes_names_that_are_no_utf8(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", [tmp_path / "caf\udce9"], Settings())
    photos = MeasuredPhotos(np.arange(1), ["caf\udce9/x.jpg"], np.asarray([1]))
    metrics = measure(np.asarray([[1, 0]], np.float32), photos, ("a", "caf\udce9"), {})
    row = {"phase": "head", "loss": 1, "val_loss": 1, "accuracy": 0, "val_accuracy": 0}
    none = np.zeros(0, np.intp)
    pixels = np.zeros((8, 8, 3), np.uint8)
    write_report(
        run, [row], metrics, ("a", "caf\udce9"), Split(none, np.arange(1), none), lambda _: pixels
    )
    assert "caf?/x.jpg" in (run.folder / "report.html").read_text("utf-8")


def test_a_chart_of_one_epoch_can_be_drawn() -> None:
    chart = line_chart("<Loss>", [Line("training", "red", [0.0])])
    assert chart.startswith("<svg")
    assert "&lt;Loss&gt;" in chart
    assert "nan" not in chart
