"""Photos and vectors that an app adds itself, without a file: frames of a camera, uploads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer import ImageIndex, ImgsimError, Item
from PIL import Image


@pytest.fixture
def index(indexed: Path, tmp_path: Path) -> ImageIndex:
    shutil.copytree(indexed, tmp_path / "index")
    return ImageIndex.open(tmp_path / "index")


def frame(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((320, 240)))


def test_a_frame_is_found_with_its_payload(
    index: ImageIndex, photographs: dict[str, Image.Image]
) -> None:
    payload = {"camera": "door", "at": "2026-11-29T12:00:00Z", "who": ["Ä", None, 1.5]}
    [number] = index.upsert([Item("door 1", frame(photographs["coffee"]), payload)])
    best = index.similar(frame(photographs["coffee"]), k=1)[0]
    assert (best.id, str(best.path), best.payload) == (number, "door 1", payload)
    assert best.score == pytest.approx(1.0, abs=1e-5)
    assert index.similar(frame(photographs["astronaut"]), k=1)[0].payload is None
    item = index.item("door 1")
    assert item is not None
    assert (item.width, item.height, item.has_file) == (320, 240, False)
    assert index.verify() == []


def test_what_can_be_added(index: ImageIndex, collection: Path, tmp_path: Path) -> None:
    content = (collection / "coffee.jpg").read_bytes()
    vector = np.random.default_rng(0).standard_normal(index.embed([content]).shape[1])
    with Image.open(collection / "flower.jpg") as image:
        image.load()
    ids = index.upsert([Item("bytes", content), Item("image", image), Item("vector", vector)])
    assert len(set(ids)) == 3
    found = index.similar(vector, k=1)[0]
    assert (str(found.path), found.width, found.score) == ("vector", 0, pytest.approx(1.0))
    assert str(index.similar(image, k=2)[0].path) in ("image", str(collection / "flower.jpg"))


def test_upsert_replaces_and_discard_removes(
    index: ImageIndex, photographs: dict[str, Image.Image]
) -> None:
    before = len(index)
    [first] = index.upsert([Item("door", frame(photographs["coffee"]), {"n": 1})])
    [second] = index.upsert([Item("door", frame(photographs["rocket"]), {"n": 2})])
    assert first == second
    assert len(index) == before + 1
    assert index.similar(frame(photographs["rocket"]), k=1)[0].payload == {"n": 2}
    assert index.discard(["door", "never there"]) == 1
    assert index.item("door") is None
    assert len(index) == before
    assert index.verify() == []


def test_files_and_items_leave_each_other_alone(
    index: ImageIndex,
    collection: Path,
    photographs: dict[str, Image.Image],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from imgsim_edge.infer.duplicates.groups import find_groups

    content = (collection / "coffee.jpg").read_bytes()
    index.upsert([Item("coffee.jpg", content), Item("b", frame(photographs["coffee"]))])
    monkeypatch.chdir(collection)  # where a file of that name lies
    report = index.add()
    assert (report.added, report.removed, report.moved) == (0, 0, 0)
    assert index.info().roots == [Path(os.path.realpath(collection))]
    found = find_groups(index)
    assert not found.passed_over
    assert all(group.keep.has_file for group in found.groups)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "same.jpg").write_bytes(content)
    assert index.add([fresh]).added == 1
    assert index.item("coffee.jpg") is not None
    assert index.verify() == []


@pytest.mark.parametrize("name", ["", "a/b", "/etc/passwd", "..", "a\0b", "a" * 256, "\udcff"])
def test_names_that_could_be_paths_are_refused(index: ImageIndex, name: str) -> None:
    with pytest.raises(ImgsimError, match="cannot be called"):
        index.upsert([Item(name, np.ones(64))])


def test_what_is_wrong_is_said_and_nothing_is_added(index: ImageIndex) -> None:
    before = len(index)
    good = Item("good", np.ones(64))
    for bad, reason in (
        (Item("x", np.zeros(64)), "finite"),
        (Item("x", b"no image"), "not an image"),
        (Item("x", np.ones(64), {"at": object()}), "no JSON"),
        (Item("x", np.ones(64), {"at": float("nan")}), "no JSON"),
        (Item("x", np.ones(64), {"at": "x" * 5000}), "4,096"),
        (Item("good", np.ones(64)), "two items"),
    ):
        with pytest.raises(ImgsimError, match=reason):
            index.upsert([good, bad])
    assert len(index) == before


def test_an_index_of_items_alone(tmp_path: Path, photographs: dict[str, Image.Image]) -> None:
    with ImageIndex.create(tmp_path / "index") as index:
        for number, image in enumerate(photographs.values()):
            index.upsert([Item(f"frame {number}", frame(image), {"number": number})])
        assert len(index) == len(photographs)
        for number, image in enumerate(photographs.values()):
            assert index.similar(frame(image), k=1)[0].payload == {"number": number}
        assert index.info().roots == []
        assert index.add().added == 0
    assert ImageIndex.repair(tmp_path / "index") == []


def test_everything_that_the_graph_holds_may_be_discarded(tmp_path: Path) -> None:
    vectors = np.eye(64, dtype=np.float32)
    with ImageIndex.create(tmp_path / "index") as index:
        index.upsert([Item(str(n), vectors[n]) for n in range(2)])
        index.similar(vectors[0])
        assert index.info().graph is not None
        index.upsert([Item("2", vectors[2])])
        index.discard(["0", "1"])
        assert [str(match.path) for match in index.similar(vectors[2], k=1)] == ["2"]
