"""A second run looks only at what changed, and nothing that is merely away is forgotten."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROGRAM, Run, fails
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.encoder import embed
from imgsim_edge.infer.errors import IndexBusyError, UsageError
from imgsim_edge.infer.index.report import AddReport
from PIL import Image
from tiny import tiny_encoder


def photo(path: Path, seed: int, seconds: int = 1_000_000) -> Path:
    """Write a small photo of its own colour, with a time that later writes differ from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(np.random.default_rng(seed).integers(1, 255, 3).tolist())
    Image.new("RGB", (12, 9), colour).save(path, "PNG")
    os.utime(path, (seconds + seed, seconds + seed))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for n in range(6):
        photo(tmp_path / "photos" / f"{n % 2}" / f"{n}.png", n)
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[ImageIndex]:
    (tmp_path / "encoder.onnx").write_bytes(tiny_encoder())
    with ImageIndex.create(tmp_path / "index", tmp_path / "encoder.onnx") as opened:
        yield opened
        assert opened.verify() == []


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes in bytes of the files that are decoded."""
    sizes: list[int] = []
    real = embed.load_photo

    def noted(source: bytes, *rest: Any, **options: Any) -> object:
        sizes.append(len(source))
        return real(source, *rest, **options)

    monkeypatch.setattr(embed, "load_photo", noted)
    return sizes


def counts(report: AddReport) -> dict[str, int]:
    numbers = {name: value for name, value in vars(report).items() if isinstance(value, int)}
    numbers |= {"unreadable": len(report.problems), "away": len(report.away)}
    return {name: value for name, value in numbers.items() if value}


def names(index: ImageIndex) -> set[str]:
    return {path.name for path in index}


def test_nothing_is_read_again_that_has_not_changed(
    index: ImageIndex, photos: Path, decoded: list[int]
) -> None:
    assert counts(index.add([photos])) == {"added": 6}
    before = list(index.photos())
    del decoded[:]
    assert counts(index.add([photos])) == {"unchanged": 6}
    assert counts(index.add()) == {"unchanged": 6}
    assert decoded == []
    assert list(index.photos()) == before


def test_a_new_time_alone_costs_no_decoding(
    index: ImageIndex, photos: Path, decoded: list[int]
) -> None:
    index.add([photos])
    del decoded[:]
    os.utime(photos / "0" / "0.png", (5, 5))
    assert counts(index.add()) == {"unchanged": 6}
    assert decoded == []
    found = index.find(photos / "0" / "0.png")
    assert found is not None
    assert found.mtime_ns == 5 * 10**9


def test_new_bytes_are_read_and_give_another_vector(
    index: ImageIndex, photos: Path, decoded: list[int]
) -> None:
    index.add([photos])
    place = photos / "0" / "2.png"
    before = index.find(place)
    assert before is not None
    del decoded[:]
    (old,) = index.vectors([before.id])[1]
    photo(place, 77)
    assert counts(index.add()) == {"unchanged": 5, "changed": 1}
    assert len(decoded) == 1
    (new,) = index.vectors([before.id])[1]
    assert not np.array_equal(old, new)


def test_moved_and_renamed_photos_keep_id_and_vector(
    index: ImageIndex, photos: Path, tmp_path: Path, decoded: list[int]
) -> None:
    other = tmp_path / "other"
    photo(other / "x.png", 50)
    index.add([photos, other])
    before = {photo.path.name: photo.id for photo in index.photos()}
    ids, vectors = index.vectors()
    del decoded[:]
    (photos / "0" / "0.png").rename(photos / "1" / "renamed.png")
    (photos / "1" / "1.png").rename(other / "1.png")  # to another root
    (photos / "0").rename(photos / "zero")
    report = index.add()
    assert counts(report) == {"moved": 4, "unchanged": 3}
    assert decoded == []
    after = {photo.path.name: photo.id for photo in index.photos()}
    assert after == {("renamed.png" if k == "0.png" else k): v for k, v in before.items()}
    assert np.array_equal(index.vectors()[0], ids)
    assert np.array_equal(index.vectors()[1], vectors)


def test_files_that_change_places_change_vectors(
    index: ImageIndex, photos: Path, decoded: list[int]
) -> None:
    index.add([photos])
    a, b = photos / "0" / "0.png", photos / "1" / "1.png"
    vector = {p: index.vectors([f.id])[1][0] for p in (a, b) if (f := index.find(p))}
    a.rename(photos / "c")
    b.rename(a)
    (photos / "c").rename(b)
    index.add()
    swapped = {p: index.vectors([f.id])[1][0] for p in (a, b) if (f := index.find(p))}
    assert np.array_equal(swapped[a], vector[b])
    assert np.array_equal(swapped[b], vector[a])


def test_copies_are_not_decoded_twice(index: ImageIndex, photos: Path, decoded: list[int]) -> None:
    index.add([photos])
    del decoded[:]
    shutil.copy(photos / "0" / "0.png", photos / "copy.png")
    assert counts(index.add()) == {"added": 1, "unchanged": 6}
    assert decoded == []
    (match, *_) = index.similar(photos / "copy.png", 3)
    assert match.path.name == "0.png"
    assert match.score == pytest.approx(1.0)


def test_deleted_photos_leave_and_their_slots_are_used_again(
    index: ImageIndex, photos: Path
) -> None:
    index.add([photos])
    (photos / "0" / "2.png").unlink()
    shutil.rmtree(photos / "1")
    assert counts(index.add()) == {"removed": 4, "unchanged": 2}
    assert names(index) == {"0.png", "4.png"}
    for n in range(4):
        photo(photos / f"new{n}.png", 100 + n)
    index.add()
    assert max(photo.id for photo in index.photos()) == 5


@pytest.mark.parametrize("how", ["missing", "empty", "closed"])
def test_a_root_that_is_not_there_keeps_its_photos(
    index: ImageIndex, photos: Path, tmp_path: Path, decoded: list[int], how: str
) -> None:
    index.add([photos])
    aside = photos.rename(tmp_path / "aside")
    if how == "empty":
        photos.mkdir()
    elif how == "closed":
        photos.symlink_to(photos)  # a loop: it can be neither entered nor listed
    report = index.add([photos] if how != "closed" else None)
    assert report.removed == 0
    assert len(index) == 6
    if how != "closed":
        assert report.away == [photos]
    if how == "empty":
        photos.rmdir()
    elif how == "closed":
        photos.unlink()
    aside.rename(photos)
    del decoded[:]
    assert counts(index.add()) == {"unchanged": 6}
    assert decoded == []


def mounted(what: Path, where: Path) -> bool:
    where.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "--bind", what, where], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("left", ["nothing", "another photo"])
def test_a_file_system_inside_a_root_that_is_not_mounted_keeps_its_photos(
    index: ImageIndex, photos: Path, tmp_path: Path, left: str
) -> None:
    drive = Path("/dev/shm") / f"imgsim-edge-test-{os.getpid()}"
    where = photos / "drive"
    try:
        photo(drive / "deep" / "a.png", 30)
        photo(drive / "b.png", 31)
        if drive.stat().st_dev == photos.stat().st_dev or not mounted(drive, where):
            pytest.skip("nothing can be mounted here")
        try:
            assert counts(index.add([photos])) == {"added": 8}
        finally:
            subprocess.run(["umount", where], check=True)
        if left == "another photo":
            photo(where / "lost.png", 32)
        report = index.add()
        assert report.removed == 0
        assert report.away == [where]
        assert {"a.png", "b.png"} <= names(index)
        assert mounted(drive, where)
        try:
            assert index.add().added == 0
            assert {"a.png", "b.png"} <= names(index)
        finally:
            subprocess.run(["umount", where], check=True)
    finally:
        shutil.rmtree(drive, ignore_errors=True)


def test_a_file_that_failed_is_tried_again_only_when_it_changed_or_on_demand(
    index: ImageIndex, photos: Path, decoded: list[int]
) -> None:
    bad = photos / "bad.png"
    bad.write_bytes(b"no photo")
    assert counts(index.add([photos])) == {"added": 6, "unreadable": 1}
    del decoded[:]
    assert counts(index.add()) == {"unchanged": 7}
    assert decoded == []
    assert counts(index.add(retry=True)) == {"unchanged": 6, "unreadable": 1}
    assert len(decoded) == 1
    photo(bad, 12)
    assert counts(index.add()) == {"added": 1, "unchanged": 6}


def test_patterns_are_passed_over_and_remembered(index: ImageIndex, photos: Path) -> None:
    photo(photos / "1" / "thumbs" / "t.png", 20)
    photo(photos / "0" / "draft-1.png", 21)
    assert counts(index.add([photos], exclude=["thumbs/", "draft-*"])) == {"added": 6}
    assert counts(index.add()) == {"unchanged": 6}
    assert counts(index.add([photos], exclude=["thumbs/"])) == {"added": 1, "unchanged": 6}
    (photos / "0" / ".imgsimignore").write_text("# not these\n\n*.png\n")
    assert counts(index.add()) == {"removed": 4, "unchanged": 3}
    (photos / "0" / ".imgsimignore").write_text("sub/*.png\n")
    photo(photos / "0" / "sub" / "s.png", 22)
    photo(photos / "1" / "sub" / "s.png", 23)
    report = index.add()
    assert (report.added, report.removed) == (5, 0)
    assert not index.find(photos / "0" / "sub" / "s.png")
    assert index.find(photos / "1" / "sub" / "s.png")


def test_links_that_lead_in_a_circle_end(index: ImageIndex, photos: Path) -> None:
    (photos / "0" / "up").symlink_to(photos)
    (photos / "1" / "self").symlink_to(photos / "1" / "self")
    assert index.add([photos]).added == 6
    assert counts(index.add()) == {"unchanged": 6}


def test_a_root_above_takes_in_the_roots_below(
    index: ImageIndex, photos: Path, decoded: list[int]
) -> None:
    index.add([photos / "0", photos / "1"])
    del decoded[:]
    assert counts(index.add([photos])) == {"unchanged": 6}
    assert decoded == []
    assert index.info().roots == [photos]


def test_removed_photos_come_back_only_when_their_folder_is_looked_at(
    index: ImageIndex, photos: Path
) -> None:
    index.add([photos])
    assert index.remove([photos / "0" / "0.png", photos / "1"]) == 4
    assert names(index) == {"2.png", "4.png"}
    assert counts(index.add()) == {"added": 4, "unchanged": 2}


def test_forgetting_a_root(run: Run, photos: Path, tmp_path: Path) -> None:
    photo(tmp_path / "other" / "x.png", 9)
    (tmp_path / "encoder.onnx").write_bytes(tiny_encoder())
    run("index", photos, tmp_path / "other", "--model", tmp_path / "encoder.onnx")
    fails(run("forget", photos / "0"), "no folder that was indexed", str(photos))
    assert run("forget", photos).stdout == "1 photo in the index (6 forgotten)\n"
    assert run("index").stdout == "1 photo in the index (1 unchanged)\n"
    catalogue = (tmp_path / "index" / "catalogue.sqlite").read_bytes()
    assert b"2.png" not in catalogue


def test_a_library_that_moved(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(tiny_encoder())
    run("index", photos / "0", photos / "1", "--model", tmp_path / "encoder.onnx")
    fails(run("relocate", photos, tmp_path / "new"), "no folder")
    photos.rename(tmp_path / "new")
    fails(run("relocate", tmp_path / "elsewhere", tmp_path / "new"), "no folder that was indexed")
    done = run("relocate", photos, tmp_path / "new")
    assert done.stdout.splitlines() == [f"now at {tmp_path / 'new' / n}" for n in "01"]
    assert run("index").stdout == "6 photos in the index (6 unchanged)\n"
    answer = json.loads(run("similar", tmp_path / "new" / "0" / "0.png", "-k1", "--json").stdout)
    assert answer["path"].startswith(str(tmp_path / "new"))


def test_a_new_place_may_not_overlap_another_root(
    index: ImageIndex, photos: Path, tmp_path: Path
) -> None:
    index.add([photos / "0", photos / "1"])
    with pytest.raises(UsageError, match="overlaps"):
        index.relocate(photos / "0", photos / "1")


def test_a_second_writer_is_told_who_holds_the_lock(index: ImageIndex, photos: Path) -> None:
    with (
        Catalogue(index.folder).writer(),
        pytest.raises(IndexBusyError, match=rf"process {os.getpid()} on .*\(since"),
    ):
        index.add([photos])
    assert index.add([photos]).added == 6


def test_the_lock_of_a_dead_process_is_nobodys(index: ImageIndex, photos: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from imgsim_edge.infer.catalogue.database import Catalogue\n"
        "with Catalogue(Path(sys.argv[1])).writer():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(index.folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (index.folder / "writer.json").exists()
    assert index.add([photos]).added == 6


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_was_committed_and_says_so(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    for n in range(400):
        photo(tmp_path / "photos" / f"{n}.png", n)
    (tmp_path / "encoder.onnx").write_bytes(tiny_encoder())
    folder = tmp_path / "index"
    slow = (  # photos that take a while, so that the signal comes in the middle
        "import time; from imgsim_edge.infer.encoder import embed\n"
        "real = embed.load_photo\n"
        "embed.load_photo = lambda *a, **k: (time.sleep(0.02), real(*a, **k))[1]\n"
    )
    arguments = ["index", tmp_path / "photos", "--index", folder, "--threads", "1"]
    arguments += ["--model", tmp_path / "encoder.onnx"]
    running = subprocess.Popen(
        [sys.executable, "-c", slow + PROGRAM, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / "catalogue.sqlite").exists() or not count(folder):
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == status, errors
    (line,) = errors.splitlines()
    left = count(folder)
    assert 0 < left < 400
    assert f"interrupted: {left:,} photos are in the index" in line
    with ImageIndex.open(folder) as index:
        assert index.verify() == []
        assert index.add().added == 400 - left


def count(folder: Path) -> int:
    with ImageIndex.open(folder) as index:
        return len(index)


def test_index_without_a_path_needs_an_index(run: Run) -> None:
    fails(run("index"), "no index", "imgsim-edge index FOLDER")
