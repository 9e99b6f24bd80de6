"""Two copies laid over each other in a real browser, and what a key decides about them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, watched_page
from conftest import PROGRAM
from imgsim_edge.infer import ImageIndex
from PIL import Image, ImageDraw, ImageOps

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")
LEFT, TOP = 0.2, 0.1  # what the crop leaves out, of the width and of the height


@pytest.fixture(scope="module")
def address(
    photographs: dict[str, Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Four groups: a spot painted over, a crop, a mirrored copy, a smaller copy."""
    folder = tmp_path_factory.mktemp("album")
    for name in ("astronaut", "china", "chelsea", "coffee"):
        photographs[name].save(folder / f"{name}.jpg", quality=95)
    spotted = photographs["coffee"].copy()
    ImageDraw.Draw(spotted).ellipse((180, 140, 240, 200), fill=(200, 30, 30))
    spotted.save(folder / "coffee-spotted.jpg", quality=95)
    china = photographs["china"]
    box = (round(LEFT * china.width), round(TOP * china.height), china.width, china.height)
    china.crop(box).save(folder / "china-cropped.jpg", quality=95)
    ImageOps.mirror(photographs["chelsea"]).save(folder / "chelsea-mirrored.jpg", quality=95)
    astronaut = photographs["astronaut"]
    astronaut.resize((astronaut.width // 2, astronaut.height // 2)).save(folder / "small.jpg")
    index = tmp_path_factory.mktemp("review") / "index"
    with ImageIndex.create(index) as made:
        made.add([folder])
    home = str(tmp_path_factory.mktemp("home"))
    plan = str(Path(home) / "plan.json")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "browse", "--no-open", "--index", index, "--plan", plan],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": home, "HOME": home},
    )
    assert process.stdout
    yield process.stdout.readline().strip()
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture(params=[(1280, 800), (360, 740)], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    """The first pair of duplicates, turned ones among them, after a new search."""
    with watched_page(browser, address, *request.param) as opened:
        opened.click("#to-duplicates")
        opened.check("#turned")
        # The server remembers the last search, whose groups are there until the new one has begun.
        opened.wait_for_selector("#no-groups:not(:empty):visible, .group:visible")
        opened.evaluate(
            "document.querySelectorAll('.group').forEach((one) => (one.dataset.old = ''))"
        )
        opened.click("#find")
        opened.wait_for_selector(".group:not([data-old])")
        opened.click("#compare")
        opened.wait_for_selector("#review[open]")
        loaded(opened)
        yield opened


def loaded(page: Any) -> None:
    page.wait_for_function(
        "() => [...document.querySelectorAll('.pane img')].every((i) => i.naturalWidth)"
    )


def names(page: Any) -> list[str]:
    return [
        text.split(" – ")[0] for text in page.locator(".pane figcaption span").all_inner_texts()
    ]


def boxes(page: Any) -> list[dict[str, float]]:
    """Where the two pictures are in their panes."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".pane")].map((pane) => {
            const frame = pane.getBoundingClientRect();
            const {x, y, width, height} = pane.querySelector("img").getBoundingClientRect();
            return {x: x - frame.x, y: y - frame.y, width, height};
        })"""
    )


def go_to(page: Any, name: str) -> None:
    while not any(one.startswith(name) for one in names(page)):
        before = page.inner_text("#review-title")
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            f"() => document.getElementById('review-title').textContent !== {json.dumps(before)}"
        )
    loaded(page)


def brightness(page: Any) -> float:
    picture = Image.open(io.BytesIO(page.locator("#panes").screenshot())).convert("L")
    across, down = picture.width // 4, picture.height // 4
    return float(np.asarray(picture)[down:-down, across:-across].mean())


def groups_of(page: Any) -> list[dict[str, Any]]:
    return page.evaluate("async () => (await fetch('api/duplicates/groups')).json()")


