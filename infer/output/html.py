"""A page for people, in one file: no script, nothing loaded from elsewhere, photos inside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path

from PIL import Image

from ..errors import PhotoError, visible
from ..machine import available_cores
from ..photos.decode import load_thumbnail

PICTURE_SIDE = 160  # pixels of the longer side of a photo on a page
JPEG_QUALITY = 80

# The colours and shapes of the page of `imgsim-edge browse` (web/static/style.css).
_STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f8; --sunk: #e6e9ec; --ink: #16191d;
  --quiet: #5b6570; --line: #d5dae0; --right: #0b7a70; --wrong: #c53030 }
@media (prefers-color-scheme: dark) { :root { --ground: #111416; --sunk: #24292d; --ink: #e9edf0;
  --quiet: #9aa5af; --line: #30373c; --right: #4cc9bb; --wrong: #fc8181 } }
body { margin: 0 auto; max-width: 100rem; padding: 24px 20px 40px; background: var(--ground);
  color: var(--ink); font: 16px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
  sans-serif }
h1, h2, figcaption { overflow-wrap: anywhere }
h1 { font-size: 1.35rem; letter-spacing: -0.01em } h2 { font-size: 1.1rem; margin-top: 2rem }
h3 { font-size: 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line) }
.photos { display: flex; flex-wrap: wrap; gap: 14px; margin: 12px 0; align-items: start }
figure { margin: 0; width: 10rem }
figure img { max-width: 10rem; max-height: 10rem; display: block; border-radius: 6px;
  background: var(--sunk) }
.right img { outline: 3px solid var(--right) } .wrong img { outline: 3px solid var(--wrong) }
figcaption { margin-top: 4px; font-size: .8125rem }
a { display: inline-block; color: inherit; border-radius: 6px }
a:focus-visible { outline: 3px solid var(--right); outline-offset: 4px }
.quiet { color: var(--quiet) } .gone { color: var(--wrong) }
"""
_NOTHING_FROM_ELSEWHERE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str], style: str = "") -> bytes:
    """Put parts of HTML together to a page, ready to be written.

    Args:
        title: plain text; the page's heading, too.
        parts: HTML.
        style: CSS for what only this page has.
    """
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_ELSEWHERE}">'
        f"<title>{shown_as(title)}</title><style>{_STYLE}{style}</style></head>"
        f"<body><h1>{shown_as(title)}</h1>{''.join(parts)}</body></html>\n"
    )
    return text.encode("utf-8", "replace")  # names of files need not be valid UTF-8


def shown_as(name: str) -> str:
    """Write the name of a file as HTML that shows all of it and turns nothing around."""
    return escape(visible(name))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Tabulate plain text, the first row as a header; a row of one cell is a heading."""
    width = max(map(len, rows))
    lines = []
    for number, row in enumerate(rows):
        cell = "th" if number == 0 or len(row) == 1 else "td"
        span = f' colspan="{width}"' if len(row) == 1 else ""
        lines.append("".join(f"<{cell}{span}>{escape(text)}</{cell}>" for text in row))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def figure(
    picture: str | None, caption: str, kind: str = "", *, alt: str = "", link: str | None = None
) -> str:
    """Show a photo over its caption.

    Args:
        picture: as :func:`picture` makes it; None where the photo cannot be read any more.
        caption: HTML.
        kind: ``right`` or ``wrong``, or nothing.
        alt: what to say to those who cannot see it, beyond the caption.
        link: address that it leads to; what leads somewhere can be reached by the keyboard.
    """
    missing = '<p class="gone">cannot be read</p>'
    shown = f'<img alt="{escape(alt)}" src="{picture}">' if picture else missing
    if link:
        shown = f'<a href="{escape(link)}">{shown}</a>'
    return f'<figure class="{kind}">{shown}<figcaption>{caption}</figcaption></figure>'


def picture(image: Image.Image) -> str:
    """Turn a small image into the address of an image that holds it."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def pictures(paths: Iterable[Path], side: int = PICTURE_SIDE) -> dict[Path, str | None]:
    """Read photos, each once and on all cores, for :func:`figure`."""

    def read(path: Path) -> str | None:
        try:
            return picture(load_thumbnail(path, side))
        except PhotoError:
            return None

    wanted = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decode") as pool:
        return dict(zip(wanted, pool.map(read, wanted), strict=True))
