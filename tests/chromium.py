"""Debian's Chromium, which tests drive without a window."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def watched_page(browser: Any, address: str, width: int = 1280, height: int = 800) -> Iterator[Any]:
    """Open the page and wait for its photos; what it complains about in the console is an error."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(f"{message.text} {message.location.get('url', '')}"),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".tile[href]")
    yield page
    context.close()
    assert not complaints, "\n".join(complaints)


def drop(page: Any, file: Path, kind: str = "image/jpeg") -> None:
    """Drop a file on the page, as a file manager does."""
    transfer = page.evaluate_handle(
        """async ([name, type, base64]) => {
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type }));
            return transfer;
        }""",
        [file.name, kind, base64.b64encode(file.read_bytes()).decode()],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
