"""The example for browsers answers as Python does, and asks nobody else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, SWITCHES, drop
from conftest import PROGRAM
from imgsim_edge import models
from imgsim_edge.infer import Encoder, load_photo

EXAMPLE = Path(__file__).parents[2] / "infer" / "examples" / "browser"
ENCODER = Path(models.__path__[0]) / "mobilenet-64-fp32.onnx"

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def site(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with what it needs beside it."""
    if not shutil.which("npm"):
        pytest.skip("no npm here, which brings onnxruntime-web")
    folder = tmp_path_factory.mktemp("browser") / "site"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm cannot install onnxruntime-web: {done.stderr[-200:]}")
    shutil.copy(ENCODER, folder / "encoder.onnx")
    return folder


@pytest.fixture(scope="module")
def vectors(site: Path, collection: Path) -> tuple[np.ndarray, list[str]]:
    """Vectors and paths, as the command has written them for the page."""
    command = ["embed", collection, "--model", ENCODER, "--out", site / "vectors.npy"]
    subprocess.run([sys.executable, "-c", PROGRAM, *command], capture_output=True, check=True)
    return np.load(site / "vectors.npy"), json.loads((site / "vectors.paths.json").read_text())


@pytest.fixture(scope="module")
def page(site: Path, vectors: object) -> Iterator[Any]:
    """The page; what it complains about, or asks of another host, fails the test."""
    from playwright.sync_api import sync_playwright

    # Unbuffered, so that it tells its port at once.
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    complaints: list[str] = []
    asked: list[str] = []
    with (
        subprocess.Popen(
            command, cwd=site, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server,
        sync_playwright() as playwright,
    ):
        try:
            assert server.stdout
            port = re.search(r"port (\d+)", server.stdout.readline())
            assert port
            address = f"http://127.0.0.1:{port[1]}/"
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
            opened = chromium.new_page()
            opened.set_default_timeout(60_000)
            opened.on("console", lambda message: complaints.append(message.text))
            opened.on("pageerror", lambda error: complaints.append(str(error)))
            opened.on("request", lambda request: asked.append(request.url))
            opened.goto(address)
            opened.get_by_text("to search").wait_for()
            yield opened
            chromium.close()
        finally:
            server.terminate()
    assert complaints == []
    assert len(asked) > 5
    assert [url for url in asked if not url.startswith((address, "data:"))] == []


def answers_of(page: Any, name: str) -> list[tuple[float, str]]:
    page.get_by_text(f"Photos like {name}:").wait_for()
    lines = page.eval_on_selector_all("li", "lines => lines.map((line) => line.textContent)")
    return [(float(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines]


def test_a_dropped_photo_finds_what_python_finds(
    page: Any, collection: Path, vectors: tuple[np.ndarray, list[str]]
) -> None:
    rows, paths = vectors
    encoder = Encoder(ENCODER)
    for name in ("coffee-crop.jpg", "astronaut.jpg"):
        drop(page, collection / name)
        answers = answers_of(page, name)
        query = encoder.encode(load_photo(collection / name).pixels[None]).embeddings[0]
        scores = rows @ query
        best = np.argsort(-scores, kind="stable")[:10]
        assert answers[0][1] == str(collection / name)
        assert [path for _, path in answers] == [paths[n] for n in best]
        assert np.allclose([score for score, _ in answers], scores[best], atol=2e-3)


def test_a_chosen_file_is_searched_by(page: Any, collection: Path) -> None:
    page.set_input_files("input", collection / "rocket.jpg")
    assert answers_of(page, "rocket.jpg")[0][1] == str(collection / "rocket.jpg")


def test_the_same_pixels_give_the_vectors_of_python(page: Any, collection: Path) -> None:
    pixels = load_photo(collection / "flower.jpg").pixels
    given = page.evaluate(
        """async (pixels) => {
            const { Encoder } = await import("./encoder.js");
            const encoder = await Encoder.load("encoder.onnx");
            return Array.from(await encoder.embed(Uint8Array.from(pixels)));
        }""",
        pixels.ravel().tolist(),
    )
    expected = Encoder(ENCODER).encode(pixels[None]).embeddings[0]
    assert np.abs(np.array(given) - expected).max() < 1e-4


def test_pixels_are_those_of_python(page: Any, photographs: dict[str, Any], tmp_path: Path) -> None:
    """Large and small, a PNG that is see-through, and a photo that is turned by its EXIF flag."""
    files = []
    for name, image in (("coffee", photographs["coffee"]), ("small", photographs["china"])):
        files.append(tmp_path / f"{name}.jpg")
        size = (1200, 900) if name == "coffee" else (150, 97)
        exif = image.getexif()
        exif[274] = 6
        image.resize(size).save(files[-1], quality=92, exif=exif if name == "small" else b"")
    see_through = photographs["flower"].convert("RGBA")
    see_through.putalpha(120)
    files.append(tmp_path / "see-through.png")
    see_through.save(files[-1])
    for file in files:
        page.set_input_files("input", file)
        given = page.evaluate(
            """async () => {
                const { pixelsOf } = await import("./encoder.js");
                return Array.from(await pixelsOf(document.querySelector("input").files[0]));
            }"""
        )
        difference = np.array(given) - load_photo(file).pixels.ravel().astype(int)
        assert np.abs(difference).mean() < 1.0, file.name
        answers_of(page, file.name)


def test_what_is_no_photo_is_told_so(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no photo")
    drop(page, tmp_path / "notes.jpg")
    page.get_by_text("did not work").wait_for()
