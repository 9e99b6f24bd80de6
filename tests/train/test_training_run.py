"""A training from its data to its report: what comes out, and going on after a stop."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROGRAM, Run, tiny_settings
from imgsim_edge.train.classifier.checkpoint import Checkpoints, load_model
from imgsim_edge.train.data.split import read_split
from imgsim_edge.train.errors import DataError, MissingExtraError, RunError, WeightsError
from imgsim_edge.train.run_folder import Settings, create_run, open_run, remove_state
from imgsim_edge.train.session import resume_training, start_training

COMES_OUT = {
    "classes.json",
    "classifier.keras",
    "config.json",
    "history.csv",
    "metrics.json",
    "report.html",
    "split.csv",
}
TINY = (
    *("--width", "0.25", "--image-size", "64", "--weights", "none", "--batch", "32"),
    *("--head-epochs", "2", "--tune-epochs", "2", "--threads", "1"),
)


QUICK = {"augment": False, "head_epochs": 1, "tune_epochs": 0}  # settings


def weights_of(run: Path) -> list[Any]:
    weights: list[Any] = load_model(run / "classifier.keras").get_weights()
    return weights


def same_weights(one: Path, other: Path) -> bool:
    pairs = zip(weights_of(one), weights_of(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def history_of(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_everything_comes_out_and_nothing_else_stays(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == COMES_OUT
    assert json.loads((trained / "classes.json").read_text()) == [
        "astronaut",
        "coffee",
        "flower",
        "hubble_deep_field",
    ]
    config = json.loads((trained / "config.json").read_text())
    assert config["settings"]["width"] == 0.25
    assert {"keras", "numpy", "albumentations", "onnx", "protobuf"} <= set(config["packages"])
    assert [(row["phase"], row["epoch"]) for row in history_of(trained)] == [
        *(("head", "1"), ("head", "2")),
        *(("tune", "1"), ("tune", "2")),
    ]


def test_the_measures_are_of_the_test_part(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    tested = [
        name for name, (_, part) in read_split(trained / "split.csv").items() if part == "test"
    ]
    assert metrics["accuracy"]["of"] == np.sum(metrics["confusion"]) == len(tested) == 8
    assert metrics["accuracy"]["low"] <= metrics["accuracy"]["value"] <= metrics["accuracy"]["high"]
    lengths = {found["what"]: found["dimension"] for found in metrics["retrieval"]}
    assert lengths["embedding"] == 64
    assert lengths["raw features of the backbone"] == 256


def test_the_report_needs_no_other_file(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    assert "<svg" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    metrics = json.loads((trained / "metrics.json").read_text())
    assert page.count("data:image/jpeg;base64,") == len(metrics["mistakes"])
    assert all(f"{mistake['path']}</span>" in page for mistake in metrics["mistakes"])
    assert all(own["f1"]["low"] <= own["f1"]["high"] for own in metrics["classes"])


def test_two_classes_end_in_one_sigmoid(labelled: Path, tmp_path: Path) -> None:
    for name in ("coffee", "hubble_deep_field"):
        shutil.copytree(labelled / name, tmp_path / "pair" / name)
    settings = tiny_settings(augment=False, tune_epochs=0)
    outcome = start_training([tmp_path / "pair"], tmp_path / "run", settings)
    assert load_model(tmp_path / "run" / "classifier.keras").get_layer("classes").output.shape == (
        None,
        1,
    )
    assert outcome.metrics is not None
    assert [own.photos for own in outcome.metrics.classes] == [2, 2]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    labelled: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This also shows that on one thread the same seed gives the same weights."""
    stop_after(1, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        start_training([labelled], tmp_path / "run", tiny_settings())
    assert (tmp_path / "run" / "classifier.keras").is_file()  # the best so far
    monkeypatch.undo()
    resume_training(tmp_path / "run")
    assert same_weights(tmp_path / "run", trained)
    assert history_of(tmp_path / "run") == history_of(trained)


def test_a_killed_run_goes_on(labelled: Path, trained: Path, tmp_path: Path, run: Run) -> None:
    program = [sys.executable, "-c", PROGRAM, "train", labelled, "--out", tmp_path / "run", *TINY]
    killed = subprocess.Popen([*map(str, program)], stderr=subprocess.PIPE)
    while not list((tmp_path / "run" / "state").glob("last-tune-*.keras")):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "run" / "metrics.json").exists()
    result = run("train", "--resume", tmp_path / "run", "--json")
    assert result.status == 0, result.stderr
    assert json.loads(result.stdout)["test"] == json.loads((trained / "metrics.json").read_text())


