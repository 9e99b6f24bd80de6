"""The page in a real browser: Debian's Chromium, without a window.

The tests are skipped where there is no Chromium; `apt-get install chromium` brings it.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PROGRAM
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.cleanup.plan import read_plan

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
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def photos(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the collection, 18 photos, in two folders."""
    folder = tmp_path_factory.mktemp("photos")
    for kind, pattern in (("whole", "*[!p].jpg"), ("cropped", "*-crop.jpg")):
        (folder / kind).mkdir()
        for file in collection.glob(pattern):
            shutil.copy(file, folder / kind)
    return folder


@pytest.fixture(scope="module")
def index(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageIndex]:
    with ImageIndex.create(tmp_path_factory.mktemp("page") / "index") as made:
        made.add([photos])
        yield made


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plan") / "plan.json"


@pytest.fixture(scope="module")
def address(
    index: ImageIndex, plan: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    cache = str(tmp_path_factory.mktemp("cache"))
    command = ["browse", "--no-open", "--index", str(index.folder), "--plan", str(plan)]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": cache, "HOME": cache},
    )
    assert process.stdout
    yield process.stdout.readline().strip()
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page at desktop width; whatever it complains about in the console fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector(".tile[href]")
    yield opened
    context.close()
    assert complaints == []


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


def names(page: Any, selector: str = ".matches img") -> list[str]:
    return page.eval_on_selector_all(selector, "images => images.map((image) => image.alt)")


def test_the_page_shows_every_photo_of_the_collection(page: Any) -> None:
    assert page.inner_text("#count") == "18"
    page.wait_for_function(
        "() => [...document.querySelectorAll('.tile img')].every((i) => i.naturalWidth > 0)"
    )
    assert page.locator(".tile[href]").count() == 18
    assert page.title() == "imgsim-edge"


def test_a_click_shows_the_neighbours(page: Any, index: ImageIndex, photos: Path) -> None:
    page.click("a.tile[title='coffee.jpg']")
    page.wait_for_selector(".matches li")
    expected = [m.path.name for m in index.similar(photos / "whole" / "coffee.jpg", 60)]
    assert names(page) == expected
    assert expected[0] == "coffee-crop.jpg"
    assert page.inner_text("#answers-title") == "coffee.jpg"
    assert str(photos / "whole" / "coffee.jpg") in page.inner_text("#facts")
    page.wait_for_function("() => document.getElementById('subject').naturalWidth > 0")


def test_a_dropped_photo_finds_its_twin(page: Any, collection: Path) -> None:
    drop(page, collection / "rocket.jpg")
    page.wait_for_selector(".matches li")
    assert names(page)[:2] == ["rocket.jpg", "rocket-crop.jpg"]
    score = page.inner_text(".matches li:first-child .score")
    assert score.startswith("1.00 1/")  # and how rare that is among random pairs


def test_a_chosen_file_is_searched_by(page: Any, collection: Path) -> None:
    page.set_input_files("#file", collection / "china.jpg")
    page.wait_for_selector(".matches li")
    assert names(page)[:2] == ["china.jpg", "china-crop.jpg"]


def test_a_pasted_photo_is_searched_by(page: Any, collection: Path) -> None:
    content = base64.b64encode((collection / "flower.jpg").read_bytes()).decode()
    page.evaluate(
        """(base64) => {
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        content,
    )
    page.wait_for_selector(".matches li")
    assert names(page)[0] == "flower.jpg"


def test_what_is_no_photo_is_told_so(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    drop(page, tmp_path / "notes.txt", "text/plain")
    page.wait_for_selector("#notice:not([hidden])")
    assert "no photo" in page.inner_text("#notice")


def test_folder_and_score_narrow_the_neighbours(page: Any) -> None:
    page.click("a.tile[title='rocket.jpg']")
    page.wait_for_selector(".matches li")
    assert len(names(page)) == 17
    page.select_option("#found-folder", label="\u00a0\u00a0\u00a0cropped (9)")
    page.wait_for_function("() => document.querySelectorAll('.matches li').length === 9")
    assert all(name.endswith("-crop.jpg") for name in names(page))
    scores = [float(text.split()[0]) for text in page.locator(".score").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    floor = scores[2]
    page.fill("#floor", str(floor))
    shown = [float(text.split()[0]) for text in page.locator(".score").all_inner_texts()]
    assert shown
    assert min(shown) >= floor - 0.005
    assert len(shown) < 9


def test_the_collection_can_be_narrowed_to_a_folder(page: Any) -> None:
    page.select_option("#folder", label="\u00a0\u00a0\u00a0whole (9)")
    page.wait_for_function("() => document.getElementById('count').textContent === '9'")
    page.wait_for_function("() => document.querySelectorAll('.tile[href]').length === 9")
    assert "coffee.jpg" in names(page, ".tile[href] img")


def test_the_keyboard_goes_everywhere(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    place = "document.activeElement.dataset.place"
    assert page.evaluate(place) == "0"
    columns = int(page.get_attribute("#grid", "aria-colcount"))
    for key, expected in (
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("Home", columns),
        ("Control+End", 17),
        ("Control+Home", 0),
        ("ArrowRight", 1),
    ):
        page.keyboard.press(key)
        assert page.evaluate(place) == str(expected), key
    chosen = page.evaluate("document.activeElement.title")
    page.keyboard.press("Enter")
    page.wait_for_selector(".matches li")
    assert page.evaluate("document.activeElement.id") == "answers-title"
    assert page.inner_text("#answers-title") == chosen
    page.keyboard.press("Escape")
    page.wait_for_function(f"() => {place} === '1'")


def test_everything_has_a_name_for_a_screen_reader(page: Any) -> None:
    page.click("a.tile[title='coffee.jpg']")
    page.wait_for_selector(".matches li")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("a, button, select, input, section")]
            .filter((node) => node.checkVisibility())
            .filter((node) => !(node.textContent.trim() || node.getAttribute("aria-label")
                || node.getAttribute("aria-labelledby") || node.labels?.length
                || node.querySelector("img[alt]:not([alt=''])")))
            .map((node) => node.outerHTML)"""
    )
    assert nameless == []
    assert page.inner_text("#status") == "17 photos similar to coffee.jpg"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(browser: Any, address: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 700})
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".tile[href]")
    overflow = "document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(overflow) <= 0
    page.click("a.tile >> nth=1")
    page.wait_for_selector(".matches li")
    assert page.evaluate(overflow) <= 0
    context.close()


