"""How the page of `imgsim-edge browse` copes with a large collection, in a real Chromium.

Makes a collection of small JPEG files and an index of them with vectors at random, opens the page
and scrolls. Printed are the time from the start of the command to the address, that of some answers
of the server, how long frames take while scrolling, how soon all pictures in sight are there after
a jump to where nobody has been, how many tiles the page holds, how long it takes to arrange all
photos by likeness, how long frames take while zooming into that, and the memory of the server.
Another version of the page can take turns with this one. Linux only, since it reads /proc; needs
the extra `dev` and Debian's `chromium`.

    python tests/benchmarks/browsing.py --photos 100000
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.catalogue.rows import PhotoRow
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.encoder.embed import content_digest
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.index.image_index import ImageIndex
from imgsim_edge.infer.photos.metadata import PhotoMetadata
from PIL import Image
from playwright.sync_api import sync_playwright

PROGRAM = "import sys; from imgsim_edge.infer.cli import main; sys.exit(main())"
IN_A_FOLDER = 1000  # photos
SIZE = (96, 64)  # of a photo in pixels
BEGIN, END = 1_262_304_000_000, 1_735_689_600_000  # photos were taken in these 15 years, in ms
CAMERAS = 5
FRAMES = 300
JUMPS = 10
SCROLL = """async ([step, frames]) => {
    const times = [];
    let last = performance.now();
    for (let n = 0; n < frames; n += 1) {
        scrollBy(0, step);
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - last);
        last = performance.now();
    }
    times.sort((a, b) => a - b);
    return [times[frames >> 1], times[Math.floor(frames * 0.95)], times[frames - 1]];
}"""
ZOOM = """async (frames) => {
    const map = document.getElementById("map");
    const { width, height } = map.getBoundingClientRect();
    const times = [];
    let last = performance.now();
    for (let n = 0; n < frames; n += 1) {
        const deltaY = n < frames / 2 ? -25 : 25;
        const at = { clientX: width / 3, clientY: height / 2, deltaY, cancelable: true };
        map.dispatchEvent(new WheelEvent("wheel", at));
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - last);
        last = performance.now();
    }
    times.sort((a, b) => a - b);
    return [times[frames >> 1], times[Math.floor(frames * 0.95)], times[frames - 1]];
}"""
ALL_THERE = """() => [...document.querySelectorAll(".tile img")].every((image) => {
    const { top, bottom } = image.getBoundingClientRect();
    return bottom < 0 || top > innerHeight || image.naturalWidth > 0;
})"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--at", type=Path, help="where the collection is kept for another run")
    parser.add_argument("--against", help="the Python of another version, which takes turns")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        top = options.at or Path(folder)
        if not (top / "index").exists():
            make(top, options.photos)
        for _ in range(options.rounds):
            if options.against:
                measure(options.against, top, options.photos, asks=False)
            measure(sys.executable, top, options.photos, asks=not options.against)


