"""Carrying a plan out and taking it back: nothing is lost, whatever happens in between."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PROGRAM, Run
from imgsim_edge.infer import ImgsimError
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.cleanup import apply as cleanup
from imgsim_edge.infer.cleanup.apply import HARDLINK, MOVE, CleanupReport, undo
from imgsim_edge.infer.cleanup.journal import read_journal
from imgsim_edge.infer.cleanup.plan import Plan, PlannedFile, PlannedGroup, read_plan, write_plan
from imgsim_edge.infer.encoder.embed import content_digest
from PIL import Image

Files = dict[str, tuple[bytes, int]]


def planned(path: Path) -> PlannedFile:
    content = path.read_bytes()
    return PlannedFile(path, content_digest(content), len(content))


def plan_for(folder: Path, keep: str, *remove: str) -> Plan:
    group = PlannedGroup(planned(folder / keep), tuple(planned(folder / r) for r in remove))
    return Plan((group,))


def apply(plan: Plan, action: str, journals: Path, *, target: Path | None = None) -> CleanupReport:
    """Carry a plan out below the folder of its test."""
    roots = [plan.groups[0].keep.path.parent]
    return cleanup.apply(plan, action, journals, roots=roots, target=target)


def state(folder: Path) -> Files:
    """Every file below a folder, with its content and the time of its last change."""
    return {
        file.relative_to(folder).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "old").mkdir(parents=True)
    contents = {"a.jpg": b"one", "b.jpg": b"one", "old/a.jpg": b"one", "old/c.jpg": b"less"}
    for number, (name, content) in enumerate(contents.items()):
        (folder / name).write_bytes(content)
        os.utime(folder / name, ns=(10**18 + number, 10**18 + number))
    return folder


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    return tmp_path / "journals"


def test_a_plan_reads_as_it_was_written(album: Path, tmp_path: Path) -> None:
    odd = album / os.fsdecode(b"caf\xe9\n.jpg")
    odd.write_bytes(b"odd")
    plan = plan_for(album, "a.jpg", "b.jpg", odd.name)
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    assert (plan.files, plan.bytes) == (2, 6)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not a plan"),
        ("[]", "not a plan"),
        ('{"imgsim_edge_plan": 2, "groups": []}', "upgrade"),
        ('{"imgsim_edge_plan": 1, "groups": [{"keep": {}}]}', "damaged"),
        ('{"imgsim_edge_plan": 1}', "damaged"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ImgsimError, match=told):
        read_plan(tmp_path / "plan.json")


def test_a_plan_that_names_a_file_twice_is_refused(album: Path, tmp_path: Path) -> None:
    write_plan(plan_for(album, "a.jpg", "b.jpg", "b.jpg"), tmp_path / "plan.json")
    with pytest.raises(ImgsimError, match="twice"):
        read_plan(tmp_path / "plan.json")


def test_moved_files_lie_as_before_and_come_back(
    album: Path, tmp_path: Path, journals: Path
) -> None:
    before, away = state(album), tmp_path / "away"
    plan = plan_for(album, "a.jpg", "b.jpg", "old/a.jpg", "old/c.jpg")
    report = apply(plan, MOVE, journals, target=away)
    assert (len(report.done), report.bytes, report.refused) == (3, 10, [])
    assert set(state(album)) == {"a.jpg"}
    assert state(away) == {name: before[name] for name in ("b.jpg", "old/a.jpg", "old/c.jpg")}
    back = undo(journals)
    assert (len(back.done), back.refused) == (3, [])
    assert state(album) == before
    with pytest.raises(ImgsimError, match="nothing to undo"):
        undo(journals)


def test_moving_never_overwrites(album: Path, tmp_path: Path, journals: Path) -> None:
    before, away = state(album), tmp_path / "away"
    away.mkdir()
    (away / "b.jpg").write_bytes(b"mine")
    apply(plan_for(album, "a.jpg", "b.jpg"), MOVE, journals, target=away)
    assert {name: content for name, (content, _) in state(away).items()} == {
        "b.jpg": b"mine",
        "b (1).jpg": b"one",
    }
    undo(journals)
    assert state(album) == before
    assert (away / "b.jpg").read_bytes() == b"mine"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system at hand")
def test_moving_to_another_file_system_copies_faithfully(album: Path, journals: Path) -> None:
    import tempfile

    before = state(album)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        plan = plan_for(album, "a.jpg", "b.jpg", "old/c.jpg")
        assert apply(plan, MOVE, journals, target=Path(other)).refused == []
        assert state(Path(other)) == {name: before[name] for name in ("b.jpg", "old/c.jpg")}
        assert undo(journals).refused == []
    assert state(album) == before


def test_exact_copies_become_links_and_files_again(album: Path, journals: Path) -> None:
    before = state(album)
    (album / "b.jpg").chmod(0o640)
    report = apply(plan_for(album, "a.jpg", "b.jpg", "old/c.jpg"), HARDLINK, journals)
    assert report.done == [album / "b.jpg"]
    assert "not the same bytes" in report.refused[0].reason
    assert (album / "b.jpg").samefile(album / "a.jpg")
    again = apply(plan_for(album, "a.jpg", "b.jpg"), HARDLINK, journals)
    assert "the same file" in again.refused[0].reason
    assert undo(journals).done == [album / "b.jpg"]
    assert not (album / "b.jpg").samefile(album / "a.jpg")
    assert (album / "b.jpg").stat().st_mode & 0o777 == 0o640
    assert state(album) == before


def test_files_that_changed_are_refused_one_by_one(
    album: Path, tmp_path: Path, journals: Path
) -> None:
    plan = plan_for(album, "a.jpg", "b.jpg", "old/a.jpg", "old/c.jpg")
    (album / "b.jpg").write_bytes(b"two")
    (album / "old/c.jpg").unlink()
    report = apply(plan, MOVE, journals, target=tmp_path / "away")
    assert report.done == [album / "old/a.jpg"]
    assert {r.path.name: r.reason for r in report.refused} == {
        "b.jpg": "changed since the plan was made",
        "c.jpg": "no such file or directory",
    }
    assert (album / "b.jpg").read_bytes() == b"two"


@pytest.mark.parametrize("happens", ["changes", "goes", "becomes a link to the copy"])
def test_nothing_goes_when_what_should_stay_does_not(
    album: Path, tmp_path: Path, journals: Path, happens: str
) -> None:
    plan = plan_for(album, "a.jpg", "b.jpg", "old/c.jpg")
    (album / "a.jpg").unlink()
    if happens == "changes":
        (album / "a.jpg").write_bytes(b"two")
    elif happens == "becomes a link to the copy":
        (album / "a.jpg").symlink_to(album / "b.jpg")
    before = state(album)
    report = apply(plan, MOVE, journals, target=tmp_path / "away")
    assert report.done == []
    assert all("which should stay" in refused.reason for refused in report.refused)
    assert state(album) == before


def test_undo_leaves_alone_what_it_cannot_prove(
    album: Path, tmp_path: Path, journals: Path
) -> None:
    away = tmp_path / "away"
    apply(plan_for(album, "a.jpg", "b.jpg", "old/a.jpg", "old/c.jpg"), MOVE, journals, target=away)
    (album / "b.jpg").write_bytes(b"a new photo")
    (away / "old/c.jpg").write_bytes(b"edited")
    report = undo(journals)
    assert report.done == [album / "old/a.jpg"]
    assert {r.path.name: r.reason.split(" in ")[0] for r in report.refused} == {
        "b.jpg": "another file has its place now",
        "c.jpg": "changed",
    }
    assert (album / "b.jpg").read_bytes() == b"a new photo"
    (album / "b.jpg").unlink()
    assert undo(journals).done == [album / "b.jpg"]  # what was left can be tried again


def test_the_apply_before_the_last_comes_next(album: Path, tmp_path: Path, journals: Path) -> None:
    before = state(album)
    apply(plan_for(album, "a.jpg", "b.jpg"), MOVE, journals, target=tmp_path / "first")
    apply(plan_for(album, "a.jpg", "old/c.jpg"), MOVE, journals, target=tmp_path / "second")
    assert undo(journals).done == [album / "old/c.jpg"]
    assert undo(journals).done == [album / "b.jpg"]
    assert state(album) == before


@pytest.mark.parametrize("action", [MOVE, HARDLINK])
def test_a_journal_cut_short_anywhere_takes_back_what_it_proves(
    album: Path, tmp_path: Path, journals: Path, action: str
) -> None:
    plan = plan_for(album, "a.jpg", "b.jpg", "old/a.jpg")
    before = state(album)
    report = apply(plan, action, journals, target=tmp_path / "away")
    whole = report.journal.read_bytes()
    steps = [line for line in whole.splitlines(keepends=True) if b'"path"' in line]
    for length in range(len(whole)):
        report.journal.write_bytes(whole[:length])
        # A step counts from the moment that its line is complete.
        known = sum(whole[:length].count(step.rstrip()) for step in steps)
        try:
            back = undo(journals)
        except ImgsimError:
            assert known == 0
            continue
        assert (len(back.done), back.refused) == (known, [])
        assert read_journal(report.journal).open_steps == ()
        if known == len(steps):
            assert state(album) == before
        redo = Plan((PlannedGroup(plan.groups[0].keep, plan.groups[0].remove[:known]),))
        again = apply(redo, action, tmp_path / "unused", target=tmp_path / "away")
        assert len(again.done) == known


def test_a_killed_apply_can_be_taken_back(tmp_path: Path) -> None:
    folder, journals = tmp_path / "many", tmp_path / "journals"
    folder.mkdir()
    (folder / "keep.jpg").write_bytes(b"photo")
    remove = [f"{n}.jpg" for n in range(400)]
    for name in remove:
        (folder / name).write_bytes(b"photo")
    before = state(folder)
    with Catalogue.create(tmp_path / "index", "digest", "default", 8).writer() as writer:
        writer.add_root(folder, ())
    write_plan(plan_for(folder, "keep.jpg", *remove), tmp_path / "plan.json")
    command = ["apply", tmp_path / "plan.json", "--move-to", tmp_path / "away"]
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, command), "--journals", str(journals)],
        env={**os.environ, "IMGSIM_EDGE_INDEX": str(tmp_path / "index")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while child.poll() is None and not any((tmp_path / "away").glob("2*.jpg")):
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait()
    moved = len(state(tmp_path / "away"))
    assert 0 < moved < len(remove)
    report = undo(journals)
    assert report.refused == []
    assert len(report.done) >= moved
    assert state(folder) == before
    assert state(tmp_path / "away") == {}


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture
def plan_file(album: Path, tmp_path: Path) -> Path:
    with Catalogue.create(tmp_path / "index", "digest", "default", 8).writer() as writer:
        writer.add_root(album, ())
    write_plan(plan_for(album, "a.jpg", "b.jpg", "old/c.jpg"), tmp_path / "plan.json")
    return tmp_path / "plan.json"


def test_the_trash_gives_back_what_it_took(
    run: Run, album: Path, plan_file: Path, tmp_path: Path
) -> None:
    before = state(album)
    places = {
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HOME": str(tmp_path),
        "IMGSIM_EDGE_JOURNALS": str(tmp_path / "journals"),
    }
    done = run("apply", plan_file, "--trash", **places)
    assert (done.status, done.stdout) == (0, "2 files sent to the trash (7 B)\n")
    assert set(state(album)) == {"a.jpg", "old/a.jpg"}
    back = run("undo", **places)
    assert (back.status, back.stdout) == (0, "2 files put back (7 B)\n")
    assert state(album) == before
    assert not list((tmp_path / "data" / "Trash").rglob("*.trashinfo"))


def test_the_next_step_works_as_it_is_printed(
    run: Run, photographs: dict[str, Image.Image], tmp_path: Path
) -> None:
    folder = tmp_path / "an album"
    folder.mkdir()
    photographs["coffee"].save(folder / "coffee.jpg")
    shutil.copy2(folder / "coffee.jpg", folder / "coffee again.jpg")
    run("index", folder)
    told = run("duplicates", "--plan", tmp_path / "my plan.json").stderr
    name, *arguments = shlex.split(told.split("`")[1])
    assert name == "imgsim-edge"
    places = {"XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}
    done = run(*arguments, IMGSIM_EDGE_JOURNALS=str(tmp_path / "journals"), **places)
    assert done.status == 0
    assert done.stdout.startswith("1 file sent to the trash")
    assert [file.name for file in folder.iterdir()] == ["coffee.jpg"]


def test_without_the_library_the_trash_says_how_to_get_it(
    run: Run, album: Path, plan_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "send2trash.py").write_text("raise ImportError")
    before = state(album)
    refused = run("apply", plan_file, "--trash")
    assert refused.status == 1
    assert "pip install 'imgsim-edge[trash]'" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert state(album) == before


def test_apply_wants_exactly_one_way(run: Run, plan_file: Path) -> None:
    for ways in ([], ["--trash", "--hardlink"]):
        wrong = run("apply", plan_file, *ways)
        assert wrong.status == 2
        assert "--move-to" in wrong.stderr


def test_places_that_cannot_be_written_are_one_line(
    run: Run, album: Path, plan_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    before = state(album)
    for arguments in (
        ["apply", plan_file, "--move-to", tmp_path / "file" / "away"],
        ["apply", plan_file, "--hardlink", "--journals", tmp_path / "file"],
        ["apply", tmp_path / "none.json", "--hardlink"],
        ["undo", "--journals", tmp_path / "nowhere"],
        ["undo", tmp_path / "none.jsonl"],
        ["undo", plan_file],
    ):
        refused = run(*arguments, IMGSIM_EDGE_JOURNALS=str(tmp_path / "journals"))
        assert refused.status == 1, arguments
        assert refused.stderr.startswith("error: "), arguments
        assert len(refused.stderr.splitlines()) == 1, arguments
    assert state(album) == before
