"""The forms in which answers come: text, JSON, CSV, a contact sheet, a page, pictures."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import select
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import PROGRAM, Result, Run
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.output.sections import Section, Shown
from imgsim_edge.infer.output.sheet import draw_sheet
from PIL import Image, ImageFont


@pytest.fixture
def ask(run: Run, indexed: Path) -> Run:
    """Run the program on the index of the collection."""

    def asked(*arguments: object, **environment: str) -> Result:
        return run(*arguments, IMGSIM_EDGE_INDEX=str(indexed), **environment)

    return asked


def answers(result: Result) -> list[str]:
    return [Path(json.loads(line)["path"]).name for line in result.stdout.splitlines()]


# --- what can be asked ---------------------------------------------------------------------------


def test_several_queries_are_answered_one_after_the_other(ask: Run, collection: Path) -> None:
    queries = [str(collection / f"{name}.jpg") for name in ("china", "rocket")]
    lines = ask("similar", *queries, "-k", "1", "--json").stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert [(t["query"], Path(t["path"]).name) for t in told] == [
        (queries[0], "china-crop.jpg"),
        (queries[1], "rocket-crop.jpg"),
    ]
    table = ask("similar", *queries, "-k", "1").stdout
    assert all(query in table for query in queries)
    both = ask("similar", *queries, "-k", "17", "--all", "-0").stdout.split("\0")
    assert len(both) - 1 == len(set(both) - {""}) == 18  # each photo once, the queries included


def test_a_photo_can_come_on_standard_input(indexed: Path, collection: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "similar", "-", "--json", "-k", "2"],
        input=(collection / "coffee.jpg").read_bytes(),
        capture_output=True,
        env={**os.environ, "IMGSIM_EDGE_INDEX": str(indexed)},
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(t["path"]).name for t in told] == ["coffee.jpg", "coffee-crop.jpg"]
    assert {t["query"] for t in told} == {"-"}


def test_combined_queries_are_their_mean_and_not_is_subtracted(
    ask: Run, collection: Path, indexed: Path
) -> None:
    files = [collection / f"{name}.jpg" for name in ("china", "rocket", "flower")]
    with ImageIndex.open(indexed) as index:
        mean = index.similar(files[0], 3, combine=[files[1]])
        less = index.similar(files[0], 3, combine=[files[1]], exclude=[files[2]])
    assert {m.path.stem for m in mean[:2]} == {"china-crop", "rocket-crop"}
    combined = ["similar", *files[:2], "--combine", "-k", "3", "--all", "--json"]
    assert answers(ask(*combined)) == [match.path.name for match in mean]
    unlike = ask(*combined, "--not", files[2])
    assert answers(unlike) == [match.path.name for match in less]
    assert json.loads(unlike.stdout.splitlines()[0])["query"].endswith(f"− {files[2]}")


def test_a_query_with_nothing_left_is_refused(ask: Run, collection: Path) -> None:
    photo = collection / "china.jpg"
    refused = ask("similar", photo, "--not", photo)
    assert refused.status == 1
    assert "nothing is left" in refused.stderr


def test_answers_can_be_kept_to_a_folder_and_to_a_score(
    run: Run, collection: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for file in collection.glob("c*.jpg"):
            (tmp_path / "photos" / name / file.name).write_bytes(file.read_bytes())
    run("index", tmp_path / "photos")
    query = collection / "coffee.jpg"
    every = ("--json", "-k", "50", "--all", "--copies")
    within = run("similar", query, "--in", tmp_path / "photos" / "two", *every)
    paths = [Path(json.loads(line)["path"]) for line in within.stdout.splitlines()]
    assert {path.parent.name for path in paths} == {"two"}
    assert len(paths) == 6
    scores = [json.loads(line)["score"] for line in within.stdout.splitlines()]
    floor = (scores[1] + scores[2]) / 2
    above = run("similar", query, "--min-score", floor, *every, "--exact")
    assert len(above.stdout.splitlines()) == 4  # the best two of each folder
    none = run("similar", query, "--in", tmp_path / "elsewhere")
    assert (none.status, none.stdout) == (1, "")
    assert f"{tmp_path / 'elsewhere'} is not in the index" in none.stderr
    none = run("similar", collection / "rocket.jpg", "--min-score", "0.99")
    assert (none.status, none.stdout) == (0, "")
    assert "no photo is as similar" in none.stderr


def test_rarity_counts_the_random_pairs_that_score_as_much(
    ask: Run, collection: Path, indexed: Path
) -> None:
    with ImageIndex.open(indexed) as index:
        rarity = index.rarity()
    assert rarity is not None
    assert rarity.pairs == 18 * 17 // 2
    every = ("similar", collection / "coffee.jpg", "--json", "-k", "17")
    told = [json.loads(line) for line in ask(*every, "--all").stdout.splitlines()]
    for one in told:
        assert one["rarity"] == pytest.approx(rarity.of_score(one["score"]), rel=0.01)
    rare = ask(*every, "--min-rarity", "10")
    expected = [one for one in told if one["rarity"] >= 10]
    assert 0 < len(rare.stdout.splitlines()) == len(expected) < 17
    refused = ask(*every, "--min-rarity", "1000")
    assert refused.status == 1
    assert "153 random pairs" in refused.stderr


def test_the_list_ends_where_nothing_related_follows(ask: Run, collection: Path) -> None:
    photo = collection / "coffee.jpg"
    told = [json.loads(x) for x in ask("similar", photo, "--json", "--all").stdout.splitlines()]
    bands = [one["band"] for one in told]
    assert bands == sorted(bands, key=["same", "close", "related", "weak"].index)
    assert "weak" in bands
    short = [json.loads(line) for line in ask("similar", photo, "--json").stdout.splitlines()]
    assert short == [one for one in told if one["band"] != "weak"]


def test_exact_copies_take_one_place(run: Run, collection: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for file in collection.iterdir():
        (photos / file.name).write_bytes(file.read_bytes())
    for number in range(3):
        (photos / f"again-{number}.jpg").write_bytes((photos / "coffee-crop.jpg").read_bytes())
    run("index", photos)
    one = answers(run("similar", photos / "coffee.jpg", "--json", "--all", "-k", "30"))
    assert [name for name in one if "coffee-crop" in name or "again" in name] == ["again-0.jpg"]
    every = answers(run("similar", photos / "coffee.jpg", "--json", "--copies"))
    assert every[:4] == [*(f"again-{n}.jpg" for n in range(3)), "coffee-crop.jpg"]


def test_the_sample_of_random_pairs_follows_the_collection(
    run: Run, collection: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    files = sorted(collection.iterdir())

    def pairs_with(count: int) -> int:
        for file in files[:count]:
            (photos / file.name).write_bytes(file.read_bytes())
        run("index", photos)
        with ImageIndex.open(tmp_path / "index") as index:
            rarity = index.rarity()
        return 0 if rarity is None else rarity.pairs

    assert pairs_with(1) == 0
    assert pairs_with(6) == 15
    assert pairs_with(9) == 15  # half as many more are not enough
    assert pairs_with(10) == 45


def test_a_clipboard_without_a_picture_is_one_line(run: Run, indexed: Path, tmp_path: Path) -> None:
    refused = run("similar", "--clipboard", IMGSIM_EDGE_INDEX=str(indexed), PATH=str(tmp_path))
    assert refused.status == 1
    assert "clipboard" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_picture_in_the_clipboard_is_a_query(ask: Run, collection: Path, tmp_path: Path) -> None:
    # Pillow reads the clipboard of Wayland by running wl-paste.
    if not sys.platform.startswith("linux"):
        pytest.skip("other platforms have no program to stand in for")
    tool = tmp_path / "wl-paste"
    Image.open(collection / "coffee.jpg").save(tmp_path / "clip.png")
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in -l) echo image/png;; *) cat {tmp_path / "clip.png"};; esac\n'
    )
    tool.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    found = ask(
        "similar", "--clipboard", "-k", "2", "--json", PATH=path, WAYLAND_DISPLAY="wayland-0"
    )
    assert answers(found) == ["coffee.jpg", "coffee-crop.jpg"]
    assert json.loads(found.stdout.splitlines()[0])["query"] == "clipboard"


# --- the forms -----------------------------------------------------------------------------------


def test_csv_has_a_header_and_a_row_for_each_answer(ask: Run, collection: Path) -> None:
    text = ask("similar", collection / "china.jpg", "--csv", "--all", "-k", "3").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["query", "rank", "path", "score", "band", "rarity", "width", "height"]
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert Path(rows[0]["path"]).name == "china-crop.jpg"


def test_forms_that_exclude_each_other_are_refused(ask: Run, collection: Path) -> None:
    for command in (["similar", collection / "china.jpg"], ["duplicates"]):
        assert ask(*command, "--json", "-0").status == 2
    assert ask("similar").status == 2


def test_a_contact_sheet_writes_letters_of_other_scripts(collection: Path) -> None:
    try:
        ImageFont.truetype("DejaVuSans.ttf")
    except OSError:
        pytest.skip("no font of this system has Greek letters")
    photo = collection / "coffee.jpg"
    alpha, omega, both = (
        draw_sheet([Section(title, (Shown(photo, "1.", ""),))]) for title in ("ααα", "ωωω", "ααα")
    )
    assert alpha.tobytes() == both.tobytes() != omega.tobytes()  # boxes for both were the same


def test_a_contact_sheet_shows_the_photos(ask: Run, collection: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "out.png"
    done = ask("similar", collection / "flower.jpg", "-k", "3", "--all", "--sheet", sheet)
    assert done.status == 0
    assert "flower-crop.jpg" in done.stdout
    assert done.stderr == f"wrote {sheet}\n"
    with Image.open(sheet) as image:
        pixels = np.asarray(image.convert("RGB"))
    with Image.open(collection / "flower.jpg") as flower:
        expected = np.asarray(flower.convert("RGB").resize((20, 14))).mean(axis=(0, 1))
    # The query is the first photo, in its frame; its middle has the photo's colours.
    assert np.abs(pixels[110:230, 40:190].mean(axis=(0, 1)) - expected).max() < 40
    assert pixels.shape[1] > 4 * 200


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_a_page_holds_all_that_it_shows(ask: Run, collection: Path, tmp_path: Path) -> None:
    html = tmp_path / "out.html"
    assert ask("similar", collection / "rocket.jpg", "-k", "3", "--all", "--html", html).status == 0
    text = html.read_text("utf-8")
    page = _Page()
    page.feed(text)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 4
    for image in images:
        kind, _, content = str(image["src"]).partition(",")
        assert kind == "data:image/jpeg;base64"
        assert max(Image.open(io.BytesIO(base64.b64decode(content))).size) == 160
        assert str(image["alt"]).endswith(".jpg")
    assert not re.search(r"https?:", text)
    assert "script" not in {tag for tag, _ in page.tags}
    policy = next(a for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    assert str(policy["content"]).startswith("default-src 'none'")
    links = [str(attributes["href"]) for tag, attributes in page.tags if tag == "a"]
    assert links[0] == (collection / "rocket.jpg").as_uri()
    assert "prefers-color-scheme: dark" in text


def test_names_are_no_markup(run: Run, collection: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    name = "<b>&\"' ü.jpg"
    (folder / name).write_bytes((collection / "china.jpg").read_bytes())
    run("index", folder)
    html = tmp_path / "out.html"
    run("similar", collection / "china-crop.jpg", "--html", html)
    text = html.read_text("utf-8")
    assert "<b>&" not in text
    assert "&lt;b&gt;&amp;" in text


@pytest.mark.parametrize("form", ["--sheet", "--html", "--plan"])
def test_outputs_that_cannot_be_written_are_one_line(
    ask: Run, collection: Path, tmp_path: Path, form: str
) -> None:
    command = ["duplicates"] if form == "--plan" else ["similar", collection / "china.jpg"]
    for place in (tmp_path / "no" / "folder" / "out.png", tmp_path):
        refused = ask(*command, form, place)
        assert refused.status == 1
        assert refused.stderr.splitlines()[-1].startswith("error: cannot write")
    if form == "--sheet":
        assert "name a picture" in ask(*command, form, tmp_path / "out.xyz").stderr


# --- duplicates ----------------------------------------------------------------------------------


def test_duplicates_in_every_form(ask: Run, collection: Path, tmp_path: Path) -> None:
    listed = ask("duplicates", "--plan", tmp_path / "plan.json", "--html", tmp_path / "d.html")
    assert listed.status == 0
    assert "nothing was changed" in listed.stderr
    assert "group 1" in listed.stdout
    groups = [json.loads(line) for line in ask("duplicates", "--json").stdout.splitlines()]
    pairs = {
        Path(g["keep"]["path"]).stem: [Path(c["path"]).stem for c in g["copies"]] for g in groups
    }
    assert pairs["china"] == ["china-crop"]
    assert all(copies == [f"{keep}-crop"] for keep, copies in pairs.items())
    rows = list(csv.DictReader(io.StringIO(ask("duplicates", "--csv").stdout)))
    assert len(rows) == 2 * len(groups)
    assert {row["is"] for row in rows} == {"keep", "certain"}
    alone = ask("duplicates", "-0").stdout.split("\0")[:-1]
    assert alone == [c["path"] for g in groups for c in g["copies"]]
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert [f["path"] for g in plan["groups"] for f in g["remove"]] == alone
    assert (tmp_path / "d.html").read_text("utf-8").count("<img") == len(rows)


def test_distinct_photos_are_remembered(run: Run, collection: Path) -> None:
    run("index", collection)
    pair = [collection / "china.jpg", collection / "china-crop.jpg"]
    before = run("duplicates", "-0").stdout
    assert str(pair[1]) in before
    assert run("not-duplicates", *pair).stdout.startswith("remembered")
    assert str(pair[1]) not in run("duplicates", "-0").stdout
    assert run("not-duplicates", *pair, "--forget").stdout.startswith("forgotten")
    assert run("duplicates", "-0").stdout == before
    assert "not in the index" in run("not-duplicates", pair[0], "nothing.jpg").stderr
    assert "at least two" in run("not-duplicates", pair[0], pair[0]).stderr


def test_an_unknown_rule_names_the_known_ones(ask: Run) -> None:
    refused = ask("duplicates", "--keep", "prettiest")
    assert refused.status == 1
    assert "shortest-path" in refused.stderr


# --- terminals -----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({b"\x1b[c": b"\x1b[?62;4;22c"}, b"\x1bP"),  # sixel: an attribute 4, a DCS string
        ({b"\x1b[c": b"\x1b[?62;22c", b"\x1b_G": b"\x1b_Gi=1;OK\x1b\\"}, b"\x1b_G"),  # kitty
        ({b"\x1b[c": b"\x1b[?62;22c"}, b"rarity"),  # neither: the table
    ],
    ids=["sixel", "kitty", "plain"],
)
def test_photos_show_in_terminals_that_can(
    indexed: Path, collection: Path, replies: dict[bytes, bytes], expected: bytes
) -> None:
    for _ in range(5):  # a terminal has a tenth of a second to reply, which a busy machine may miss
        seen = _in_terminal(["similar", str(collection / "china.jpg"), "-k", "2"], indexed, replies)
        assert b"china-crop.jpg" in seen
        if expected in seen:
            break
    assert expected in seen
    assert (b"rarity" in seen) == (expected == b"rarity")


def _in_terminal(arguments: list[str], index: Path, replies: dict[bytes, bytes]) -> bytes:
    """Run the program in a terminal that answers some questions; gives all that it printed."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 1200, 800))
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "IMGSIM_EDGE_INDEX": str(index), "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(theirs)
    seen, unanswered = b"", b""
    try:
        while child.poll() is None or select.select([ours], [], [], 0)[0]:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            got = os.read(ours, 65536)
            seen, unanswered = seen + got, unanswered + got
            for question, reply in replies.items():
                if question in unanswered:
                    os.write(ours, reply)
                    unanswered = b""
    except OSError:  # the other side was closed
        pass
    finally:
        os.close(ours)
    assert child.wait(timeout=60) == 0, seen
    return seen
