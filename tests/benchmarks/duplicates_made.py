"""Make a library with copies that are known, to measure `imgsim-edge duplicates` on.

Every file is named `PHOTO_KIND.jpg`: files show the same exactly where PHOTO is the same. What the
library is made of:

- photos as they are, most of them with no copy, to be confused with;
- of some of them: copies recompressed, halved, cropped, brightened, in grey, enlarged, on the
  screen of a telephone (light or dark, with a status bar and mostly a caption), and photographed or
  scanned again, turned by 1–5° and at a slant;
- other shots of some: the same picture seen from a little beside, as of a burst;
- drawn text, where a template agrees and the words differ: slides, chats, receipts, pages, tickets;
  some with copies;
- screens of one telephone with different photos that are there without copies;
- pages that are given (screens, documents, charts), each different from all others; some with
  copies.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

ORIGINAL, OTHER_SHOT, SCREEN, RESCANNED = "original", "othershot", "screen", "rescanned"
GIVEN = "given"  # a page of those that are given
PHONE = (1080, 2400)  # pixels
OLDER, NEWER = 1_500_000_000, 1_600_000_000  # seconds since 1970: files of originals and of copies
WORDS = [
    "budget",
    "harvest",
    "river",
    "meeting",
    "quarter",
    "invoice",
    "garden",
    "number",
    "people",
    "result",
    "before",
    "market",
    "window",
    "system",
    "yellow",
    "family",
    "travel",
    "engine",
    "coffee",
    "review",
    "target",
    "summer",
    "record",
    "planet",
    "letter",
]

Make = Callable[[Image.Image, random.Random], Image.Image]


def make_library(
    photos: list[Path],
    folder: Path,
    *,
    originals: int,
    library: int,
    texts: int,
    seed: int,
    pages: list[Path],
) -> None:
    """Make a library below ``folder`` of photos taken at random, and of all pages."""
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    files = _different(photos)
    draw.shuffle(files)
    files = files[: library + 40]
    for number, file in enumerate(files[:library]):
        name = f"{number:05d}-{file.stem.replace('_', '-')[:40]}"
        with Image.open(file) as image:
            photo = image.convert("RGB")
        shutil.copyfile(file, folder / f"{name}_{ORIGINAL}.jpg")
        _age(folder / f"{name}_{ORIGINAL}.jpg", OLDER)
        if number < originals:
            for kind, (make, quality) in COPIES.items():
                _save(make(photo, draw), folder / f"{name}_{kind}.jpg", quality(draw))
            alone = random.Random(f"{seed} {number}")  # leaves the other copies as they are
            _save(rescanned(photo, alone), folder / f"{name}_{RESCANNED}.jpg", 88)
        elif number < originals + 40:
            _save(other_shot(photo, draw), folder / f"{name}-b_{OTHER_SHOT}.jpg", 90)
    for number, file in enumerate(files[library:]):  # 20 light and 20 dark screens
        with Image.open(file) as image:
            shown = screen(image.convert("RGB"), number % 2 == 0, "12:04", "")
        _save(shown, folder / f"screen-{number:02d}_{SCREEN}.jpg", 90)
    make_texts(folder, draw, texts)
    for number, file in enumerate(sorted(pages)):
        with Image.open(file) as image:
            page = image.convert("RGB")
        stem = f"{GIVEN}-{number:03d}-{file.stem.replace('_', '-')}"
        _save(page, folder / f"{stem}_{ORIGINAL}.jpg", 92, OLDER)
        if number % 4 == 0:
            _save(page, folder / f"{stem}_recompressed.jpg", draw.randint(40, 70))
            _save(halved(page, draw), folder / f"{stem}_halved.jpg", 90)
            _save(rescanned(page, draw), folder / f"{stem}_{RESCANNED}.jpg", 88)


def photo_of(file: Path) -> str:
    """Name what a file shows."""
    return file.stem.rsplit("_", 1)[0]


def kind_of(file: Path) -> str:
    """Tell what a file is to what it shows."""
    return file.stem.rsplit("_", 1)[1]


def is_drawn(file: Path) -> bool:
    """Tell whether a file is a page, a text or a screen."""
    name = photo_of(file)
    if kind_of(file) in (SCREEN, "screenshot"):
        return True
    return name.rsplit("-", 1)[0] in TEXTS or name.startswith(GIVEN)


def _different(photos: list[Path]) -> list[Path]:
    seen = {hashlib.blake2b(file.read_bytes()).digest(): file for file in reversed(photos)}
    return sorted(seen.values())


def _age(file: Path, seconds: int) -> None:
    os.utime(file, (seconds, seconds))


def _save(image: Image.Image, file: Path, quality: int, seconds: int = NEWER) -> None:
    image.save(file, quality=quality)
    _age(file, seconds)


# --- copies --------------------------------------------------------------------------------------


def halved(image: Image.Image, draw: random.Random) -> Image.Image:
    scale = draw.uniform(0.45, 0.6)
    return image.resize((round(image.width * scale), round(image.height * scale)))


def cropped(image: Image.Image, draw: random.Random) -> Image.Image:
    """Cut 5–20 % of the width and of the height off, anywhere."""
    width = round(image.width * (1 - draw.uniform(0.05, 0.20)))
    height = round(image.height * (1 - draw.uniform(0.05, 0.20)))
    x, y = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
    return image.crop((x, y, x + width, y + height))


def brightened(image: Image.Image, draw: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(draw.uniform(1.2, 1.5))


def enlarged(image: Image.Image, draw: random.Random) -> Image.Image:
    return image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC)


def screenshot(image: Image.Image, draw: random.Random) -> Image.Image:
    caption = " ".join(draw.choices(WORDS, k=3)) if draw.random() < 0.7 else ""
    clock = f"{draw.randint(0, 23):02d}:{draw.randint(0, 59):02d}"
    return screen(image, draw.random() < 0.5, clock, caption)


def screen(image: Image.Image, light: bool, clock: str, caption: str) -> Image.Image:
    """Show a photo on a telephone, as wide as it is, with a status bar and a caption."""
    width, height = PHONE
    paper, ink = ((255, 255, 255), (30, 30, 30)) if light else ((0, 0, 0), (230, 230, 230))
    frame = Image.new("RGB", PHONE, paper)
    scale = min(width / image.width, 1700 / image.height)
    shown = image.resize((round(image.width * scale), round(image.height * scale)))
    top = (height - shown.height) // 2
    frame.paste(shown, ((width - shown.width) // 2, top))
    pen = ImageDraw.Draw(frame)
    small, large = ImageFont.load_default(40), ImageFont.load_default(48)
    pen.text((60, 30), clock, font=small, fill=ink)
    pen.text((width - 60, 30), "5G  87 %", font=small, fill=ink, anchor="ra")
    pen.rounded_rectangle((width // 2 - 160, height - 30, width // 2 + 160, height - 22), 4, ink)
    if caption:
        pen.text((60, top + shown.height + 40), caption, font=large, fill=ink)
    return frame


def other_shot(image: Image.Image, draw: random.Random) -> Image.Image:
    """Move what is near more than what is far: another shot of the same thing, from beside."""
    field = np.random.default_rng(draw.randrange(2**32))
    height, width = image.height, image.width
    depth = Image.fromarray(field.random((4, 4)).astype(np.float32))
    near = np.asarray(depth.resize(image.size, Image.Resampling.BICUBIC)) - 0.5
    far = draw.uniform(0.05, 0.09)  # of the width, from the farthest to the nearest
    x = np.clip(np.arange(width) + near * far * width + draw.uniform(-3, 3), 0, width - 1)
    y = np.clip(np.arange(height)[:, None] + near * far * height / 3, 0, height - 1)
    pixels = np.asarray(image, dtype=np.float32)
    left, above = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = np.minimum(left + 1, width - 1), np.minimum(above + 1, height - 1)
    u, v = (x - left)[..., None], (y - above)[..., None]
    upper = pixels[above, left] * (1 - u) + pixels[above, right] * u
    lower = pixels[below, left] * (1 - u) + pixels[below, right] * u
    return Image.fromarray(np.rint(upper * (1 - v) + lower * v).astype(np.uint8))


def rescanned(image: Image.Image, draw: random.Random) -> Image.Image:
    """Photograph or scan a print: turned, at a slant, in other colours; half with a bed around."""
    bed = draw.choice([None, (250, 250, 248), (110, 85, 60)])
    grown = 1.15 if bed else 0.86
    width, height = image.size
    turn = np.deg2rad(draw.choice((-1, 1)) * draw.uniform(1, 5))
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2 * image.size
    seen = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    slant = [[draw.uniform(-0.02, 0.02) for _ in range(2)] for _ in range(4)]
    size = round(width * grown), round(height * grown)
    seen += np.array(slant) * image.size + np.array(size) / 2
    corners += np.array(image.size) / 2
    # The homography that takes a pixel of the scan to the print: four corners, eight numbers.
    equations = []
    for (x, y), (u, v) in zip(seen.tolist(), corners.tolist(), strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    numbers = np.linalg.solve(np.array(equations), corners.ravel()).tolist()
    how = Image.Transform.PERSPECTIVE
    scan = image.transform(size, how, numbers, Image.Resampling.BICUBIC, fillcolor=bed)
    scan = ImageEnhance.Brightness(scan).enhance(draw.uniform(0.85, 1.1))
    scan = ImageEnhance.Color(scan).enhance(draw.uniform(0.7, 1.1))
    return scan.filter(ImageFilter.GaussianBlur(draw.uniform(0, 0.8)))


COPIES: dict[str, tuple[Make, Callable[[random.Random], int]]] = {
    "recompressed": (lambda image, draw: image, lambda draw: draw.randint(25, 60)),
    "halved": (halved, lambda draw: 90),
    "cropped": (cropped, lambda draw: 90),
    "brightened": (brightened, lambda draw: 90),
    "grey": (lambda image, draw: ImageOps.grayscale(image), lambda draw: 90),
    "enlarged": (enlarged, lambda draw: 90),
    "screenshot": (screenshot, lambda draw: 85),
}


# --- drawn text ----------------------------------------------------------------------------------


def make_texts(folder: Path, draw: random.Random, most: int) -> None:
    for name, (make, count) in TEXTS.items():
        theme = draw.randrange(2**32)  # what all of a kind have in common
        for number in range(min(count, most)):
            page = make(random.Random(theme), draw)
            stem = f"{name}-{number:02d}"
            _save(page, folder / f"{stem}_{ORIGINAL}.jpg", 92, OLDER)
            if number % 6 == 0:
                _save(page, folder / f"{stem}_recompressed.jpg", draw.randint(40, 70))
                _save(halved(page, draw), folder / f"{stem}_halved.jpg", 90)


def _sentence(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(WORDS, k=words)).capitalize()


def _slide(theme: random.Random, draw: random.Random) -> Image.Image:
    paper = theme.choice([(255, 255, 255), (24, 40, 72), (245, 240, 225)])
    ink = (240, 240, 240) if paper[0] < 128 else (30, 30, 40)
    accent = (theme.randint(40, 220), theme.randint(40, 220), theme.randint(40, 220))
    page = Image.new("RGB", (1600, 900), paper)
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, 1600, 24), accent)
    pen.rectangle((0, 840, 1600, 900), accent)
    pen.ellipse((1440, 60, 1540, 160), accent)
    pen.text((80, 80), _sentence(draw, 4), font=ImageFont.load_default(64), fill=ink)
    body = ImageFont.load_default(40)
    for line in range(draw.randint(4, 6)):
        pen.text((120, 240 + 95 * line), "•  " + _sentence(draw, 7), font=body, fill=ink)
    pen.text((80, 855), "Annual meeting", font=ImageFont.load_default(28), fill=paper)
    return page


def _chat(theme: random.Random, draw: random.Random) -> Image.Image:
    page = Image.new("RGB", PHONE, (236, 229, 221))
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, 1080, 220), (7, 94, 84))
    pen.text((180, 110), "Family", font=ImageFont.load_default(56), fill="white")
    text, y = ImageFont.load_default(40), 260
    while y < 2100:
        mine, lines = draw.random() < 0.5, draw.randint(1, 3)
        left, high = (240 if mine else 40), 60 + 56 * lines
        pen.rounded_rectangle(
            (left, y, left + 800, y + high), 24, (220, 248, 198) if mine else (255, 255, 255)
        )
        for line in range(lines):
            said = _sentence(draw, draw.randint(3, 5))
            pen.text((left + 30, y + 25 + 56 * line), said, font=text, fill=(20, 20, 20))
        y += high + 30
    pen.rounded_rectangle((40, 2240, 900, 2350), 50, (255, 255, 255))
    return page


def _receipt(theme: random.Random, draw: random.Random) -> Image.Image:
    page = Image.new("RGB", (720, 1280), (250, 248, 244))
    pen = ImageDraw.Draw(page)
    pen.text(
        (360, 70), "CORNER SHOP", font=ImageFont.load_default(52), fill=(20, 20, 20), anchor="mm"
    )
    text, total = ImageFont.load_default(30), 0
    items = [WORDS[theme.randrange(len(WORDS))] for _ in range(14)]
    for line, item in enumerate(items):  # the same things bought, at other prices
        price = draw.randint(80, 2900)
        total += price
        pen.text((60, 180 + 60 * line), item, font=text, fill=(20, 20, 20))
        shown = f"{price / 100:.2f}"
        pen.text((660, 180 + 60 * line), shown, font=text, fill=(20, 20, 20), anchor="ra")
    pen.line((60, 1040, 660, 1040), (20, 20, 20), 3)
    pen.text((60, 1060), "TOTAL", font=ImageFont.load_default(44), fill=(20, 20, 20))
    pen.text(
        (660, 1060), f"{total / 100:.2f}", font=ImageFont.load_default(44), fill=(20, 20, 20),
        anchor="ra",
    )  # fmt: skip
    return page


def _page(theme: random.Random, draw: random.Random) -> Image.Image:
    page = Image.new("RGB", (1000, 1414), (252, 252, 250))
    pen = ImageDraw.Draw(page)
    pen.text(
        (100, 90), "Chapter " + str(theme.randint(1, 9)), font=ImageFont.load_default(40), fill=0
    )
    text = ImageFont.load_default(22)
    for line in range(36):
        pen.text((100, 180 + 32 * line), _sentence(draw, 10), font=text, fill=(25, 25, 25))
    return page


def _ticket(theme: random.Random, draw: random.Random) -> Image.Image:
    """A template that fills the picture, with one seat and one number that differ."""
    back = np.random.default_rng(theme.randrange(2**32)).integers(60, 200, (5, 8, 3))
    page = Image.fromarray(back.astype(np.uint8)).resize((1280, 720), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(page)
    title, text = ImageFont.load_default(90), ImageFont.load_default(48)
    pen.text((80, 80), "SUMMER CONCERT", font=title, fill="white")
    pen.text((80, 220), "Open air stage, doors at six", font=text, fill="white")
    pen.rectangle((80, 420, 1200, 640), (255, 255, 255))
    pen.text(
        (120, 450), f"Row {draw.randint(1, 60)}  Seat {draw.randint(1, 99)}", font=text, fill=0
    )
    pen.text((120, 540), f"No {draw.randrange(10**8):08d}", font=text, fill=0)
    return page


TEXTS: dict[str, tuple[Callable[[random.Random, random.Random], Image.Image], int]] = {
    "slide": (_slide, 24),
    "deck": (_slide, 24),
    "chat": (_chat, 16),
    "receipt": (_receipt, 16),
    "page": (_page, 16),
    "ticket": (_ticket, 16),
}
