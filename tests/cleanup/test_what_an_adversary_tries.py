"""A plan may be edited by anyone, and folders exchanged while it is carried out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.cleanup.apply import HARDLINK, MOVE, CleanupReport, apply, undo
from imgsim_edge.infer.cleanup.folder import HELD
from imgsim_edge.infer.cleanup.journal import Journal, Step
from imgsim_edge.infer.cleanup.plan import Plan, PlannedFile, PlannedGroup, write_plan
from imgsim_edge.infer.encoder.embed import content_digest

PHOTO = b"a photo of some bytes"
needs_held_folders = pytest.mark.skipif(not HELD, reason="the platform has no openat()")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an indexed album, and something private beside it."""
    for name in ("album/keep.jpg", "album/old/a.jpg", "album/old/b.jpg", "private/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PHOTO)
    return tmp_path


def planned(path: Path, content: bytes = PHOTO) -> PlannedFile:
    return PlannedFile(path, content_digest(content), len(content))


def plan(place: Path, *going: str, keep: str = "album/keep.jpg") -> Plan:
    files = tuple(planned(Path(f"{place}/{name}")) for name in going)
    return Plan((PlannedGroup(planned(place / keep), files),))


def carry_out(place: Path, wanted: Plan, action: str = MOVE) -> CleanupReport:
    return apply(wanted, action, place / "journals", roots=[place / "album"], target=place / "away")


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen after a file was checked and before it is touched."""
    write_down = Journal.will_do

    def will_do(self: Journal, step: Step) -> None:
        write_down(self, step)
        happens()

    monkeypatch.setattr(Journal, "will_do", will_do)


@pytest.mark.parametrize("action", [MOVE, HARDLINK])
@pytest.mark.parametrize("path", ["private/a.jpg", "album/../private/a.jpg"])
def test_files_outside_the_indexed_folders_are_refused(place: Path, path: str, action: str) -> None:
    report = carry_out(place, plan(place, path), action)
    assert [one.reason for one in report.refused] == ["outside the folders that were indexed"]
    assert (place / "private/a.jpg").stat().st_nlink == 1
    kept_outside = carry_out(place, plan(place, "album/old/a.jpg", keep="private/a.jpg"), action)
    assert "outside the folders" in kept_outside.refused[0].reason
    assert (place / "album/old/a.jpg").stat().st_nlink == 1


@needs_held_folders
@pytest.mark.parametrize("action", [MOVE, HARDLINK])
def test_files_that_a_link_leads_to_are_refused(place: Path, action: str) -> None:
    (place / "album/link").symlink_to(place / "private")
    report = carry_out(place, plan(place, "album/link/a.jpg"), action)
    assert report.done == []
    assert (place / "private/a.jpg").stat().st_nlink == 1


@needs_held_folders
@pytest.mark.parametrize("action", [MOVE, HARDLINK])
def test_a_folder_that_becomes_a_link_leads_nowhere_else(
    place: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchange() -> None:
        (place / "album/old").rename(place / "album/older")
        (place / "album/old").symlink_to(place / "private")

    meanwhile(monkeypatch, exchange)
    carry_out(place, plan(place, "album/old/a.jpg"), action)
    outside = (place / "private/a.jpg").stat()
    assert (outside.st_nlink, (place / "private/a.jpg").read_bytes()) == (1, PHOTO)
    assert list((place / "private").iterdir()) == [place / "private/a.jpg"]
    monkeypatch.undo()
    undo(place / "journals")  # which finds a link where a folder was
    assert list((place / "private").iterdir()) == [place / "private/a.jpg"]


@needs_held_folders
@pytest.mark.parametrize("action", [MOVE, HARDLINK])
def test_a_file_that_took_the_place_of_the_checked_one_stays(
    place: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchange() -> None:
        (place / "new").write_bytes(b"another photo")
        (place / "new").replace(place / "album/old/a.jpg")

    meanwhile(monkeypatch, exchange)
    report = carry_out(place, plan(place, "album/old/a.jpg"), action)
    assert report.refused[0].reason == "another file took its place meanwhile"
    assert (place / "album/old/a.jpg").read_bytes() == b"another photo"
    assert not [path for path in (place / "away").rglob("*") if path.is_file()]


def test_a_target_that_appears_meanwhile_is_not_overwritten(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: (place / "away/a.jpg").write_bytes(b"mine"))
    report = carry_out(place, plan(place, "album/old/a.jpg"))
    assert report.refused[0].reason == "file exists"
    assert (place / "away/a.jpg").read_bytes() == b"mine"
    assert (place / "album/old/a.jpg").read_bytes() == PHOTO


@needs_held_folders
def test_a_folder_in_the_target_that_is_a_link_is_not_followed(place: Path) -> None:
    (place / "away").mkdir()
    (place / "away/old").symlink_to(place / "private")
    (place / "album/b.jpg").write_bytes(PHOTO)
    report = carry_out(place, plan(place, "album/b.jpg", "album/old/a.jpg"))
    assert [one.path.name for one in report.refused] == ["a.jpg"]
    assert list((place / "private").iterdir()) == [place / "private/a.jpg"]


def test_what_stays_in_one_group_cannot_go_in_another_under_a_second_name(place: Path) -> None:
    os.link(place / "album/keep.jpg", place / "album/second.jpg")
    groups = plan(place, "album/old/a.jpg").groups
    groups += plan(place, "album/second.jpg", keep="album/old/b.jpg").groups
    report = carry_out(place, Plan(groups))
    assert [one.path.name for one in report.refused] == ["second.jpg"]
    assert "the same file as" in report.refused[0].reason


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system at hand")
def test_a_disk_that_is_full_in_the_middle_of_a_file_loses_nothing(place: Path) -> None:
    import resource

    large = os.urandom(1 << 20)
    for name in ("keep", "copy"):
        (place / f"album/{name}.jpg").write_bytes(large)
    wanted = Plan(
        (
            PlannedGroup(
                planned(place / "album/keep.jpg", large),
                (planned(place / "album/copy.jpg", large),),
            ),
        )
    )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, before[1]))
        try:
            report = apply(
                wanted, MOVE, place / "journals", roots=[place / "album"], target=Path(other)
            )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert report.refused[0].reason == "file too large"
        assert list(Path(other).iterdir()) == []
        assert (place / "album/copy.jpg").read_bytes() == large
        assert undo(place / "journals").refused == []
    assert (place / "album/copy.jpg").read_bytes() == large


def test_undo_does_not_follow_a_link_that_took_the_place_of_a_folder(place: Path) -> None:
    carry_out(place, plan(place, "album/old/a.jpg", "album/old/b.jpg"))
    shutil.rmtree(place / "album/old")
    (place / "album/old").symlink_to(place / "private")
    report = undo(place / "journals")
    if HELD:
        assert len(report.refused) == 2
        assert list((place / "private").iterdir()) == [place / "private/a.jpg"]
    (place / "album/old").unlink()
    assert undo(place / "journals").refused == []
    assert (place / "album/old/b.jpg").read_bytes() == PHOTO


@pytest.mark.skipif(os.name != "posix", reason="has no such permissions")
def test_a_journal_is_for_its_owner_alone(place: Path) -> None:
    report = carry_out(place, plan(place, "album/old/a.jpg"))
    assert report.journal.stat().st_mode & 0o777 == 0o600
    assert report.journal.parent.stat().st_mode & 0o777 == 0o700


def test_the_command_touches_what_is_in_the_index_alone(place: Path, run: Run) -> None:
    write_plan(plan(place, "album/old/a.jpg", "private/a.jpg"), place / "plan.json")
    command = ["apply", place / "plan.json", "--move-to", place / "away"]
    none = run(*command, "--journals", place / "journals")
    assert (none.status, none.stderr.count("\n")) == (1, 1)
    assert "no index" in none.stderr
    with Catalogue.create(place / "index", "digest", "default", 8).writer() as writer:
        writer.add_root(place / "album", ())
    done = run(*command, "--journals", place / "journals")
    assert done.status == 1
    assert done.stdout.startswith("1 file moved")
    assert "private/a.jpg: outside the folders that were indexed" in done.stderr
    assert (place / "private/a.jpg").read_bytes() == PHOTO


def test_a_journal_that_says_a_file_went_nowhere_does_not_remove_it(place: Path) -> None:
    report = carry_out(place, plan(place, "album/old/a.jpg"))
    (place / "away/a.jpg").rename(place / "album/old/a.jpg")
    content = report.journal.read_text()
    report.journal.write_text(content.replace("away/a.jpg", "album/old/a.jpg"))
    undo(place / "journals", report.journal)
    assert (place / "album/old/a.jpg").read_bytes() == PHOTO
