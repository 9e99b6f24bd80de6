"""Which labelled photos are found, and what is told about them before training."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgsim_edge.train.data.checks import as_table, check
from imgsim_edge.train.data.find import LabelledPhotos, find_photos
from imgsim_edge.train.data.near_duplicates import near_identical_groups
from imgsim_edge.train.data.pixels import PixelStore
from imgsim_edge.train.errors import DataError
from PIL import Image


@pytest.fixture
def data(labelled: Path, tmp_path: Path) -> Path:
    """Three photos in each of two classes, free to be changed."""
    for name in ("coffee", "flower"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            shutil.copy(labelled / name / f"{number:02d}.jpg", tmp_path / "data" / name)
    return tmp_path / "data"


def look_through(found: LabelledPhotos, folder: Path) -> dict[str, int]:
    decoded = PixelStore(found.samples, 32, 2).decode(folder)
    groups = near_identical_groups(decoded.thumbnails)
    return {finding.what: finding.count for finding in check(found, decoded, groups)}


def test_a_folder_is_a_class_with_all_that_lies_below_it(data: Path) -> None:
    (data / "flower" / "2024" / "may").mkdir(parents=True)
    shutil.move(data / "flower" / "00.jpg", data / "flower" / "2024" / "may")
    found = find_photos([data])
    assert found.classes == ("coffee", "flower")
    assert [s.name for s in found.samples if s.label == "flower"] == [
        "flower/01.jpg",
        "flower/02.jpg",
        "flower/2024/may/00.jpg",
    ]


def test_a_linked_folder_is_followed_once(data: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.move(data / "flower" / "00.jpg", tmp_path / "elsewhere")
    (data / "flower" / "a").symlink_to(tmp_path / "elsewhere")
    (data / "flower" / "b").symlink_to(tmp_path / "elsewhere")
    (data / "flower" / "loop").symlink_to(data / "flower")
    assert len(find_photos([data]).samples) == 6


def test_classes_of_several_folders_carry_the_folders_name(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "more")
    assert find_photos([data, tmp_path / "more"]).classes == (
        "data/coffee",
        "data/flower",
        "more/coffee",
        "more/flower",
    )
    with pytest.raises(DataError, match="same name"):
        find_photos([data, data])


def test_a_table_of_paths_and_labels_is_read_relative_to_itself(data: Path) -> None:
    table = data / "labels.csv"
    table.write_text("label,path\ncup,coffee/00.jpg\nbloom,flower/00.jpg\nbloom,gone.jpg\n")
    found = find_photos([table])
    assert [(s.name, s.label) for s in found.samples] == [
        ("coffee/00.jpg", "cup"),
        ("flower/00.jpg", "bloom"),
    ]
    assert found.missing == ("gone.jpg",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "columns path and label"),
        ("file,class\na,b\n", "columns path and label"),
        ("path,label\ngone.jpg,a\n", "none of the 1 files .* gone.jpg"),
        ("path,label\ncoffee/00.jpg,\n", "row 2: .* empty"),
        ("path,label\ncoffee/00.jpg,a\ncoffee/00.jpg,b\n", "row 3: .* two different labels"),
        ("path,label\n\xff\n", "cannot read"),
    ],
)
def test_a_damaged_table_is_refused(data: Path, content: str, message: str) -> None:
    table = data / "labels.csv"
    table.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        find_photos([table])


def test_a_path_that_no_file_can_have_is_missing(data: Path) -> None:
    table = data / "labels.csv"
    table.write_text(f"path,label\n{'x' * 300}.jpg,a\ncoffee/00.jpg,a\n")
    assert find_photos([table]).missing == (f"{'x' * 300}.jpg",)
    with pytest.raises(DataError, match="no such folder"):
        find_photos([data / ("x" * 300)])


def test_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_photos([tmp_path / "gone"])


def test_everything_odd_is_counted_and_named(data: Path, tmp_path: Path) -> None:
    (data / "flower" / "torn.jpg").write_bytes((data / "flower" / "00.jpg").read_bytes()[:300])
    shutil.copy(data / "coffee" / "00.jpg", data / "flower" / "same.jpg")
    (data / "nothing").mkdir()
    (data / "Coffee").mkdir()
    Image.open(data / "coffee" / "01.jpg").rotate(90).save(data / "Coffee" / "x.jpg")
    shutil.copy(data / "coffee" / "02.jpg", data / "loose.jpg")
    assert look_through(find_photos([data]), tmp_path) == {
        "photos": 8,
        "classes": 3,
        "unreadable": 1,
        "outside of classes": 1,
        "empty classes": 1,
        "small classes": 1,
        "alike names": 1,
        "in two classes": 1,
        "near-identical": 1,
    }


def test_one_class_alone_is_refused(data: Path, tmp_path: Path) -> None:
    shutil.rmtree(data / "flower")
    with pytest.raises(DataError, match="at least two classes with photos, found: coffee"):
        look_through(find_photos([data]), tmp_path)


def test_the_table_names_examples(data: Path, tmp_path: Path) -> None:
    (data / "flower" / "empty.jpg").touch()
    found = find_photos([data])
    decoded = PixelStore(found.samples, 32, 1).decode(tmp_path)
    table = as_table(check(found, decoded, near_identical_groups(decoded.thumbnails)))
    assert "unreadable  1  left out: flower/empty.jpg (empty file)" in table


def test_photos_are_decoded_anew_where_the_disk_has_no_room(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = find_photos([data]).samples
    roomy, full = PixelStore(samples, 32, 1), PixelStore(samples, 32, 2)
    roomy.decode(tmp_path)
    monkeypatch.setattr("imgsim_edge.train.data.pixels.MOST_OF_DISK", 0.0)
    (tmp_path / "full").mkdir()
    full.decode(tmp_path / "full")
    assert not any((tmp_path / "full").iterdir())
    assert np.array_equal(roomy.read([4, 1]), full.read([4, 1]))


def test_kept_pixels_serve_the_same_photos_only(data: Path, tmp_path: Path) -> None:
    samples = find_photos([data]).samples
    PixelStore(samples, 32, 1).decode(tmp_path)
    assert PixelStore(samples, 32, 1).reuse(tmp_path)
    assert not PixelStore(samples[1:], 32, 1).reuse(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "pixels.u8").write_bytes(b"half"),
        lambda folder: os.truncate(folder / "pixels.u8", 100_000),
        lambda folder: (folder / "pixels.u8").unlink(),
        lambda folder: (folder / "pixels.json").write_text("["),
        lambda folder: (folder / "pixels.json").unlink(),
    ],
)
def test_damaged_pixels_are_decoded_anew(data: Path, tmp_path: Path, damage: Any) -> None:
    samples = find_photos([data]).samples
    PixelStore(samples, 32, 1).decode(tmp_path)
    damage(tmp_path)
    store = PixelStore(samples, 32, 1)
    assert not store.reuse(tmp_path)
    store.decode(tmp_path)
    assert store.reuse(tmp_path)


def test_a_disk_that_gets_full_while_photos_are_read_stops_nothing(
    data: Path, tmp_path: Path
) -> None:
    samples = find_photos([data]).samples
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))  # of six photos of 3072 bytes
    try:
        store = PixelStore(samples, 32, 1)
        assert not store.decode(tmp_path).failures
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.glob("pixels*"))
    assert store.read([5]).shape == (1, 32, 32, 3)


def test_copies_are_recognised_and_others_are_not(labelled: Path) -> None:
    with Image.open(labelled / "flower" / "00.jpg") as image:
        photo = image.convert("RGB")
    with Image.open(labelled / "flower" / "01.jpg") as image:
        another = image.convert("RGB")
    smaller = photo.resize((60, 60)).resize(photo.size)
    thumbnails = np.stack(
        [np.asarray(p.resize((16, 16), Image.Resampling.BOX)) for p in (another, photo, smaller)]
    )
    assert near_identical_groups(thumbnails).tolist() == [0, 1, 1]
