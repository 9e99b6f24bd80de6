"""Labels go to other programs and come back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Run, fails
from imgsim_edge.infer import ImageIndex, UsageError, export_for_training, export_labels
from imgsim_edge.infer.labels.exchange import confirmed
from imgsim_edge.infer.labels.sidecar import keywords


@pytest.fixture
def library(collection: Path, tmp_path: Path) -> Path:
    """A folder of photos, indexed by this test's own index, with two labels."""
    folder = tmp_path / "photos"
    shutil.copytree(collection, folder)
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([folder])
        cat, coffee = (
            [index.find(folder / f"{name}{end}.jpg").digest for end in ("", "-crop")]
            for name in ("chelsea", "coffee")
        )
        index.teach("cat", yes=cat, no=coffee)
        index.teach("cup, to drink", yes=coffee[:1])
    return folder


def labels_in(place: Path) -> list[tuple[str, list[str]]]:
    with ImageIndex.open(place) as index:
        return [(photo.path.name, labels) for photo, labels in confirmed(index)]


@pytest.mark.parametrize("name", ["labels.csv", "labels.json", "links"])
def test_what_was_exported_can_be_imported(
    name: str, library: Path, run: Run, tmp_path: Path
) -> None:
    before = labels_in(tmp_path / "index")
    assert len(before) == 3
    done = run("labels", "--export", tmp_path / name)
    assert done.status == 0, done.stderr
    for label in ("cat", "cup, to drink"):
        assert run("labels", "--forget", label).status == 0
    assert labels_in(tmp_path / "index") == []
    done = run("labels", "--import", tmp_path / name)
    assert done.status == 0, done.stderr
    assert labels_in(tmp_path / "index") == before


def test_links_are_what_training_reads(library: Path, tmp_path: Path) -> None:
    from imgsim_edge.infer.evaluation.labelled import labelled_photos

    with ImageIndex.open(tmp_path / "index") as index:
        export_labels(index, tmp_path / "links")
    found = labelled_photos(tmp_path / "links")
    assert sorted(found.labels) == ["cat", "cat", "cup, to drink"]


def test_sidecars_follow_the_labels_and_photos_stay(
    library: Path, run: Run, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in library.iterdir()}
    assert "3 photos" in run("labels", "--export-xmp").stderr
    assert keywords(library / "coffee.jpg.xmp") == ["cup, to drink"]
    run("labels", "--forget", "cat")
    assert "2 photos" in run("labels", "--export-xmp").stderr
    assert keywords(library / "chelsea.jpg.xmp") == []
    run("labels", "--forget", "cup, to drink")
    run("labels", "--import-xmp")
    assert labels_in(tmp_path / "index") == [("coffee.jpg", ["cup, to drink"])]
    assert {path: path.read_bytes() for path in before} == before


def test_a_broken_sidecar_is_named_and_stops_nothing(library: Path, run: Run) -> None:
    (library / "chelsea.jpg.xmp").write_text("<x>")
    done = run("labels", "--export-xmp")
    assert done.status == 0
    assert "chelsea.jpg.xmp" in done.stderr and "2 photos" in done.stderr
    assert (library / "chelsea.jpg.xmp").read_text() == "<x>"


def test_photos_that_are_not_indexed_are_named(library: Path, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "more.json"
    rows = [("cat", library / "coffee.jpg"), ("cat", tmp_path / "gone.jpg")]
    file.write_text("".join(json.dumps({"path": str(p), "label": n}) + "\n" for n, p in rows))
    done = run("labels", "--import", file)
    assert done.status == 0
    assert "gone.jpg: not in the index" in done.stderr


def test_errors_are_one_line(library: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    fails(run("labels", "--import", tmp_path / "odd.csv"), "path and a label")
    fails(run("labels", "--import", tmp_path / "none.csv"), "cannot read")
    fails(run("labels", "--import", tmp_path / "none.txt"), "neither")
    fails(run("labels", "--export", library), "is not empty")


def test_another_index_takes_the_labels_over_with_what_does_not_show_them(
    library: Path, run: Run, tmp_path: Path
) -> None:
    with ImageIndex.create(tmp_path / "other") as other:
        other.add([library])
    done = run("labels", "--index", tmp_path / "other", "--import", tmp_path / "index")
    assert done.status == 0, done.stderr
    with ImageIndex.open(tmp_path / "index") as one, ImageIndex.open(tmp_path / "other") as other:
        assert one.labels() == other.labels()
        assert one.examples("cat") == other.examples("cat")


def test_training_gets_a_table_of_photos_with_one_label(library: Path, tmp_path: Path) -> None:
    from imgsim_edge.train.data.find import find_photos

    with ImageIndex.open(tmp_path / "index") as index:
        index.teach("animal", yes=[index.find(library / "chelsea.jpg").digest])
        written = export_for_training(index, tmp_path / "mine.csv")
        assert [problem.path.name for problem in written.problems] == ["chelsea.jpg"]
        found = find_photos([tmp_path / "mine.csv"])
        assert {sample.path.name: sample.label for sample in found.samples} == {
            "chelsea-crop.jpg": "cat",
            "coffee.jpg": "cup, to drink",
        }
        index.forget_label("cup, to drink")
        with pytest.raises(UsageError, match="teach at least two"):
            export_for_training(index, tmp_path / "mine.csv")
