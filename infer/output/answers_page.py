"""Answers as a page in one file, which works without a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..errors import visible
from .html import figure, page, pictures, shown_as
from .sections import Section, Shown


def answers_page(title: str, sections: Sequence[Section]) -> bytes:
    """Make a page of photos and what is said about them; each leads to its file."""
    drawn = pictures(shown.path for section in sections for shown in section.shown)

    def figure_of(shown: Shown) -> str:
        caption = (
            f"<strong>{escape(shown.caption)}</strong><br>{shown_as(shown.path.name)}"
            f'<br><span class="quiet">{shown_as(str(shown.path.parent))}</span>'
            f'<br><span class="quiet">{escape(shown.details)}</span>'
        )
        return figure(
            drawn[shown.path],
            caption,
            "right" if shown.is_reference else "",
            alt=f"{shown.caption}: {visible(shown.path.name)}",
            link=shown.path.absolute().as_uri(),
        )

    parts = []
    for section in sections:
        figures = "".join(map(figure_of, section.shown))
        parts.append(
            f"<section><h2>{shown_as(section.title)}</h2>"
            f'<div class="photos">{figures}</div></section>'
        )
    return page(title, parts)