def test_a_full_disk_leaves_the_checkpoint_before(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk_after(1, monkeypatch)
    with pytest.raises(RunError, match=r"No space left on device; .* is kept: .* --resume"):
        start_training([labelled], tmp_path / "run", tiny_settings(augment=False))
    monkeypatch.undo()
    assert not list((tmp_path / "run").rglob("part-*"))
    kept = Checkpoints(open_run(tmp_path / "run"))
    assert kept.state.epoch == 1
    assert kept.last().optimizer.iterations == 2  # 60 photos in batches of 32


def test_a_disk_that_is_full_from_the_start_leaves_nothing_and_promises_nothing(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk_after(0, monkeypatch)
    with pytest.raises(RunError, match="No space left on device; nothing is learnt yet") as told:
        start_training([labelled], tmp_path / "run", tiny_settings(augment=False))
    assert "--resume" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_trained_again(trained: Path) -> None:
    before = (trained / "classifier.keras").stat().st_mtime_ns
    with pytest.raises(RunError, match="is finished: nothing to go on with"):
        resume_training(trained)
    assert (trained / "classifier.keras").stat().st_mtime_ns == before
    assert not (trained / "state").exists()


def test_a_run_that_is_killed_while_it_tidies_up_is_finished(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    make_unfinished(tmp_path / "run")
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    remove_state(open_run(tmp_path / "run"))
    assert (tmp_path / "run" / "state").is_dir()
    with pytest.raises(RunError, match="is finished"):
        resume_training(tmp_path / "run")


def test_a_run_that_is_stopped_while_it_reads_photos_starts_over_with_the_same_split(
    labelled: Path,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    swap = {"test": "valid", "valid": "test", "train": "train"}
    given = write_parts(trained, tmp_path / "given.csv", lambda part: swap[part])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("imgsim_edge.train.session.near_identical_groups", stop)
    folder, settings = tmp_path / "my run", tiny_settings(**QUICK)
    with pytest.raises(KeyboardInterrupt):
        start_training([labelled], folder, settings, given)
    assert f"imgsim-edge train --resume '{folder}'" in capsys.readouterr().err
    monkeypatch.undo()
    given.unlink()
    assert resume_training(folder).metrics is not None
    assert {path.name for path in folder.iterdir()} == COMES_OUT
    before, after = read_split(trained / "split.csv"), read_split(folder / "split.csv")
    assert after == {name: (label, swap[part]) for name, (label, part) in before.items()}


def test_fine_tuning_that_diverges_keeps_the_head(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tiny_settings(augment=False, tune_epochs=2, tune_rate=1e30)
    start_training([labelled], tmp_path / "run", settings)
    assert "fine-tuning diverged, the best until then is kept" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "run").iterdir()} == COMES_OUT
    start_training([labelled], tmp_path / "head", tiny_settings(augment=False, tune_epochs=0))
    assert same_weights(tmp_path / "run", tmp_path / "head")


def test_a_head_that_diverges_is_an_error(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="lower head rate"):
        start_training([labelled], tmp_path / "run", tiny_settings(augment=False, head_rate=1e30))


def test_fine_tuning_never_makes_it_worse(labelled: Path, tmp_path: Path) -> None:
    settings = tiny_settings(augment=False, tune_epochs=1, tune_rate=10.0)
    start_training([labelled], tmp_path / "run", settings)
    rows = history_of(tmp_path / "run")
    assert float(rows[-1]["val_loss"]) > float(rows[1]["val_loss"])
    start_training([labelled], tmp_path / "head", tiny_settings(augment=False, tune_epochs=0))
    assert same_weights(tmp_path / "run", tmp_path / "head")


def test_more_classes_than_before_are_refused(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(labelled, tmp_path / "data")
    stop_after(1, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        start_training([tmp_path / "data"], tmp_path / "run", tiny_settings(augment=False))
    shutil.copytree(labelled / "coffee", tmp_path / "data" / "tea")
    with pytest.raises(DataError, match="was not started with: tea"):
        resume_training(tmp_path / "run")
    shutil.rmtree(tmp_path / "data" / "tea")
    (tmp_path / "data" / "coffee" / "00.jpg").unlink()
    with pytest.raises(DataError, match=r"cannot be read any more, the first is coffee/00\.jpg"):
        resume_training(tmp_path / "run")


def test_a_class_without_a_readable_photo_does_not_hinder_going_on(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(labelled, tmp_path / "data")
    (tmp_path / "data" / "blank").mkdir()
    (tmp_path / "data" / "blank" / "0.jpg").write_bytes(b"no photo")
    stop_after(1, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        start_training([tmp_path / "data"], tmp_path / "run", tiny_settings(**QUICK))
    monkeypatch.undo()
    assert resume_training(tmp_path / "run").run.classes() == open_run(tmp_path / "run").classes()
    assert "blank" not in open_run(tmp_path / "run").classes()


def test_labels_that_were_edited_since_the_start_are_refused(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "labels.csv"
    rows = [f"{path},{path.parent.name}" for path in sorted(labelled.rglob("*.jpg"))]
    table.write_text("\n".join(["path,label", *rows]))
    stop_after(1, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        start_training([table], tmp_path / "run", tiny_settings(**QUICK))
    table.write_text(table.read_text().replace("00.jpg,coffee", "00.jpg,flower"))
    with pytest.raises(DataError, match=r"1 photos .* another label .* is .*coffee/00\.jpg"):
        resume_training(tmp_path / "run")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_photos_whose_names_are_no_utf8_are_trained_on(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(labelled, tmp_path / "data")
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / "data" / "coffee").rename(tmp_path / "data" / name)
    stop_after(1, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        start_training([tmp_path / "data"], tmp_path / "run", tiny_settings(**QUICK))
    monkeypatch.undo()
    outcome = resume_training(tmp_path / "run")
    assert name in outcome.run.classes()
    assert b"caf\xe9/00.jpg,caf\xe9," in (tmp_path / "run" / "split.csv").read_bytes()
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_given_split_is_used_again(
    labelled: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = start_training(
        [labelled], tmp_path / "again", tiny_settings(**QUICK, seed=5), trained / "split.csv"
    )
    assert read_split(again.run.folder / "split.csv") == read_split(trained / "split.csv")
    assert "not in the split file" not in capsys.readouterr().err


def test_without_a_test_part_there_is_a_report_but_no_measures(
    labelled: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = write_parts(trained, tmp_path / "given.csv", lambda part: part.replace("test", "train"))
    text = given.read_text().splitlines(keepends=True)
    given.write_text("".join(text[:-1]))
    outcome = start_training([labelled], tmp_path / "run", tiny_settings(**QUICK), given)
    assert outcome.metrics is None
    assert {path.name for path in outcome.run.folder.iterdir()} == COMES_OUT - {"metrics.json"}
    page = (outcome.run.folder / "report.html").read_text()
    assert "<svg" in page
    assert "nothing was measured" in page
    told = capsys.readouterr().err
    assert "there is no metrics.json" in told
    assert "without test photos    4  classes that are not tested: astronaut, coffee" in told
    assert "not in the split file  1" in told


def test_a_split_that_cannot_be_used_leaves_no_folder(
    labelled: Path, trained: Path, tmp_path: Path
) -> None:
    given = write_parts(trained, tmp_path / "given.csv", lambda _: "train")
    with pytest.raises(DataError, match="some in train and some in valid"):
        start_training([labelled], tmp_path / "run", tiny_settings(**QUICK), given)
    given.write_text("path,label,part\n")
    with pytest.raises(DataError, match="none of these photos"):
        start_training([labelled], tmp_path / "run", tiny_settings(**QUICK), given)
    assert not (tmp_path / "run").exists()


def test_rare_classes_count_more(labelled: Path, tmp_path: Path) -> None:
    from imgsim_edge.train.classifier.fit import class_weights
    from imgsim_edge.train.classifier.task import Task
    from imgsim_edge.train.data.split import Split

    labels = np.asarray([0] * 30 + [1] * 10)
    none = np.zeros(0, np.intp)
    task = Task(None, labels, 2, Split(np.arange(40), none, none))  # type: ignore[arg-type]
    assert np.allclose(class_weights(task), [40 / 60, 2.0])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "config.json").unlink(), "is no training run"),
        (lambda run: (run / "config.json").write_text("{"), "damaged"),
        (lambda run: (run / "config.json").write_text('{"format": 99}'), "newer imgsim-edge"),
        (lambda run: (run / "config.json").write_text('{"format": 1}'), "damaged"),
        (lambda run: edit_config(run, data="photos"), "damaged"),
        (lambda run: edit_config(run, packages=["keras"]), "damaged"),
        (lambda run: edit_config(run, settings=[]), "damaged"),
        (lambda run: edit_config(run, settings={"seed": "0"}), "damaged"),
        (lambda run: edit_config(run, settings={"width": float("nan")}), "damaged"),
        (lambda run: edit_config(run, settings={"augment": 1}), "damaged"),
        (lambda run: (run / "classes.json").unlink(), "did not get that far"),
        (lambda run: (run / "classes.json").write_text('{"a": 1}'), "list of names"),
        (lambda run: (run / "split.csv").write_text("x"), "no split file"),
    ],
)
def test_a_damaged_run_is_refused(trained: Path, tmp_path: Path, damage: Any, message: str) -> None:
    shutil.copytree(trained, tmp_path / "run")
    make_unfinished(tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises((RunError, DataError), match=message):
        resume_training(tmp_path / "run")


def test_a_damaged_checkpoint_is_refused(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(1, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        start_training([labelled], tmp_path / "run", tiny_settings(augment=False))
    checkpoint = tmp_path / "run" / "state" / "last-head-0001.keras"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"last-head-0001\.keras is damaged"):
        resume_training(tmp_path / "run")


def test_a_run_folder_in_use_is_not_overwritten(labelled: Path, trained: Path) -> None:
    with pytest.raises(RunError, match="exists already"):
        start_training([labelled], trained, tiny_settings())


def test_a_training_that_cannot_begin_leaves_no_folder(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        start_training([labelled], tmp_path / "run", tiny_settings(weights="gone.h5"))
    with pytest.raises(DataError, match="at least two classes"):
        start_training([labelled / "coffee"], tmp_path / "run", tiny_settings())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("missing", ["keras", "tensorflow"])
def test_without_the_extra_one_line_says_how_to_install_it(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r'pip install "imgsim-edge\[train\]"'):
        start_training([labelled], tmp_path / "run", tiny_settings())


def test_settings_are_read_as_they_were_written(trained: Path) -> None:
    assert open_run(trained).settings == tiny_settings()
    assert Settings() != tiny_settings()


def test_settings_of_every_type_are_read_as_they_were_written(tmp_path: Path) -> None:
    settings = tiny_settings(embedding_units=32, width=1, tune_rate=1)
    assert create_run(tmp_path / "run", [tmp_path], settings).settings == settings
    assert open_run(tmp_path / "run").settings == settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name the folder of your labelled photos"),
        (("DATA",), "--out RUN"),
        (("DATA", "--out", "r"), "--weights imagenet"),
        (("DATA", "--out", "r", "--resume", "r"), "give nothing else (leave out --out, DATA)"),
        (("--resume", "r", "--no-augment", "--seed", "1"), "(leave out --augment, --seed)"),
        (("DATA", "--width", "nan"), "the width must be a number above 0"),
        (("DATA", "--head-rate", "nan"), "the head rate must be a number above 0"),
        (("DATA", "--tune-rate", "-1"), "the tune rate must be a number above 0"),
        (("DATA", "--tune-rate", "0"), "the tune rate must be a number above 0"),
        (("DATA", "--seed", "5000000000"), "the seed must be from 0 to 4294967295"),
        (("DATA", "--out", "r", "--weights", "none"), "no such folder or CSV file"),
        (("--resume", "r"), "is no training run"),
    ],
)
def test_requests_that_cannot_be_met_are_one_line(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    result = run("train", *arguments)
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def stop_after(epochs: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a training stop when it has ended so many epochs."""
    save = Checkpoints.save

    def saved(self: Checkpoints, model: Any, row: dict[str, Any]) -> None:
        save(self, model, row)
        if len(self.state.rows) == epochs:
            raise error

    monkeypatch.setattr(Checkpoints, "save", saved)


def fill_disk_after(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no model be written any more when a training has ended so many epochs."""
    save = Checkpoints.save

    def full(self: Checkpoints, model: Any, row: dict[str, Any]) -> None:
        if len(self.state.rows) == epochs:
            model = Unwritable()
        save(self, model, row)

    class Unwritable:
        def save(self, path: Path) -> None:
            path.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Checkpoints, "save", full)


def make_unfinished(run: Path) -> None:
    """Put something into a finished run that looks like a checkpoint."""
    (run / "state").mkdir()
    (run / "state" / "state.json").write_text("{}")


def edit_config(run: Path, **changes: Any) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, **changes}))


def write_parts(run: Path, target: Path, change: Callable[[str], str]) -> Path:
    """Write the split of a run with other parts."""
    rows = [
        f"{name},{label},{change(part)}\n"
        for name, (label, part) in read_split(run / "split.csv").items()
    ]
    target.write_text("path,label,part\n" + "".join(rows))
    return target
