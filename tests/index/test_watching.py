"""`imgsim-edge watch`: a child process follows a folder, and the index is asked what it holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import PROGRAM, Run
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.catalogue.database import Catalogue

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stops the program by POSIX signals")
PATIENCE = 60.0  # seconds after which a test gives up; none asserts how long anything takes


class Watch:
    """A running `imgsim-edge watch` and the index that it writes."""

    def __init__(self, folder: Path, index: Path, errors: Path) -> None:
        self.folder = folder
        self.index = index
        self.errors = errors
        self.output = errors.with_suffix(".stdout")
        with errors.open("w") as stderr, self.output.open("w") as stdout:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "watch", str(folder), "--json"],
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, "IMGSIM_EDGE_INDEX": str(index)},
            )

    def photos(self, place: str = "") -> set[str]:
        """What can be found now below a part of the folder, by path from there."""
        with ImageIndex.open(self.index) as index:
            top = self.folder / place
            return {photo.path.relative_to(top).as_posix() for photo in index.photos(within=top)}

    def until(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < end, (self.photos(), self.errors.read_text())
            time.sleep(0.05)

    def until_photos_are(self, *paths: str) -> None:
        self.until(lambda: self.photos() == set(paths))

    def reports(self) -> list[dict[str, int]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]


class Place:
    """A folder of one test's own, inside the folder that all of them follow."""

    def __init__(self, watch: Watch, name: str) -> None:
        self.watch = watch
        self.name = name
        self.folder = watch.folder / name
        # A report comes a moment after what it is about: those of the last test are waited for.
        watch.until(
            lambda: (
                sum(report["added"] - report["removed"] for report in watch.reports())
                == len(watch.photos())
            )
        )
        self._reported = len(watch.reports())
        self.folder.mkdir()

    def until_photos_are(self, *paths: str) -> None:
        self.watch.until(lambda: self.watch.photos(self.name) == set(paths))

    def reports(self) -> list[dict[str, int]]:
        return self.watch.reports()[self._reported :]

    def until_reported(self, **expected: int) -> None:
        def sums() -> dict[str, int]:
            return {name: sum(report[name] for report in self.reports()) for name in expected}

        self.watch.until(lambda: sums() == expected)


Follow = Callable[[Path, Path], Watch]


@pytest.fixture(scope="module")
def follow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follow]:
    """Start `imgsim-edge watch`; it is ended after the last test."""
    running: list[Watch] = []

    def start(folder: Path, index: Path) -> Watch:
        running.append(Watch(folder, index, tmp_path_factory.mktemp("told") / "stderr"))
        return running[-1]

    yield start
    for watch in running:
        watch.process.kill()
        watch.process.wait()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, collection: Path, follow: Follow) -> Watch:
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(collection / "chelsea.jpg", folder)
    watch = follow(folder, tmp_path_factory.mktemp("watched") / "index")
    watch.until(lambda: len(watch.reports()) == 1)
    return watch


@pytest.fixture
def place(shared: Watch, request: pytest.FixtureRequest) -> Place:
    return Place(shared, request.node.name)


