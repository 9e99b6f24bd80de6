"""What a scan takes for a photo, and what it passes over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imgsim_edge.infer.photos.ignore import patterns
from imgsim_edge.infer.photos.scan import ClosedFolder, FoundFile, scan_files


def found(folder: Path, below: str = "") -> list[str]:
    return [entry.path for entry in scan_files(folder, below) if isinstance(entry, FoundFile)]


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_known_suffixes_count_in_any_case(tmp_path: Path) -> None:
    photos = ["A.JPG", "b.jpeg", "c.Png", "d.webp", "e.gif", "f.bmp", "g.tif", "h.TIFF", "i.avif"]
    fill(tmp_path, *photos, "notes.txt", "movie.mp4", "jpg", "archive.jpg.zip")
    assert found(tmp_path) == photos


def test_hidden_and_rubbish_files_are_passed_over(tmp_path: Path) -> None:
    fill(
        tmp_path,
        "trip/1.jpg",
        "trip/._1.jpg",
        "trip/.hidden.jpg",
        ".thumbnails/1.jpg",
        "@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "#recycle/2.jpg",
        "$RECYCLE.BIN/3.jpg",
        "__MACOSX/4.jpg",
        "lost+found/5.jpg",
    )
    assert found(tmp_path) == ["trip/1.jpg"]


def test_a_part_of_a_folder_keeps_paths_from_the_top(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/c/2.jpg", "b/3.jpg")
    assert found(tmp_path, "b") == ["b/3.jpg", "b/c/2.jpg"]


def test_sizes_and_times_are_those_of_the_file(tmp_path: Path) -> None:
    fill(tmp_path, "1.jpg")
    (entry,) = scan_files(tmp_path)
    status = (tmp_path / "1.jpg").stat()
    assert entry == FoundFile("1.jpg", status.st_size, status.st_mtime_ns)


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    fill(tmp_path, "photos/1.jpg", "elsewhere/2.jpg")
    photos = tmp_path / "photos"
    (photos / "loop").symlink_to(photos)
    (photos / "more").symlink_to(tmp_path / "elsewhere")
    (photos / "again").symlink_to(tmp_path / "elsewhere")
    (photos / "nowhere.jpg").symlink_to(tmp_path / "nothing.jpg")
    assert found(photos) == ["1.jpg", "again/2.jpg"]


def test_a_file_that_is_no_plain_file_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert found(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode elsewhere")
def test_names_need_not_be_valid_text(tmp_path: Path) -> None:
    fill(tmp_path, os.fsdecode(b"caf\xe9.jpg"))
    assert [os.fsencode(path) for path in found(tmp_path)] == [b"caf\xe9.jpg"]


def test_a_folder_that_cannot_be_listed_is_told_apart_from_an_empty_one(tmp_path: Path) -> None:
    fill(tmp_path, "1.jpg")
    entries = list(scan_files(tmp_path, "gone"))
    assert entries == [ClosedFolder("gone", "No such file or directory")]


@pytest.mark.parametrize("pattern", ["**/" * 40 + "z", "[" * 100_000, "*a" * 400 + "b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    (one,) = patterns([f"/{pattern}"]) or [None]
    assert one is None or not one.fits("/".join("a" * 40), "a", False)
