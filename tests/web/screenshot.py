"""Make the README's picture of the page, `infer/web/screenshot.jpg`.

The photos are parts of those that come with scikit-image, free of copyright (their origin is in
tests/photos/SOURCES.md; the retina is by Mikael Häggström, CC0). Needs the extra `dev` and Debian's
`chromium`.

    python tests/web/screenshot.py
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from imgsim_edge.infer import ImageIndex
from PIL import Image, ImageEnhance, ImageOps
from playwright.sync_api import sync_playwright

PROGRAM = "import sys; from imgsim_edge.infer.cli import main; sys.exit(main())"
PICTURE = Path(__file__).parents[2] / "infer" / "web" / "screenshot.jpg"
WINDOW = (1280, 800)
MOST_BYTES = 200_000
SOURCES = {
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "astronaut": "astronaut.png",
    "rocket": "rocket.jpg",
    "retina": "retina.jpg",
    "galaxies": "hubble_deep_field.jpg",
}
PARTS = 16  # of each photo
QUERY = "cat-0.jpg"
# In what light a part is shown.
LIGHTS: tuple[Callable[[Image.Image], Image.Image], ...] = (
    lambda image: image,
    lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    ImageOps.mirror,
    lambda image: ImageOps.grayscale(image).convert("RGB"),
    lambda image: ImageEnhance.Color(ImageOps.mirror(image)).enhance(1.5),
)


def main() -> None:
    """Make the photos, their index and the picture."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        photos = top / "Photos"
        make(photos)
        with ImageIndex.create(top / "index") as index:
            index.add([photos])
            (query,) = (photo.id for photo in index.photos() if photo.path.name == QUERY)
        server = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "browse", "--no-open", "--index", str(top / "index")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(top / "cache")},
        )
        try:
            assert server.stdout
            png = look(f"{server.stdout.readline().strip()}#/similar/{query}")
        finally:
            server.terminate()
            server.wait()
    write(png)


def make(folder: Path) -> None:
    """Take parts of photographs, as someone who takes several of each thing."""
    random = np.random.default_rng(0)
    bundled = Path(skimage.__file__).parent / "data"
    for number, (name, file) in enumerate(SOURCES.items()):
        image = Image.open(bundled / file).convert("RGB")
        place = folder / ("At home" if number < 2 else "Journeys") / str(2023 + number % 3)
        place.mkdir(parents=True, exist_ok=True)
        for part in range(PARTS):
            share = random.uniform(0.35, 0.9) if part else 1
            width, height = (int(share * side) for side in image.size)
            left = int(random.integers(0, image.width - width + 1))
            upper = int(random.integers(0, image.height - height + 1))
            exif = Image.Exif()
            exif.get_ifd(0x8769)[0x9003] = f"{2023 + number % 3}:{1 + part:02}:12 10:00:00"
            taken = image.crop((left, upper, left + width, upper + height))
            taken = LIGHTS[part % len(LIGHTS)](taken)
            taken.save(place / f"{name}-{part}.jpg", quality=90, exif=exif)


def look(address: str) -> bytes:
    """Take a picture of the page's answers."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"]
        )
        page: Any = browser.new_page(viewport=dict(zip(("width", "height"), WINDOW, strict=True)))
        page.goto(address)
        page.wait_for_selector("#matches li")
        page.mouse.move(0, WINDOW[1] - 1)
        page.wait_for_function(
            "() => [...document.querySelectorAll('#answers img')].every((i) => i.naturalWidth > 0)"
        )
        page.wait_for_timeout(500)  # until pictures have faded in
        png = page.screenshot()
        browser.close()
    return bytes(png)


def write(png: bytes) -> None:
    """Write the picture as good as its size allows."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for quality in range(90, 40, -5):
        image.save(PICTURE, quality=quality, optimize=True, progressive=True)
        if PICTURE.stat().st_size <= MOST_BYTES:
            break
    print(f"wrote {PICTURE}: {PICTURE.stat().st_size:,} bytes, quality {quality}")


if __name__ == "__main__":
    main()
