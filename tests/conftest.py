"""Photographs to test with, and a way to run the installed program.

The photographs come with scikit-image and scikit-learn; the tests vary them, so that it is known
which photo is the nearest to which.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, SWITCHES
from PIL import Image

PROGRAM = "import sys; from imgsim_edge.infer.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Result:
    """What one run of the program left."""

    status: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


def fails(result: Result, *words: str) -> None:
    """Assert that a run ended with one clear line on stderr and nothing on stdout."""
    assert result.status == 1, result
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def photographs() -> dict[str, Image.Image]:
    """Real photographs in RGB, by name, none larger than 640 pixels."""
    import skimage
    import sklearn

    bundled = Path(skimage.__file__).parent / "data"
    files = [bundled / f"{name}.png" for name in ("astronaut", "chelsea", "coffee", "ihc")]
    files += [bundled / f"{name}.jpg" for name in ("rocket", "hubble_deep_field", "retina")]
    files += sorted((Path(sklearn.__file__).parent / "datasets" / "images").glob("*.jpg"))
    photos = {}
    for file in files:
        with Image.open(file) as image:
            photos[file.stem] = image.convert("RGB")
            photos[file.stem].thumbnail((640, 640))
    assert len(photos) == 9
    return photos


@pytest.fixture(scope="session")
def collection(
    photographs: dict[str, Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Make a folder in which every photo ``NAME.jpg`` has a twin, the crop ``NAME-crop.jpg``."""
    folder = tmp_path_factory.mktemp("collection")
    for name, image in photographs.items():
        width, height = image.size
        image.save(folder / f"{name}.jpg", quality=90)
        box = (width // 12, height // 12, width - width // 12, height - height // 12)
        image.crop(box).save(folder / f"{name}-crop.jpg", quality=80)
    return folder


@pytest.fixture(scope="session")
def indexed(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an index of ``collection``, made by the shipped encoder; only to be read."""
    from imgsim_edge.infer import ImageIndex

    folder = tmp_path_factory.mktemp("indexed") / "index"
    with ImageIndex.create(folder) as index:
        index.add([collection])
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the program as its users do, with an index of this test's own."""

    def run_program(*arguments: object, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=600,
            cwd=tmp_path,
            env={**os.environ, "IMGSIM_EDGE_INDEX": str(tmp_path / "index"), **environment},
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    return run_program


@pytest.fixture(scope="session")
def labelled(photographs: dict[str, Image.Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make four classes of 20 photos: crops of one photograph each, anywhere and of any size."""
    folder = tmp_path_factory.mktemp("labelled")
    random = np.random.default_rng(0)
    for name in ("astronaut", "coffee", "hubble_deep_field", "flower"):
        (folder / name).mkdir()
        image = photographs[name]
        for number in range(20):
            side = int(min(image.size) * random.uniform(0.4, 0.8))
            left, top = (int(random.integers(0, extent - side)) for extent in image.size)
            crop = image.crop((left, top, left + side, top + side)).resize((96, 96))
            crop.save(folder / name / f"{number:02d}.jpg", quality=int(random.integers(70, 95)))
    return folder


@pytest.fixture(scope="session")
def trained(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a tiny classifier on ``labelled``, in both phases; its run folder, only to be read."""
    from imgsim_edge.train.session import start_training

    folder = tmp_path_factory.mktemp("trained") / "run"
    start_training([labelled], folder, tiny_settings())
    return folder


def tiny_settings(**changes: Any) -> Any:
    """Settings of a training that takes seconds and, on one thread, repeats exactly."""
    from imgsim_edge.train.run_folder import Settings

    settings = Settings(
        width=0.25, image_size=64, weights="none", head_epochs=2, tune_epochs=2, batch=32
    )
    return replace(settings, **changes)
