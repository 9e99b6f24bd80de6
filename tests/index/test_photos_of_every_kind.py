"""A folder of every format is indexed; what cannot be read is named, and never forgotten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from camera_files import dng, encoded, exif
from conftest import Run, fails
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.encoder import embed
from imgsim_edge.infer.errors import UsageError
from imgsim_edge.infer.photos import formats
from PIL import Image
from tiny import tiny_encoder

WITHOUT_HEIC = (
    "import sys; sys.modules['pi_heif'] = None; "
    "from imgsim_edge.infer.cli import main; sys.exit(main())"
)
SIDEWAYS = Image.Transpose.ROTATE_90


def write_in_every_format(folder: Path, stem: str, image: Image.Image) -> None:
    """Write a picture as many phones, cameras and programs would."""
    folder.mkdir(parents=True, exist_ok=True)
    stored, sideways = image.transpose(SIDEWAYS), exif(6)
    preview = encoded(stored, "JPEG", quality=90)
    contents = {
        "jpg": encoded(stored, "JPEG", exif=sideways, quality=90),
        "mpo": encoded(stored, "MPO", save_all=True, append_images=[stored], exif=sideways),
        "png": encoded(image, "PNG"),
        "webp": encoded(stored, "WEBP", exif=sideways.tobytes(), quality=90),
        "tif": encoded(stored, "TIFF", exif=sideways.tobytes()),
        "avif": encoded(stored, "AVIF", exif=sideways.tobytes(), quality=80),
        "bmp": encoded(image, "BMP"),
        "heic": encoded(stored, "HEIF", exif=sideways.tobytes(), quality=80),
        "hif": encoded(stored, "HEIF", exif=sideways.tobytes(), quality=80, tile_size=128),
        "dng": dng(stored, orientation=6, preview=preview),
        "jxl": encoded(image, "JXL", exif=sideways.tobytes()),
    }
    for suffix, content in contents.items():
        (folder / f"{stem}.{suffix}").write_bytes(content)


def test_the_same_picture_in_every_format_finds_its_siblings_first(
    photographs: dict[str, Image.Image], tmp_path: Path
) -> None:
    for stem in ("astronaut", "chelsea", "coffee"):
        write_in_every_format(tmp_path / "photos", stem, photographs[stem])
    with ImageIndex.create(tmp_path / "index") as index:
        report = index.add([tmp_path / "photos"])
        assert (report.added, report.problems, report.passed_over) == (33, [], [])
        for photo in list(index.photos()):
            found = index.similar(photo.path, 10)
            assert {match.path.stem for match in found} == {photo.path.stem}, photo.path
            assert photo.width > photo.height or photo.path.stem == "astronaut"
            told = photo.metadata
            assert told is not None
            assert (told.taken_ms is None) == (photo.path.suffix in (".png", ".bmp"))


@pytest.fixture
def heic_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "phone"
    folder.mkdir()
    for n, colour in enumerate(("red", "green", "blue")):
        (folder / f"IMG_{n}.HEIC").write_bytes(encoded(Image.new("RGB", (64, 48), colour), "HEIF"))
    (folder / "IMG_0.MOV").write_bytes(b"video")
    (folder / "trip.mp4").write_bytes(b"video")
    return folder


def test_a_folder_of_heic_alone_is_indexed(heic_folder: Path, run: Run) -> None:
    done = run("index", heic_folder)
    assert done.status == 0
    assert "3 photos in the index (3 added)" in done.stdout
    assert "passed over: 1 MOV of live photos, 1 MP4" in done.stderr


def test_a_folder_of_heic_alone_says_what_is_missing(heic_folder: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_HEIC, *map(str, arguments)],
            capture_output=True,
            text=True,
            env={**os.environ, "IMGSIM_EDGE_INDEX": str(tmp_path / "index")},
            check=False,
        )

    told = run("index", heic_folder)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.splitlines() == [
        f"error: no photos in {heic_folder} that can be read here: 3 HEIC (pip install pi-heif), "
        "1 MOV of live photos, 1 MP4"
    ]
    Image.new("RGB", (9, 9)).save(heic_folder / "one.png")
    told = run("index", heic_folder, "--json")
    assert json.loads(told.stdout)["passed_over"] == {"HEIC": 3, "MOV of live photos": 1, "MP4": 1}
    assert "passed over: 3 HEIC (pip install pi-heif)" in told.stderr
    asked = run("similar", heic_folder / "IMG_1.HEIC")
    assert asked.returncode == 1
    assert "HEIC needs pi-heif: pip install pi-heif" in asked.stderr


@pytest.fixture
def index(tmp_path: Path) -> Iterator[ImageIndex]:
    (tmp_path / "encoder.onnx").write_bytes(tiny_encoder())
    with ImageIndex.create(tmp_path / "index", tmp_path / "encoder.onnx") as opened:
        yield opened
        assert opened.verify() == []


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Let the library for HEIC be there or not."""

    def forget_what_was_there() -> None:
        for cached in (
            formats._is_installed,
            formats.readable_suffixes,
            formats.passed_over_suffixes,
        ):
            cached.cache_clear()

    def set_installed(there: bool) -> None:
        monkeypatch.undo()
        if not there:
            monkeypatch.setitem(sys.modules, "pi_heif", None)
        forget_what_was_there()

    yield set_installed
    monkeypatch.undo()
    forget_what_was_there()


