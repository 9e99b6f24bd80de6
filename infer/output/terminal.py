"""Photos in the terminal, by the kitty or the sixel protocol, where it can show them.

iTerm2 (from 3.3 on) speaks sixel, too. The drawing is done by textual-image, an optional extra.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ..errors import PhotoError
from ..photos.decode import load_thumbnail
from .sections import Section

ROWS = 6  # of text that a photo is as high as
_PIXELS = 320  # of its longer side: what the finest terminals show in so many rows


def picture_class() -> Any:
    """Find the way to draw in this terminal; None where it cannot show pictures.

    The terminal is asked, so this has to be called before anything is printed.
    """
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        return None
    if not os.get_terminal_size(sys.stdout.fileno()).columns:
        return None  # it does not tell its size, so neither that of a picture
    try:
        drawing = import_module("textual_image.renderable")
    except ImportError:
        return None
    able = (drawing.TGPImage, drawing.SixelImage)
    return drawing.Image if drawing.Image in able else None


def show(sections: Sequence[Section], picture: Any) -> None:
    """Print photos with their captions below, drawn by what :func:`picture_class` found."""
    from rich.console import Console
    from rich.text import Text

    from .text import shell_path

    console = Console()
    for section in sections:
        console.print(Text(section.title, style="bold"))
        for shown in section.shown:
            try:
                thumbnail = load_thumbnail(shown.path, _PIXELS)
            except PhotoError as error:
                console.print(Text(error.reason, style="dim"))
            else:
                console.print(picture(thumbnail, width="auto", height=ROWS))
            details = f"  {shown.details}" if shown.details else ""
            # Soft wrapping, so that a path can be copied as it is.
            console.print(
                Text.assemble((shown.caption, "bold"), details, f"  {shell_path(shown.path)}"),
                soft_wrap=True,
            )
