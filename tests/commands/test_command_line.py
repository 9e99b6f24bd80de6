"""The installed program, from the shell: what it prints where, and how it fails."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROGRAM, Result, Run, fails
from imgsim_edge.infer.catalogue.database import CATALOGUE_FILE, FORMAT


def test_index_then_similar_finds_the_twin(run: Run, collection: Path) -> None:
    done = run("index", collection)
    assert done.status == 0
    assert done.stdout == "18 photos in the index (18 added)\n"
    assert done.stderr == ""
    answer = run("similar", collection / "chelsea.jpg", "-k", "3", "--all")
    header, first, *others = answer.stdout.splitlines()
    assert header.split() == ["rank", "score", "band", "rarity", "path"]
    rank, score, band, *rarity, path = first.split()
    assert band in ("same", "close")
    assert rarity[:2] == ["1", "in"]
    assert (rank, path) == ("1", str(collection / "chelsea-crop.jpg"))
    assert 0.5 < float(score) <= 1.0
    assert len(others) == 2


def test_a_second_run_has_nothing_to_do(run: Run, collection: Path) -> None:
    run("index", collection)
    assert run("index", collection).stdout == "18 photos in the index (18 unchanged)\n"


def test_json_is_one_object_a_line(run: Run, collection: Path) -> None:
    report = json.loads(run("index", "--json", collection).stdout)
    assert (report["photos"], report["added"], report["unreadable"]) == (18, 18, [])
    lines = run(
        "similar", collection / "coffee.jpg", "--json", "--all", "-k", "2"
    ).stdout.splitlines()
    answers = [json.loads(line) for line in lines]
    assert [answer["rank"] for answer in answers] == [1, 2]
    assert answers[0]["path"] == str(collection / "coffee-crop.jpg")
    assert set(answers[0]) >= {"query", "rank", "score", "path", "width", "height"}
    info = json.loads(run("info", "--json").stdout)
    assert (info["photos"], info["dimension"]) == (18, 64)


def test_paths_can_be_pasted_into_a_shell(run: Run, collection: Path, tmp_path: Path) -> None:
    odd = tmp_path / "it's a $HOME; of *photos*"
    odd.mkdir()
    name = os.fsdecode(b"caf\xe9 1.jpg") if sys.platform == "linux" else "café 1.jpg"
    (odd / name).write_bytes((collection / "rocket.jpg").read_bytes())
    run("index", odd)
    query = collection / "rocket-crop.jpg"
    quoted = run("similar", query).stdout.splitlines()[1].split(maxsplit=4)[4]
    assert shlex.split(quoted) == [str(odd / name)]
    assert run("similar", query, "-0").stdout == f"{odd / name}\0"
    answer = json.loads(run("similar", query, "--json").stdout)
    assert answer["path"] == str(odd / name)


def test_info_says_what_the_index_holds(run: Run, collection: Path, tmp_path: Path) -> None:
    run("index", collection)
    told = run("info").stdout
    assert "18" in told
    assert str(collection) in told
    assert str(tmp_path / "index") in told
    assert "recall@10" in told


def test_bad_photos_are_named_and_stop_nothing(run: Run, collection: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "good.jpg").write_bytes((collection / "china.jpg").read_bytes())
    (folder / "cut.jpg").write_bytes((collection / "china.jpg").read_bytes()[:3000])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a photo")
    done = run("index", folder)
    assert done.status == 0
    assert done.stdout == "1 photo in the index (1 added, 3 unreadable)\n"
    for name, reason in (("cut", "truncated"), ("empty", "empty"), ("text", "not an image")):
        (line,) = [line for line in done.stderr.splitlines() if f"{name}.jpg" in line]
        assert reason in line
    assert run("similar", collection / "china.jpg").stdout.count("good.jpg") == 1
    again = run("index", folder)
    assert again.stdout == "1 photo in the index (4 unchanged)\n"


def test_no_index_yet(run: Run, collection: Path) -> None:
    fails(run("similar", collection / "coffee.jpg"), "no index", "imgsim-edge index")
    fails(run("info"), "no index", "imgsim-edge index")


def test_a_query_that_is_missing_or_no_image(run: Run, collection: Path, tmp_path: Path) -> None:
    run("index", collection)
    fails(run("similar", tmp_path / "nothing.jpg"), "nothing.jpg", "no such file")
    (tmp_path / "text.jpg").write_text("not a photo")
    fails(run("similar", tmp_path / "text.jpg"), "text.jpg", "not an image")
    fails(run("similar", collection), "directory")


def test_a_folder_that_is_missing_or_without_photos(run: Run, tmp_path: Path) -> None:
    fails(run("index", tmp_path / "nowhere"), "nowhere", "is not there")
    (tmp_path / "bare").mkdir()
    fails(run("index", tmp_path / "bare"), "no photos", "bare")


def test_an_index_made_by_another_encoder(run: Run, collection: Path, tmp_path: Path) -> None:
    from tiny import tiny_encoder

    tiny = tmp_path / "tiny.onnx"
    tiny.write_bytes(tiny_encoder())
    run("index", collection, "--model", tiny)
    fails(run("similar", collection / "coffee.jpg", "--model", "default"), "another encoder")
    fails(run("index", collection, "--model", "default"), "another encoder", "name that model")
    # Without --model, the index's own encoder is used; once its file is gone that is said.
    query = tmp_path / "query.png"
    query.write_bytes((collection / "coffee.jpg").read_bytes())
    assert run("similar", query).status == 0
    tiny.write_bytes(tiny_encoder(seed=1))
    fails(run("similar", query), "another encoder")
    tiny.unlink()
    fails(run("similar", query), "tiny.onnx")


def test_a_model_that_is_no_encoder(run: Run, collection: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    fails(run("index", collection, "--model", tmp_path / "text.onnx"), "text.onnx")
    fails(run("index", collection, "--model", tmp_path / "none.onnx"), "no such model")


def test_an_index_of_a_newer_format(run: Run, collection: Path, tmp_path: Path) -> None:
    run("index", collection)
    with sqlite3.connect(tmp_path / "index" / CATALOGUE_FILE) as catalogue:
        catalogue.execute(f"PRAGMA user_version = {FORMAT + 1}")
    catalogue.close()
    fails(run("similar", collection / "coffee.jpg"), "newer", "upgrade")


def test_no_permission_to_write(run: Run, collection: Path, tmp_path: Path) -> None:
    # A file in the folder's place stops everybody, root included.
    (tmp_path / "in-the-way").write_text("")
    fails(run("index", collection, "--index", tmp_path / "in-the-way" / "index"), "index")


def test_wrong_usage_ends_with_status_2(run: Run) -> None:
    for arguments in (["similar"], ["similar", "a.jpg", "-k", "0"], ["no-such-command"]):
        result = run(*arguments)
        assert result.status == 2
        assert result.stdout == ""


def test_the_version_is_that_of_the_package(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").stdout == f"imgsim-edge {version('imgsim-edge')}\n"


@pytest.mark.parametrize("command", ["train", "export"])
def test_without_the_extra_training_says_how_to_install_it(command: str, tmp_path: Path) -> None:
    # A module that is None cannot be found or imported: as if it were not installed.
    without = "import sys; sys.modules['tensorflow'] = None; "
    done = subprocess.run(
        [sys.executable, "-c", without + PROGRAM, command, str(tmp_path), "--out", "out.onnx"],
        capture_output=True,
        text=True,
        check=False,
    )
    fails(Result(done.returncode, done.stdout, done.stderr), "imgsim-edge[train]")


def test_the_runtime_imports_no_training_library() -> None:
    script = (
        "import sys, imgsim_edge.infer; print([m for m in sys.modules if m.split('.')[0] in "
        "('tensorflow','keras','albumentations')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_indexing_and_searching_open_no_connection(collection: Path, tmp_path: Path) -> None:
    guard = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith('socket.'):\n"
        "        print('NETWORK', event, arguments, file=sys.stderr)\n"
        "        sys.exit(99)\n"
        "sys.addaudithook(refuse)\n"
    )
    environment = {**os.environ, "IMGSIM_EDGE_INDEX": str(tmp_path / "index")}
    for arguments in (["index", collection], ["similar", collection / "coffee.jpg"], ["info"]):
        done = subprocess.run(
            [sys.executable, "-c", guard + PROGRAM, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "NETWORK" not in done.stderr
