"""Where hnswlib cannot be built: every answer is the same, by the exact scan.

"Not installed" is made by a module of that name that cannot be imported.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROGRAM, Result

WITHOUT = "import sys; sys.modules['hnswlib'] = None; "


def run_without(folder: Path, *arguments: object) -> Result:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + PROGRAM, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        env={**os.environ, "IMGSIM_EDGE_INDEX": str(folder)},
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def without(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("without") / "index"
    made = run_without(folder, "index", collection)
    assert made.status == 0, made.stderr
    return folder


def test_an_index_is_made_and_says_what_is_missing(without: Path) -> None:
    assert not list(without.glob("*.hnsw"))
    told = run_without(without, "info")
    assert "hnswlib is not installed" in told.stdout
    assert "pip install 'imgsim-edge[graph]'" in told.stdout


def test_answers_are_the_same(without: Path, indexed: Path, collection: Path) -> None:
    queries = sorted(collection.glob("*.jpg"))[:4]
    asked = ("similar", "--json", "--all", "-k", 5, *queries)
    answers = run_without(without, *asked)
    assert answers.stdout == run_without(indexed, *asked).stdout
    assert len(answers.stdout.splitlines()) == 20
    assert run_without(without, "duplicates", "--json").status == 0


def test_a_long_lived_process_answers_without_it(without: Path, collection: Path) -> None:
    ask = (
        WITHOUT + "from imgsim_edge.infer import ImageIndex\n"
        "with ImageIndex.open(sys.argv[1]) as index:\n"
        "    first = [m.path.name for m in index.similar(sys.argv[2])]\n"
        "    assert first == [m.path.name for m in index.similar(sys.argv[2])]\n"
        "    assert len(first) == 10\n"
    )
    photo = next(collection.glob("*-crop.jpg"))
    subprocess.run([sys.executable, "-c", ask, without, photo], check=True)


def test_a_graph_of_another_machine_is_left_alone(
    indexed: Path, collection: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    shutil.copytree(indexed, folder)
    graph = next(folder.glob("graph-*.hnsw"))
    content = graph.read_bytes()
    assert run_without(folder, "verify").status == 0
    assert run_without(folder, "index").status == 0
    assert graph.read_bytes() == content
    told = json.loads(run_without(folder, "info", "--json").stdout)
    assert told["graph"]["count"] == 18
    assert told["hnswlib"] is False
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    damaged = run_without(folder, "verify")
    assert damaged.status == 1
    assert "not what was written" in damaged.stdout + damaged.stderr


def test_the_graph_is_built_once_hnswlib_is_there(without: Path, tmp_path: Path) -> None:
    from imgsim_edge.infer import ImageIndex

    folder = tmp_path / "index"
    shutil.copytree(without, folder)
    with ImageIndex.open(folder) as index:
        index.add()
        graph = index.info().graph
    assert graph is not None
    assert graph.count == 18
