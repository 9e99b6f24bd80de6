"""Answers are kept to a time, a camera, a folder; photos without details find their place."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, fails
from imgsim_edge.infer import ImageIndex, Item, UsageError, period_of
from PIL import Image
from tiny import DIMENSION, tiny_encoder

MAKE, MODEL, EXIF, TAKEN = 0x010F, 0x0110, 0x8769, 0x9003
PHOTOS = {  # name → when and with what
    "july": ("2023:07:31 23:59:59", "Canon EOS R6"),
    "august": ("2023:08:01 00:00:00", "Canon EOS R6"),
    "last of august": ("2023:08:31 23:59:59", "Google Pixel 7"),
    "september": ("2023:09:01 00:00:00", "Google Pixel 7"),
    "winter": ("2022:01:05 12:00:00", "Google Pixel 7"),
    "undated": (None, None),
}


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Image.Image]) -> Path:
    folder = tmp_path_factory.mktemp("album") / "photos"
    folder.mkdir()
    for number, (name, (taken, camera)) in enumerate(PHOTOS.items()):
        image = photographs["coffee"].resize((200 + 10 * number, 160))
        exif = Image.Exif()
        if taken and camera:
            exif[MAKE], exif[MODEL] = camera.split(" ", 1)
            exif.get_ifd(EXIF)[TAKEN] = taken
        image.save(folder / f"{name}.jpg", exif=exif)
    with ImageIndex.create(folder.parent / "index") as index:
        index.add([folder])
    return folder


def names(run: Run, album: Path, *wishes: object) -> list[str]:
    done = run(
        *("similar", album / "undated.jpg", "--json", "--all", "-k", 9, *wishes),
        IMGSIM_EDGE_INDEX=str(album.parent / "index"),
    )
    assert done.status == 0, done.stderr
    return sorted(Path(json.loads(line)["path"]).stem for line in done.stdout.splitlines())


def test_a_date_means_all_of_it(run: Run, album: Path) -> None:
    august = ["august", "last of august"]
    assert names(run, album, "--since", "2023-08", "--until", "2023-08") == august
    assert names(run, album, "--since", "2023-08-31", "--until", "2023-08-31") == august[1:]
    assert names(run, album, "--until", "2023-08") == sorted([*august, "july", "winter"])
    assert names(run, album, "--since", "2023") == sorted([*august, "july", "september"])
    assert names(run, album, "--until", "2022") == ["winter"]
    assert names(run, album, "--since", "2023-08-31T23:59:59") == ["last of august", "september"]
    assert names(run, album) == sorted(set(PHOTOS) - {"undated"})


def test_a_camera_is_named_by_a_part_of_its_name(run: Run, album: Path) -> None:
    assert names(run, album, "--camera", "canon") == ["august", "july"]
    assert names(run, album, "--camera", "PIXEL", "--since", "2023-09") == ["september"]
    assert names(run, album, "--camera", "nikon") == []


@pytest.mark.parametrize("text", ["yesterday", "2023-13", "2023-02-30", "23", ""])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no date: write 2023"):
        period_of(text)


def test_periods_end_where_the_next_begins() -> None:
    assert period_of("2024-02").end == datetime(2024, 3, 1)
    assert period_of("2023-12").end == period_of("2024").begin
    assert period_of("2024-02-29 10:59").end == datetime(2024, 2, 29, 11)
    with pytest.raises(UsageError):
        period_of("9999-12-31")  # the calendar of Python ends there


def test_a_wrong_date_and_a_folder_that_is_not_there_are_one_line(run: Run, album: Path) -> None:
    where = {"IMGSIM_EDGE_INDEX": str(album.parent / "index")}
    fails(run("similar", album / "july.jpg", "--since", "soon", **where), "'soon' is no date")
    for command in (("similar", album / "july.jpg"), ("duplicates",)):
        fails(run(*command, "--in", album.parent / "none", **where), "none is not in the index")


def test_the_newest_come_first_where_that_is_asked_for(album: Path) -> None:
    with ImageIndex.open(album.parent / "index") as index:
        by_date = index.similar(album / "july.jpg", order="date")
        by_likeness = index.similar(album / "july.jpg")
    stems = ["september", "last of august", "august", "winter", "undated"]
    assert [match.path.stem for match in by_date] == stems
    assert sorted(by_date, key=lambda match: match.rank) == by_likeness


def test_vectors_without_details_are_placed_by_their_embeddings(
    collection: Path, tmp_path: Path
) -> None:
    model = tmp_path / "tiny.onnx"
    model.write_bytes(tiny_encoder(details=16))
    with ImageIndex.create(tmp_path / "index", model) as index:
        index.add([collection])
        query = collection / "coffee.jpg"
        before = [match.path for match in index.similar(query, 30)]
        ids, vectors = index.vectors()
        photo = index.find(query)
        assert photo is not None
        own = vectors[ids.tolist().index(photo.id)]
        away = np.random.default_rng(0).standard_normal(DIMENSION)
        index.upsert(
            [Item("equal", own), Item("opposite", -own), Item("between", own + 0.1 * away)]
        )
        assert not index.details([index.item("equal").id]).any()  # type: ignore[union-attr]
        matches = index.similar(query, 30)
        order = [str(match.path) for match in matches]
        # The others keep their order among themselves, compared by their details as before.
        assert [path for path in order if path.startswith("/")] == [str(path) for path in before]
        assert order[0] == "equal"
        assert order.index("equal") < order.index("between") < order.index("opposite")
        assert [match.score for match in matches] == sorted(
            (match.score for match in matches), reverse=True
        )
