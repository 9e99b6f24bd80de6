"""A command loads what its answer needs and nothing else: that is what a short run consists of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from imgsim_edge.infer import ImageIndex

RUN = "from imgsim_edge.infer.cli import main; main()"


def modules_loaded_by(*arguments: str | Path) -> set[str]:
    """Run the program and give the names of all modules that it loaded."""
    command = [sys.executable, "-X", "importtime", "-c", RUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


@pytest.fixture(scope="module")
def index(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    with ImageIndex.create(folder) as index:
        index.add([collection])
    return folder


@pytest.fixture(scope="module")
def loaded_by_similar(index: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    from skimage import data_dir

    query = tmp_path_factory.mktemp("query") / "rocket.jpg"
    query.write_bytes((Path(data_dir) / "rocket.jpg").read_bytes())
    return modules_loaded_by("similar", query, "--index", index)


def test_one_query_loads_the_network_and_the_decoder(loaded_by_similar: set[str]) -> None:
    assert {"onnxruntime", "numpy", "PIL.JpegImagePlugin"} <= loaded_by_similar


@pytest.mark.parametrize(
    "module",
    [
        "hnswlib",  # one query is answered exactly
        "imgsim_edge.infer.encoder.embed",
        "imgsim_edge.infer.index.update",
        "concurrent.futures",
        "importlib.metadata",
        "importlib.resources",
        "numpy.random",
        "platformdirs",
        "PIL.PngImagePlugin",
        "pydantic",
        "rich",
        "rich.console",
        "tempfile",
        "tensorflow",
    ],
)
def test_one_query_does_not_load(module: str, loaded_by_similar: set[str]) -> None:
    assert module not in loaded_by_similar


def test_a_png_query_loads_no_decoder_of_another_format(index: Path) -> None:
    from skimage import data_dir

    loaded = modules_loaded_by("similar", Path(data_dir) / "coffee.png", "--index", index)
    plugins = {name for name in loaded if name.endswith("ImagePlugin")}
    assert plugins == {"PIL.PngImagePlugin"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_needs_no_numpy(arguments: list[str]) -> None:
    assert "numpy" not in modules_loaded_by(*arguments)