def test_a_library_that_goes_costs_no_photo_that_it_has_read(
    index: ImageIndex, heic_folder: Path, installed: Callable[[bool], None]
) -> None:
    index.add([heic_folder])
    before = list(index.photos())
    installed(False)
    for paths in ([heic_folder], [heic_folder / "IMG_0.HEIC"]):
        report = index.add(paths)
        assert report.removed == 0
        assert report.away == []
        assert report.seen["HEIC"] in (1, 3)
        assert list(index.photos()) == before
    installed(True)
    (heic_folder / "IMG_2.HEIC").unlink()
    report = index.add([heic_folder])
    assert (report.removed, report.unchanged, report.seen["HEIC"]) == (1, 2, 0)


def test_a_library_that_comes_brings_the_photos_that_were_passed_over(
    index: ImageIndex, heic_folder: Path, installed: Callable[[bool], None]
) -> None:
    Image.new("RGB", (9, 9)).save(heic_folder / "one.png")
    installed(False)
    assert index.add([heic_folder]).added == 1
    installed(True)
    assert index.add([heic_folder]).added == 3


def test_only_known_formats_count_as_passed_over(index: ImageIndex, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("notes.txt", ".hidden.mp4", "edit.xmp"):
        (folder / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"no photos in .*mixed$"):
        index.add([folder])
    Image.new("RGB", (9, 9)).save(folder / "one.png")
    (folder / "a.psd").write_bytes(b"")
    (folder / "left").mkdir()
    (folder / "left" / "b.psd").write_bytes(b"")
    report = index.add([folder], exclude=["left/"])
    assert [str(kind) for kind in report.passed_over] == ["1 PSD"]


def test_photos_of_an_older_index_are_described_without_embedding(
    index: ImageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    told = exif()
    for n in range(5):
        picture = encoded(Image.new("RGB", (9 + n, 9)), "JPEG", exif=told)
        (folder / f"{n}.jpg").write_bytes(picture)
    (folder / "IMG_20200101_101112.png").write_bytes(encoded(Image.new("RGB", (7, 7)), "PNG"))
    index.add([folder])
    whole = list(index.photos())
    catalogue = Catalogue(index.folder)
    with catalogue.writer() as writer:
        rows = [replace(row, metadata=None) for row in writer.photos()]
        writer.commit(Batch(photos=rows))
    catalogue.close()
    assert {photo.metadata for photo in index.photos()} == {None}
    (folder / "4.jpg").unlink()
    monkeypatch.setattr(embed, "load_photo", None)  # whoever decodes fails
    report = index.add([folder])
    assert (report.described, report.added, report.removed, report.unchanged) == (5, 0, 1, 5)
    assert list(index.photos()) == [photo for photo in whole if photo.path.name != "4.jpg"]
    assert index.add([folder]).described == 0


def test_a_photo_under_another_name_has_the_time_of_that_name(
    index: ImageIndex, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    plain = encoded(Image.new("RGB", (9, 9)), "PNG")
    (folder / "IMG_20200101_101112.png").write_bytes(plain)
    index.add([folder])
    (folder / "cat.png").write_bytes(plain)
    (folder / "IMG_20200101_101112.png").rename(folder / "IMG_20210101_101112.png")
    index.add([folder])
    told = {photo.path.name: photo.metadata for photo in index.photos()}
    assert told["cat.png"] is not None
    assert told["cat.png"].taken_source is None
    renamed = told["IMG_20210101_101112.png"]
    assert renamed is not None
    assert renamed.taken_ms == 1_609_495_872_000


def test_the_table_of_formats_is_printed(run: Run) -> None:
    told = run("formats").stdout
    assert "HEIC" in told
    assert "pi-heif" in told
    rows = [json.loads(line) for line in run("formats", "--json").stdout.splitlines()]
    assert len(rows) == len(formats.FORMATS)
    assert next(r for r in rows if r["format"] == "video")["readable"] is False


def test_no_output_shows_where_a_photo_was_taken(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n, colour in enumerate(("red", "orange")):
        picture = encoded(Image.new("RGB", (64, 48), colour), "JPEG", exif=exif())
        (folder / f"{n}.jpg").write_bytes(picture)
    assert run("index", folder).status == 0
    page = tmp_path / "page.html"
    for options in ([], ["--json"], ["--csv"], ["--html", page]):
        told = run("similar", folder / "0.jpg", *options)
        assert told.status == 0
        for sign in ("48.14", "48141667", "-11.57", "11575000", "latitude"):
            assert sign not in told.stdout + told.stderr
            assert not page.exists() or sign not in page.read_text()
    fails(run("index", tmp_path / "nowhere"), "is not there")
