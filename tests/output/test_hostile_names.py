"""Names that would do something to a terminal, page or spreadsheet are shown, and do nothing."""

from __future__ import annotations

import csv
import io
import os
import subprocess
from pathlib import Path

import pytest
from conftest import Run
from imgsim_edge.infer.cleanup.plan import read_plan
from imgsim_edge.infer.errors import visible
from imgsim_edge.infer.output.text import as_csv, shell_path
from PIL import Image

NAMES = {
    "clears the screen": "a\x1b[2J\x1b[H.jpg",
    "a title and a bell": "b\x1b]0;owned\x07.jpg",
    "a line of its own": "c\nerror: all is lost.jpg",
    "turned around": "d\u202egpj.exe\u202c.jpg",
    "markup": "<img src=x onerror=alert(1)>.jpg",
    "a control byte that is no UTF-8": os.fsdecode(b"e\x9b2J.jpg"),
    "quotes": "it's \\\"$(id)`.jpg",
}
HARMFUL = ("\x1b", "\x07", "\u202e", "\u202c", "\udc9b")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="such names cannot be")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    picture = Image.linear_gradient("L").resize((40, 30))
    for number, name in enumerate(NAMES.values()):
        picture.save(folder / name, "JPEG", quality=60 + 5 * number)
    (folder / "broken\x1b[31m\n.jpg").write_bytes(b"no photo")
    return folder


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_quoted_path_is_read_by_a_shell_as_it_is(name: str) -> None:
    quoted = shell_path(Path("/photos") / name)
    assert not any(sign in quoted for sign in (*HARMFUL, "\n"))
    script = f"printf %s {quoted}".encode("utf-8", "surrogateescape")
    echoed = subprocess.run(
        ["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert os.fsdecode(echoed.stdout) == f"/photos/{name}"


def test_no_command_lets_a_name_do_something(run: Run, album: Path, tmp_path: Path) -> None:
    query = album / "quotes.jpg"
    Image.linear_gradient("L").save(query)
    seen = [run("index", album)]
    assert "cannot read" in seen[0].stderr
    seen.append(run("similar", query))
    seen.append(run("duplicates", "--include-look", "--plan", tmp_path / "plan.json"))
    assert read_plan(tmp_path / "plan.json").groups
    seen.append(run("similar", query, "--json"))
    seen.append(run("similar", album / NAMES["turned around"]))
    (album / NAMES["turned around"]).unlink()
    moved = run("apply", tmp_path / "plan.json", "--move-to", tmp_path / "away")
    assert moved.status == 1
    seen += [moved, run("similar", album / NAMES["clears the screen"], "--index", tmp_path / "no")]
    for result in seen:
        for stream in (result.stdout, result.stderr):
            assert not any(sign in stream for sign in HARMFUL), stream
            assert "\nerror: all is lost" not in stream


def test_a_page_shows_names_and_obeys_none(run: Run, album: Path, tmp_path: Path) -> None:
    run("index", album)
    query = next(album.glob("it*"))
    done = run("similar", query, "--html", tmp_path / "page.html")
    assert done.status == 0, done.stderr
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert not any(sign in page for sign in HARMFUL)


def test_no_cell_of_a_table_is_a_formula() -> None:
    record = {"a": "=1+1", "b": "@SUM(A1)", "c": "-1", "d": -1.5, "e": "/photos/=1.jpg", "f": "+1"}
    (cells,) = csv.DictReader(io.StringIO(as_csv([record])))
    assert cells == {
        "a": "'=1+1", "b": "'@SUM(A1)", "c": "'-1", "d": "-1.5", "e": "/photos/=1.jpg", "f": "'+1",
    }  # fmt: skip


def test_what_people_write_is_shown_as_it_is() -> None:
    for name in (
        "Ä 東京 عربي.jpg",
        "👨‍👩‍👧.jpg",
        "10.11.12\u202fAM.png",
        os.fsdecode(b"caf\xe9.jpg"),
    ):
        assert visible(name) == name


def test_an_index_is_for_its_owner_alone(run: Run, album: Path, tmp_path: Path) -> None:
    run("index", album)
    folder = tmp_path / "index"
    assert folder.stat().st_mode & 0o777 == 0o700
    catalogue = folder / "catalogue.sqlite"
    assert catalogue.stat().st_mode & 0o777 == 0o600
    for graph in folder.glob("graph-*"):
        assert graph.stat().st_mode & 0o777 == 0o600