def measure(python: str, top: Path, count: int, asks: bool) -> None:
    """Serve the collection with the product of a Python, ask it something, and look at it."""
    print(f"{python}:")
    with tempfile.TemporaryDirectory() as cache:
        command = ["browse", "--no-open", "--index", str((top / "index").resolve())]
        began = time.monotonic()
        server = subprocess.Popen(
            [python, "-c", PROGRAM, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": cache},
            cwd=cache,
        )
        try:
            assert server.stdout
            address = server.stdout.readline().strip()
            print(f"address printed after {time.monotonic() - began:.1f} s, {count:,} photos")
            tell_memory(server.pid, "at the start")
            if asks:
                ask(address, count)
            look(address, server.pid)
        finally:
            server.terminate()
            server.wait()


def make(top: Path, count: int) -> None:
    """Make the photos and the index."""
    source = Image.open(Path(skimage.__file__).parent / "data" / "coffee.png").convert("RGB")
    random = np.random.default_rng(0)
    encoder = Encoder()
    catalogue = Catalogue.create(top / "index", encoder.digest, "default", encoder.dimension)
    with catalogue.writer() as writer:
        root = writer.add_root(top / "photos", ())
        for first in range(0, count, IN_A_FOLDER):
            name = f"{first // IN_A_FOLDER:04}"
            (row,) = writer.add_folders(root.id, {name: False}).values()
            (top / "photos" / name).mkdir(parents=True)
            photos, vectors = [], {}
            for number in range(first, min(first + IN_A_FOLDER, count)):
                left, upper = random.integers(0, 300, size=2).tolist()
                part = source.crop((left, upper, left + 300, upper + 200)).resize(SIZE)
                jpeg = io.BytesIO()
                part.save(jpeg, "JPEG")
                content = jpeg.getvalue() + number.to_bytes(4, "big")  # no two are the same
                file = top / "photos" / name / f"{number:07}.jpg"
                file.write_bytes(content)
                status = file.stat()
                digest = content_digest(content)
                photos.append(
                    PhotoRow(
                        number,
                        row.id,
                        file.name,
                        status.st_size,
                        status.st_mtime_ns,
                        digest,
                        *SIZE,
                        PhotoMetadata(
                            taken_ms=int(random.integers(BEGIN, END)),
                            taken_source="exif",
                            camera=f"Camera {number % CAMERAS}",
                        ),
                    )
                )
                vector = random.standard_normal(encoder.dimension).astype(np.float32)
                vectors[number] = vector / np.linalg.norm(vector)
            writer.commit(Batch(photos=photos, vectors=vectors))
    catalogue.close()
    with ImageIndex.open(top / "index") as index:
        index.add()  # finds that nothing has changed, and builds the graph
        assert len(index) == count


def ask(address: str, count: int) -> None:
    """Time some answers of the server, ten of each."""
    folder = json.loads(told(address, "api/folders"))[-1]["key"]
    questions = {
        "a part of the list": "api/photos?count=200&first={}",
        "neighbours": "api/similar?like={}&count=60",
        "neighbours in a folder": f"api/similar?like={{}}&count=60&folder={folder}",
    }
    for name, question in questions.items():
        times = []
        for number in range(11):
            began = time.monotonic()
            told(address, question.format(number * count // 11))
            times.append(time.monotonic() - began)
        # The first one loads what the others use.
        print(f"{name}: first {times[0] * 1e3:.0f} ms, median {median(times[1:])}")


def told(address: str, question: str) -> bytes:
    """Ask the server as a program does: with the secret of the link in a header."""
    origin, _, secret = address.rstrip("/").rpartition("/")
    headers = {"Authorization": f"Bearer {secret}"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{origin}/{question}", headers=headers)
    ) as r:
        return r.read()


def look(address: str, server: int) -> None:
    """Scroll the page, jump about in it, and look at the overview."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--headless", "--no-sandbox", "--disable-gpu"],
        )
        page: Any = browser.new_page(viewport={"width": 1280, "height": 800})
        began = time.monotonic()
        page.goto(address)
        page.wait_for_selector(".tile[href]")
        print(f"first tile after {time.monotonic() - began:.1f} s")
        watch = page.context.new_cdp_session(page)
        watch.send("Performance.enable", {"timeDomain": "threadTicks"})
        for name, step in (("reading", 20), ("skimming", 400)):
            before = cpu_seconds(watch)
            frames = page.evaluate(SCROLL, [step, FRAMES])
            tell_frames(name, frames)
            each = (cpu_seconds(watch) - before) / FRAMES * 1e3
            print(f"CPU of the page while {name}: {each:.1f} ms a frame")
        times = []
        for number in range(JUMPS):
            share = (number + 0.5) / JUMPS
            began = time.monotonic()
            page.evaluate(f"scrollTo(0, document.documentElement.scrollHeight * {share})")
            page.wait_for_function("() => document.querySelector('.tile[href]')")
            page.wait_for_function(ALL_THERE)
            times.append(time.monotonic() - began)
        print(f"pictures in sight after a jump: median {median(times)}")
        print(f"tiles in the page: {page.locator('.tile').count()}")
        tell_memory(server, "until here")
        if page.locator("#to-overview").count():
            began = time.monotonic()
            page.click("#to-overview")
            page.wait_for_selector("#map", timeout=600_000)
            print(f"arranged by likeness after {time.monotonic() - began:.1f} s")
            tell_frames("zooming", page.evaluate(ZOOM, FRAMES))
            tell_memory(server, "with the overview")
        browser.close()


def cpu_seconds(watch: Any) -> float:
    """Tell how long the page's main thread has computed so far."""
    told = {each["name"]: each["value"] for each in watch.send("Performance.getMetrics")["metrics"]}
    return float(told["TaskDuration"])


def tell_frames(name: str, frames: list[float]) -> None:
    """Print how long frames take."""
    middle, slow, worst = frames
    print(f"frames while {name}: {middle:.0f} ms, 95 % within {slow:.0f}, the worst {worst:.0f}")


def tell_memory(process: int, when: str) -> None:
    """Print the memory that a process has now, and the most that it has had."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    now, peak = (int(status[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))
    print(f"server's memory {when}: {now:.0f} MB, at most {peak:.0f} MB")


def median(times: list[float]) -> str:
    """Write the median of some seconds in milliseconds."""
    return f"{statistics.median(times) * 1e3:.0f} ms"


if __name__ == "__main__":
    main()