def test_duplicates_are_looked_through_and_planned(page: Any, plan: Path) -> None:
    page.click("#to-duplicates")
    page.click("#find")
    page.wait_for_selector(".group")
    groups = page.locator(".group").count()
    assert groups > 0
    may_go = int(page.inner_text("#freed").split()[0])
    card = page.locator(".group").first
    pressed = card.locator(".keep[aria-pressed=true]")
    assert pressed.count() == 1
    assert pressed.is_disabled()  # one has to stay
    card.locator(".keep[aria-pressed=false]").first.click()
    page.wait_for_function(
        "() => document.querySelector('.group').querySelectorAll('[aria-pressed=true]').length > 1"
    )
    page.wait_for_function(
        f"() => document.getElementById('freed').textContent.startsWith('{may_go - 1} ')"
    )
    assert page.evaluate("document.activeElement.className") == "keep"
    card.get_by_text("Not duplicates").first.click()
    page.get_by_text("They are duplicates after all").click()
    page.wait_for_function("() => !document.querySelector('.distinct')")
    page.click("#write")
    page.wait_for_selector("#planned code")
    assert len(read_plan(plan).groups) > 0
    assert str(plan) in page.inner_text("#planned")


def test_the_page_says_when_the_server_has_stopped(
    browser: Any, index: ImageIndex, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "browse", "--no-open", "--index", str(index.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert process.stdout
    page = browser.new_page()
    page.goto(process.stdout.readline().strip())
    page.wait_for_selector(".tile[href]")
    process.terminate()
    _, stderr = process.communicate(timeout=30)
    page.wait_for_selector("#notice:not([hidden])")
    assert "does not answer" in page.inner_text("#notice")
    page.close()
    # The connections that the browser holds open are nothing to tell of.
    assert len(stderr.splitlines()) == 2
    assert stderr.splitlines()[1] == "stopped"


def test_another_origin_cannot_read_or_post(browser: Any, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    # The same server under another name is another origin, and the right one may do it.
    page.goto(address)
    page.wait_for_selector(".tile[href]")
    root = address.rsplit("/", 2)[0] + "/"
    assert page.url == root  # without the secret
    status = "async (path) => (await fetch(path, { method: 'POST', body: 'x' })).status"
    assert page.evaluate(status, f"{root}api/uploads") == 422
    page.goto("about:blank")
    read = """async (url) => {
        try { return (await fetch(url)).status; } catch { return "refused"; }
    }"""
    assert page.evaluate(read, f"{root}api/state") == "refused"
    context.clear_cookies()
    assert page.goto(root).status == 403
    context.close()


def test_the_page_follows_the_index(
    page: Any, index: ImageIndex, photos: Path, collection: Path
) -> None:
    added = photos / "whole" / "zz-new.jpg"
    try:
        shutil.copy(collection / "coffee.jpg", added)
        index.add([photos])
        page.wait_for_function("() => document.getElementById('count').textContent === '19'")
        page.wait_for_function(
            """() => document.querySelector("a.tile[title='zz-new.jpg'] img")?.naturalWidth > 0"""
        )
    finally:
        added.unlink()
        index.add([photos])
    page.wait_for_function("() => document.getElementById('count').textContent === '18'")
    assert page.locator("a.tile[title='zz-new.jpg']").count() == 0


def test_only_what_is_in_sight_is_in_the_page(browser: Any, address: str) -> None:
    """A collection of 100,000 is pretended to the page; its tiles are those of the real one."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()

    def pretend(route: Any) -> None:
        from urllib.parse import parse_qs, urlsplit

        wishes = parse_qs(urlsplit(route.request.url).query)
        first, count = int(wishes["first"][0]), int(wishes["count"][0])
        places = range(first, min(first + count, 100_000))
        photos = [
            {"id": n, "version": "0" * 16, "name": f"{n}.jpg", "width": 3, "height": 2}
            for n in places
        ]
        route.fulfill(json={"generation": 1, "total": 100_000, "photos": photos})

    page.route("**/api/photos?*", pretend)
    page.route("**/thumbnail/**", lambda route: route.abort())
    page.goto(address)
    page.wait_for_selector(".tile[href]")
    few = page.locator(".tile").count()
    assert few < 300
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_selector("a.tile[title='99999.jpg']")
    assert page.locator(".tile").count() < 300
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    page.wait_for_function(
        """() => [...document.querySelectorAll(".tile[href]")]
            .some((tile) => Math.abs(tile.dataset.place - 50_000) < 200)"""
    )
    assert page.locator(".tile").count() < 300
    context.close()