@pytest.fixture
def watching(tmp_path: Path, collection: Path, follow: Follow) -> Watch:
    """Follow a folder of this test's own, that has one photo already."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(collection / "coffee.jpg", folder)
    running = follow(folder, tmp_path / "index")
    running.until(lambda: len(running.reports()) == 1)
    assert running.photos() == {"coffee.jpg"}
    return running


def test_new_photos_are_found(place: Place, collection: Path) -> None:
    shutil.copy(collection / "rocket.jpg", place.folder)
    place.until_photos_are("rocket.jpg")
    with ImageIndex.open(place.watch.index) as index:
        (match, *_) = index.similar(collection / "rocket-crop.jpg", within=place.folder)
    assert match.path == place.folder / "rocket.jpg"


def test_a_half_written_photo_waits(place: Place, collection: Path) -> None:
    content = (collection / "rocket.jpg").read_bytes()
    with (place.folder / "rocket.jpg").open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        # Whole photos that come later are there while this one still is not.
        for name in ("china", "coffee"):
            shutil.copy(collection / f"{name}.jpg", place.folder)
            place.watch.until(lambda name=name: f"{name}.jpg" in place.watch.photos(place.name))
        place.until_photos_are("china.jpg", "coffee.jpg")
        file.write(content[len(content) // 2 :])
    place.until_photos_are("china.jpg", "coffee.jpg", "rocket.jpg")
    assert "rocket" not in place.watch.errors.read_text()


def test_a_burst_becomes_few_batches(place: Place, collection: Path) -> None:
    for number in range(40):
        shutil.copy(collection / "rocket.jpg", place.folder / f"{number}.jpg")
    place.until_reported(added=40)
    place.until_photos_are(*(f"{number}.jpg" for number in range(40)))
    assert len(place.reports()) < 40


def test_deletes_and_renames_follow(place: Place, collection: Path) -> None:
    for name in ("rocket", "china", "coffee"):
        shutil.copy(collection / f"{name}.jpg", place.folder)
    place.until_photos_are("china.jpg", "coffee.jpg", "rocket.jpg")
    (place.folder / "rocket.jpg").unlink()
    (place.folder / "china.jpg").rename(place.folder / "renamed.jpg")
    place.until_photos_are("coffee.jpg", "renamed.jpg")
    place.until_reported(added=3, moved=1, removed=1, changed=0)


def test_folders_that_come_move_and_go_are_followed(
    place: Place, collection: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    shutil.copy(collection / "rocket.jpg", outside / "deep")
    outside.rename(place.folder / "trip")
    place.until_photos_are("trip/deep/rocket.jpg")
    shutil.copy(collection / "china.jpg", place.folder / "trip")
    place.until_photos_are("trip/china.jpg", "trip/deep/rocket.jpg")
    (place.folder / "trip").rename(place.folder / "2020.old")
    place.until_photos_are("2020.old/china.jpg", "2020.old/deep/rocket.jpg")
    shutil.rmtree(place.folder / "2020.old")
    place.until_photos_are()


def test_a_photo_that_is_edited_in_place_is_read_again(place: Place, collection: Path) -> None:
    shutil.copy(collection / "coffee.jpg", place.folder)
    place.until_photos_are("coffee.jpg")
    shutil.copy(collection / "rocket.jpg", place.folder / "coffee.jpg")
    place.until_reported(added=1, changed=1)
    with ImageIndex.open(place.watch.index) as index:
        (match,) = index.similar((collection / "rocket.jpg").read_bytes(), within=place.folder)
    assert match.score > 0.9999


def test_what_is_no_photo_is_passed_over(place: Place, collection: Path) -> None:
    (place.folder / "notes.txt").write_text("no photo")
    shutil.copy(collection / "rocket.jpg", place.folder / ".hidden.jpg")
    (place.folder / ".trash").mkdir()
    shutil.copy(collection / "rocket.jpg", place.folder / ".trash" / "rocket.jpg")
    shutil.copy(collection / "china.jpg", place.folder)
    place.until_photos_are("china.jpg")
    place.until_reported(added=1)


def test_what_the_user_wants_to_be_passed_over_is(place: Place, collection: Path) -> None:
    for name in ("rocket", "china"):
        shutil.copy(collection / f"{name}.jpg", place.folder)
    place.until_photos_are("china.jpg", "rocket.jpg")
    (place.folder / ".imgsimignore").write_text("rock*\n")
    place.until_photos_are("china.jpg")
    shutil.copy(collection / "rocket.jpg", place.folder / "rocket-2.jpg")
    shutil.copy(collection / "coffee.jpg", place.folder)
    place.until_photos_are("china.jpg", "coffee.jpg")


def test_links_are_followed_as_in_a_scan(place: Place, collection: Path) -> None:
    (place.folder / "link.jpg").symlink_to(collection / "rocket.jpg")
    place.until_photos_are("link.jpg")
    (place.folder / "link.jpg").unlink()
    place.until_photos_are()


def test_another_writer_is_waited_for(watching: Watch, collection: Path) -> None:
    with closing(Catalogue(watching.index)) as catalogue, catalogue.writer():
        shutil.copy(collection / "rocket.jpg", watching.folder)
        watching.until(lambda: "is writing to the index" in watching.errors.read_text())
        assert watching.photos() == {"coffee.jpg"}
    watching.until_photos_are("coffee.jpg", "rocket.jpg")
    assert watching.errors.read_text().count("is writing to the index") == 1


def test_a_folder_that_goes_keeps_its_photos_and_is_followed_again(
    watching: Watch, collection: Path
) -> None:
    elsewhere = watching.folder.with_name("elsewhere")
    watching.folder.rename(elsewhere)  # to the program, an unplugged drive
    watching.until(lambda: "is not there" in watching.errors.read_text())
    assert watching.photos() == {"coffee.jpg"}
    shutil.copy(collection / "rocket.jpg", elsewhere)
    elsewhere.rename(watching.folder)
    watching.until_photos_are("coffee.jpg", "rocket.jpg")
    shutil.copy(collection / "china.jpg", watching.folder)
    watching.until_photos_are("china.jpg", "coffee.jpg", "rocket.jpg")


def test_it_catches_up_with_what_happened_before(
    collection: Path, watching: Watch, follow: Follow
) -> None:
    watching.process.terminate()
    watching.process.wait()
    shutil.copy(collection / "rocket.jpg", watching.folder)
    (watching.folder / "coffee.jpg").unlink()
    again = follow(watching.folder, watching.index)
    again.until_photos_are("rocket.jpg")


def test_an_empty_folder_can_be_followed(tmp_path: Path, collection: Path, follow: Follow) -> None:
    (tmp_path / "inbox").mkdir()
    watching = follow(tmp_path / "inbox", tmp_path / "index")
    watching.until(lambda: "following" in watching.errors.read_text())
    shutil.copy(collection / "rocket.jpg", watching.folder)
    watching.until(lambda: len(watching.reports()) == 1)
    assert watching.photos() == {"rocket.jpg"}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_told_to(watching: Watch, sent: int) -> None:
    watching.process.send_signal(sent)
    assert watching.process.wait(timeout=30) == 0
    assert watching.errors.read_text().splitlines()[-1] == "stopped: 1 photo in the index"


def test_a_folder_that_was_never_there_is_told_in_one_line(run: Run, tmp_path: Path) -> None:
    done = run("watch", tmp_path / "nowhere")
    assert done.status == 1
    assert done.stderr.splitlines() == [
        f"error: {tmp_path / 'nowhere'} is not a folder: give folders of photos"
    ]


def test_without_the_extra_one_line_tells_how_to_install_it(tmp_path: Path) -> None:
    missing = "import sys; sys.modules['watchfiles'] = None; " + PROGRAM
    done = subprocess.run(
        [sys.executable, "-c", missing, "watch", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: `imgsim-edge watch` needs watchfiles: pip install 'imgsim-edge[watch]'\n"
    )