def test_what_has_to_be_looked_at_comes_first(page: Any) -> None:
    certain = [all(p["certain"] is not False for p in g["photos"]) for g in groups_of(page)]
    assert certain == [False, True, True, True]
    assert page.inner_text("#review-title") == "Group 1 of 4"
    assert page.inner_text("#review-reason").startswith("To be looked at: ")
    assert sorted(names(page)) == ["coffee-spotted.jpg", "coffee.jpg"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in page.locator("#review button, .pane img").all():
        assert part.evaluate("(part) => getComputedStyle(part).opacity") == "1"
    for button in page.locator("#review button").all():
        box = button.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]


def test_both_are_zoomed_and_moved_at_one_place(page: Any) -> None:
    go_to(page, "china")
    whole, crop = boxes(page)
    assert names(page)[0] == "china.jpg"
    assert crop["width"] / whole["width"] == pytest.approx(1 - LEFT, abs=0.01)
    assert (crop["x"] - whole["x"]) / whole["width"] == pytest.approx(LEFT, abs=0.01)
    assert (crop["y"] - whole["y"]) / whole["height"] == pytest.approx(TOP, abs=0.01)
    pane = page.locator("#pane-a").bounding_box()
    place = pane["width"] * 0.6, pane["height"] * 0.45
    page.mouse.move(pane["x"] + place[0], pane["y"] + place[1])
    page.mouse.wheel(0, -500)
    page.wait_for_function(
        f"() => document.querySelector('.pane img').getBoundingClientRect().width"
        f" > {whole['width'] * 1.5}"
    )
    for before, after in zip((whole, crop), boxes(page), strict=True):
        for side, length, at in (("x", "width", place[0]), ("y", "height", place[1])):
            share = (at - before[side]) / before[length]
            assert after[side] + share * after[length] == pytest.approx(at, abs=1)
    zoomed = boxes(page)
    page.keyboard.press("Shift+ArrowRight")
    moved = boxes(page)
    assert moved[0]["x"] < zoomed[0]["x"]
    assert moved[0]["x"] - zoomed[0]["x"] == pytest.approx(moved[1]["x"] - zoomed[1]["x"], abs=0.1)
    page.keyboard.press("0")
    assert boxes(page)[0]["width"] == pytest.approx(whole["width"], abs=0.5)


def test_one_key_flips_and_another_shows_what_differs(page: Any) -> None:
    page.keyboard.press("f")
    visible = (
        "() => [...document.querySelectorAll('.pane')].map((p) => getComputedStyle(p).visibility)"
    )
    first = page.evaluate(visible)
    assert sorted(first) == ["hidden", "visible"]
    one, other = boxes(page)
    for side in ("x", "y", "width", "height"):
        assert one[side] == pytest.approx(other[side], abs=1)
    page.keyboard.press("f")
    assert page.evaluate(visible) == first[::-1]
    go_to(page, "chelsea")  # the mirrored copy is laid over the other as it has to be turned
    seen = brightness(page)
    page.keyboard.press("d")
    assert brightness(page) < 0.15 * seen
    page.keyboard.press("s")
    assert page.evaluate(visible) == ["visible", "visible"]


def test_keys_decide_and_go_on_to_the_next_pair(page: Any) -> None:
    page.keyboard.press("3")
    page.wait_for_function("() => document.getElementById('review-title').textContent[6] === '2'")
    left, right = names(page)
    page.keyboard.press("2")
    page.wait_for_function("() => document.getElementById('review-title').textContent[6] === '3'")
    page.keyboard.press("n")
    page.wait_for_function("() => document.getElementById('review-title').textContent[6] === '4'")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.getElementById('review-title').textContent[6] === '3'")
    assert page.get_attribute("#review [data-key=n]", "aria-pressed") == "true"
    both, second, none, last = groups_of(page)
    assert [photo["stays"] for photo in both["photos"]] == [True, True]
    assert {p["name"]: p["stays"] for p in second["photos"]} == {left: False, right: True}
    assert none["not_duplicates"] is True
    page.keyboard.press("1")  # duplicates after all
    page.wait_for_function("() => document.getElementById('review-title').textContent[6] === '4'")
    assert groups_of(page)[2]["not_duplicates"] is False
    page.click("#review [data-key='1']")
    page.wait_for_function("() => !document.getElementById('review').open")
    assert page.inner_text("#freed").startswith("3 photos may go")
    assert last["not_duplicates"] is False
