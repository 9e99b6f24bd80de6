"""The page in a real browser: Debian's Chromium, without a window.

The tests are skipped where there is no Chromium; `apt-get install chromium` brings it.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chromium import CHROMIUM, drop, watched_page
from conftest import PROGRAM
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.cleanup.plan import read_plan
from PIL import Image

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")


@contextmanager
def served(folder: Path, home: Path, *options: str) -> Iterator[str]:
    """Start `imgsim-edge browse` for an index; gives its link."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "browse", "--no-open", "--index", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(home), "HOME": str(home)},
    )
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=30)


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
    with served(index.folder, tmp_path_factory.mktemp("cache"), "--plan", str(plan)) as link:
        yield link


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page at desktop width."""
    with watched_page(browser, address) as opened:
        yield opened


def names(page: Any, selector: str = "#matches img") -> list[str]:
    return page.eval_on_selector_all(selector, "images => images.map((image) => image.alt)")


def open_photo(page: Any, name: str) -> None:
    page.click(f"a.tile[title^='{name}']")
    page.wait_for_selector("#lightbox[open]")


def search_by(page: Any, name: str) -> None:
    """Ask for the photos like one of the collection."""
    open_photo(page, name)
    page.click("#like-this")
    page.wait_for_selector("#matches li")


def unfold(page: Any) -> None:
    """Show the answers that are folded away, too."""
    if page.locator("#matches details:not([open])").count():
        page.click("#matches summary")


def choose_folder(page: Any, tree: str, name: str) -> None:
    page.fill(f"{tree} input", name)
    page.click(f"{tree} [role=treeitem] >> nth=0")


def test_the_page_shows_every_photo_of_the_collection(page: Any) -> None:
    assert page.inner_text("#count") == "18"
    page.wait_for_function(
        "() => [...document.querySelectorAll('.tile img')].every((i) => i.naturalWidth > 0)"
    )
    assert page.locator(".tile[href]").count() == 18
    assert page.title() == "imgsim-edge"


def test_a_photo_opens_large_and_closes_where_it_was(page: Any, photos: Path) -> None:
    open_photo(page, "coffee.jpg")
    page.wait_for_function("() => document.getElementById('large').naturalWidth > 500")
    place = int(page.inner_text("#position").split()[0]) - 1
    page.click("#about")
    page.wait_for_selector("#facts dd")
    assert str(photos / "whole" / "coffee.jpg") == page.inner_text("#path")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        f"() => document.getElementById('position').textContent === '{place + 2} of 18'"
    )
    shown = page.inner_text("#photo-title")
    assert shown != "coffee.jpg"
    page.reload()
    page.wait_for_selector("#lightbox[open]")
    assert page.inner_text("#photo-title") == shown
    page.keyboard.press("Escape")
    page.wait_for_function(f"() => document.activeElement.dataset.place === '{place + 1}'")
    assert page.url.endswith("/#/")
    page.keyboard.press("Enter")
    page.click("#facts a")  # its folder
    page.wait_for_selector("#lightbox", state="hidden")
    page.wait_for_function("() => document.getElementById('count').textContent === '9'")


def test_going_back_closes_a_photo(page: Any) -> None:
    open_photo(page, "coffee.jpg")
    page.go_back()
    page.wait_for_selector("#lightbox", state="hidden")
    assert page.locator(".tile[href]").count() == 18


def test_a_photo_can_be_zoomed_by_wheel_and_keys(page: Any) -> None:
    open_photo(page, "coffee.jpg")
    page.hover("#stage")
    scale = "new DOMMatrix(document.getElementById('large').style.transform).a"
    page.mouse.wheel(0, -600)
    page.wait_for_selector("#stage.zoomed")
    assert page.evaluate(scale) > 2
    page.keyboard.press("0")
    assert page.evaluate(scale) == 1
    page.keyboard.press("+")
    assert page.evaluate(scale) == 1.5


def test_a_search_gives_the_neighbours_and_survives_a_reload(page: Any, index: ImageIndex) -> None:
    search_by(page, "coffee.jpg")
    (coffee,) = (photo for photo in index.photos() if photo.path.name == "coffee.jpg")
    expected = [m.path.name for m in index.similar(coffee.path, 60)]
    assert names(page) == expected
    assert expected[0] == "coffee-crop.jpg"
    assert page.url.endswith(f"/#/similar/{coffee.id}")
    assert page.inner_text("#answers-title") == "Photos like coffee.jpg"
    page.reload()
    page.wait_for_selector("#matches li")
    assert names(page) == expected


def test_answers_lie_in_bands_and_the_weak_ones_are_folded_away(
    page: Any, index: ImageIndex
) -> None:
    search_by(page, "coffee.jpg")
    (coffee,) = (photo for photo in index.photos() if photo.path.name == "coffee.jpg")
    bands = [match.band for match in index.similar(coffee, 60)]
    assert bands[0] != "weak" == bands[-1]
    titles = page.locator("#matches h2").all_inner_texts()
    assert len(titles) == len(set(bands))
    assert titles[-1] == "Weak"
    last = page.locator("#matches li").last
    assert last.is_hidden()
    alike = sum(band != "weak" for band in bands)
    assert page.inner_text("#found-count") == str(alike)
    page.locator("#matches .tile").first.focus()
    page.keyboard.press("End")  # of those that are shown
    assert page.evaluate("document.activeElement.dataset.place") == str(alike - 1)
    page.focus("#matches summary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#matches details[open]")
    assert last.is_visible()


def test_a_dropped_photo_finds_its_twin_and_survives_a_reload(page: Any, collection: Path) -> None:
    drop(page, collection / "rocket.jpg")
    page.wait_for_selector("#matches li")
    assert names(page)[:2] == ["rocket.jpg", "rocket-crop.jpg"]
    page.reload()
    page.wait_for_selector("#matches li")
    assert names(page)[:2] == ["rocket.jpg", "rocket-crop.jpg"]
    assert page.inner_text("#answers-title") == "Photos like rocket.jpg"
    page.wait_for_function("() => document.querySelector('#examples img').naturalWidth > 0")


def test_a_chosen_file_is_searched_by(page: Any, collection: Path) -> None:
    page.set_input_files("#file", collection / "china.jpg")
    page.wait_for_selector("#matches li")
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
    page.wait_for_selector("#matches li")
    assert names(page)[0] == "flower.jpg"


def test_what_is_no_photo_is_told_so(browser: Any, address: str, tmp_path: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".tile[href]")
    (tmp_path / "notes.txt").write_text("no photo")
    drop(page, tmp_path / "notes.txt", "text/plain")
    page.wait_for_selector("#notice:not([hidden])")
    assert page.inner_text("#notice") == "notes.txt: not an image of a known format"
    context.close()


def test_a_folder_narrows_the_neighbours_and_the_collection(page: Any) -> None:
    choose_folder(page, "#folders", "whole")
    page.wait_for_function("() => document.getElementById('count').textContent === '9'")
    page.wait_for_function("() => document.querySelectorAll('.tile[href]').length === 9")
    search_by(page, "rocket.jpg")
    assert len(names(page)) == 17
    page.click("#found-folder")
    choose_folder(page, "#folder-dialog", "cropped")
    page.wait_for_function("() => document.querySelectorAll('#matches li').length === 9")
    assert all(name.endswith("-crop.jpg") for name in names(page))
    page.go_back()  # the folder is of that search alone
    page.wait_for_function("() => document.querySelectorAll('#matches li').length === 17")


def test_the_folders_are_a_tree_for_the_keyboard(page: Any, photos: Path) -> None:
    page.focus("#folders [role=treeitem]")
    focused = "name => document.activeElement.getAttribute('aria-label') === name"
    for key, expected in (
        ("ArrowDown", f"{photos.name}, 18"),
        ("ArrowRight", "cropped, 9"),
        ("ArrowLeft", f"{photos.name}, 18"),
        ("End", "whole, 9"),
    ):
        page.keyboard.press(key)
        page.wait_for_function(focused, arg=expected)
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.getElementById('count').textContent === '9'")


def test_photos_are_selected_by_click_shift_and_keys(page: Any) -> None:
    tiles = page.locator("#grid [role=gridcell]")
    tiles.nth(1).hover()
    tiles.nth(1).locator(".pick").click()
    tiles.nth(4).locator(".tile").click(modifiers=["Shift"])
    page.wait_for_selector("#selected")
    assert page.inner_text("#selected-count") == "4 selected"
    tiles.nth(2).locator(".tile").click()
    assert page.inner_text("#selected-count") == "3 selected"
    page.keyboard.press("Escape")
    assert page.locator("#selected").is_hidden()
    tiles.nth(0).locator(".tile").focus()
    for key in ("Space", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    page.wait_for_function(
        "() => document.getElementById('selected-count').textContent === '3 selected'"
    )


def test_a_search_can_be_for_several_photos_and_against_others(page: Any) -> None:
    search_by(page, "coffee.jpg")
    first = names(page)[0]
    for kind, place in (("like", 0), ("unlike", 1)):
        unfold(page)
        item = page.locator("#matches li").nth(place)
        item.hover()
        item.locator(".pick").click()
        page.click(f"#{kind}-these")
        page.wait_for_selector(f"#examples li:nth-child({place + 2})")
    assert page.locator("#examples li.like").count() == 2
    assert page.locator("#examples li.unlike").count() == 1
    assert first not in names(page)
    page.reload()
    page.wait_for_selector("#examples li.unlike")
    page.click("#examples li.unlike .away")
    page.wait_for_selector("#examples li.unlike", state="detached")


def test_selected_photos_are_taken_away(page: Any, photos: Path) -> None:
    open_photo(page, "coffee.jpg")
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.click("#archive")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.read("coffee.jpg") == (photos / "whole" / "coffee.jpg").read_bytes()
    with page.expect_download() as download:
        page.click("#list")
    assert Path(download.value.path()).read_text() == f"{photos / 'whole' / 'coffee.jpg'}\n"


def test_a_finger_selects_by_resting_and_turns_by_swiping(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".tile[href]")
    touch = context.new_cdp_session(page)

    def drag(*points: tuple[float, float], pause: int = 0) -> None:
        kinds = ["touchStart", *["touchMove"] * (len(points) - 1)]
        for kind, (x, y) in zip(kinds, points, strict=True):
            finger = {"type": kind, "touchPoints": [{"x": x, "y": y}]}
            touch.send("Input.dispatchTouchEvent", finger)
        page.wait_for_timeout(pause)
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    box = page.locator(".tile[href]").first.bounding_box()
    drag((box["x"] + 40, box["y"] + 40), pause=700)
    page.wait_for_selector("#selected")
    page.click("#clear")
    page.locator(".tile[href]").first.tap()
    page.wait_for_selector("#lightbox[open]")
    assert page.inner_text("#position") == "1 of 18"
    drag((300, 400), (200, 402), (100, 405))
    page.wait_for_function("() => document.getElementById('position').textContent === '2 of 18'")
    drag((180, 200), (182, 300), (180, 420))
    page.wait_for_selector("#lightbox", state="hidden")
    context.close()


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
    page.wait_for_selector("#lightbox[open]")
    page.wait_for_function(
        f"() => document.getElementById('photo-title').textContent === '{chosen}'"
    )
    page.keyboard.press("s")
    page.wait_for_selector("#matches li")
    assert page.evaluate("document.activeElement.id") == "answers-title"
    page.keyboard.press("Escape")
    page.wait_for_function(f"() => {place} === '1'")


def test_the_overview_is_for_pointers_and_for_the_keyboard(page: Any) -> None:
    page.click("#to-overview")
    page.wait_for_selector("#map")
    assert page.inner_text("#placed") == "18"
    told = "document.getElementById('status').textContent"
    page.wait_for_function(f"() => {told}.includes('arranged by likeness')")
    page.focus("#map")
    for _ in range(600):  # until the photos of the part in sight are known
        page.keyboard.press("ArrowLeft")
        if page.evaluate(told).endswith(".jpg"):
            break
        page.wait_for_timeout(100)
    seen = set()
    for key in (*["ArrowLeft"] * 9, "ArrowUp", *["ArrowRight"] * 4, "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
        seen.add(page.evaluate(told))
    assert len([name for name in seen if name.endswith(".jpg")]) > 6
    name = page.evaluate(told)
    page.keyboard.press("Enter")
    page.wait_for_selector("#lightbox[open]")
    page.wait_for_function(f"() => document.getElementById('photo-title').textContent === '{name}'")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement.id === 'map'")
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 - 9, box["y"] + box["height"] / 2 - 9)
    page.wait_for_selector("#lightbox[open]")


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
    page.wait_for_function("() => !document.querySelector('.not-duplicates')")
    page.click("#write")
    page.wait_for_selector("#planned code")
    assert len(read_plan(plan).groups) > 0
    assert str(plan) in page.inner_text("#planned")


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, which checks pages for what keeps people out."""
    pytest.importorskip("axe_playwright_python", reason="the extra dev brings axe-core")
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


WIDE = """[...document.querySelectorAll("main *")]
    .filter((part) => part.getBoundingClientRect().right > innerWidth + 1)
    .map((part) => part.outerHTML.slice(0, 120)).slice(0, 5)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1440, 900)])
def test_every_view_is_for_everybody_and_fits(
    browser: Any, address: str, axe: str, scheme: str, width: int, height: int
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        bypass_csp=True,  # for axe
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))

    def check(view: str) -> None:
        page.evaluate(axe)
        found = page.evaluate("async () => (await axe.run()).violations")
        told = [f"{v['id']}: {node['html'][:160]}" for v in found for node in v["nodes"]]
        assert not told, view
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            pytest.fail(f"{view}: wider than the screen: {page.evaluate(WIDE)}")

    page.goto(address)
    page.wait_for_selector(".tile[href]")
    check("collection")
    page.locator("#grid .tile[href]").first.click()
    page.click("#about")
    page.wait_for_selector("#facts dd")
    check("photo")
    page.click("#like-this")
    page.wait_for_selector("#matches li")
    check("answers")
    page.locator("#matches .pick").first.dispatch_event("click")
    page.wait_for_selector("#selected")
    check("selected")
    page.click("#label-these")
    page.fill("#label-name", "Axe")
    check("label dialog")
    page.click("#label-form [value=yes]")
    page.wait_for_selector("#selected", state="hidden")
    page.click("#found-filter")
    page.wait_for_selector("#filter-dialog[open]")
    check("filter dialog")
    page.click("#close-filter")
    page.click("#found-folder")
    page.wait_for_selector("#folder-dialog[open]")
    check("folders")
    page.click("#folder-dialog .may")
    page.wait_for_selector("#asking:not([hidden])")
    check("suggestions")
    page.click("#to-labelled")
    page.wait_for_selector("#label-tools:not([hidden])")
    check("label")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#forget-label")
    page.wait_for_selector("#label-tools", state="hidden")
    page.click("#to-overview")
    page.wait_for_selector("#map")
    check("overview")
    page.click("#to-duplicates")
    page.click("#find")
    page.wait_for_selector(".group")
    check("duplicates")
    page.click("#compare")
    page.wait_for_selector("#review[open]")
    check("review")
    assert hosts == {urlsplit(address).netloc}
    context.close()


def test_the_page_says_when_the_server_has_stopped_and_goes_on_when_it_is_back(
    browser: Any, index: ImageIndex, tmp_path: Path
) -> None:
    options = ["--index", str(index.folder), "--secret-file", str(tmp_path / "secret")]

    def start(*more: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "browse", "--no-open", *options, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        )
        assert process.stdout
        return process, process.stdout.readline().strip()

    process, address = start()
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector(".tile[href]")
    process.terminate()
    _, stderr = process.communicate(timeout=30)
    page.wait_for_selector("#lost:not([hidden])")
    assert "does not answer" in page.inner_text("#lost")
    # The connections that the browser holds open are nothing to tell of.
    assert len(stderr.splitlines()) == 2
    assert stderr.splitlines()[1] == "stopped"
    process, again = start("--port", str(urlsplit(address).port))
    assert again == address
    try:
        page.wait_for_selector("#lost", state="hidden")
        open_photo(page, "coffee.jpg")
    finally:
        page.close()
        process.terminate()
        process.communicate(timeout=30)


def test_an_empty_index_an_away_drive_and_unreadable_files_are_told(
    browser: Any, collection: Path, tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    with (
        ImageIndex.create(tmp_path / "index") as index,
        served(index.folder, tmp_path) as address,
    ):
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#empty:not([hidden])")
        assert "imgsim-edge index FOLDER" in page.inner_text("#empty")
        shutil.copy(collection / "coffee.jpg", drive)
        (drive / "broken.jpg").write_bytes(b"no photo")
        index.add([drive])
        page.wait_for_function("() => document.querySelector('.tile[href] img')?.naturalWidth > 0")
        page.click("#unreadable")
        page.wait_for_selector("#problem-dialog[open]")
        assert "broken.jpg" in page.inner_text("#problems")
        page.click("#close-problems")
        drive.rename(tmp_path / "unplugged")
        page.wait_for_selector("#away:not([hidden])")
        assert str(drive) in page.inner_text("#away")
        open_photo(page, "coffee.jpg")
        page.wait_for_selector("#unseen:not([hidden])")
        assert "No such file" in page.inner_text("#unseen")
        page.close()


def test_headings_are_months_or_years_where_months_are_thin(
    browser: Any, photographs: dict[str, Image.Image], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()

    def save(number: int, taken: str) -> None:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = taken
        photographs["coffee"].resize((96, 64)).save(photos / f"{number:02}.jpg", exif=exif)

    for number, month in enumerate((3, 5, 5)):
        save(number, f"2023:{month:02}:01 10:00:00")
    save(3, "2021:01:01 10:00:00")
    photographs["rocket"].save(photos / "undated.jpg")
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([photos])
        with served(index.folder, tmp_path) as address:
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector("#grid h2")
            headings = page.locator("#grid h2")
            assert headings.all_inner_texts() == ["2023 3", "2021 1", "No date 1"]
            for number in range(4, 40):
                save(number, "2023:05:02 10:00:00")
            index.add([photos])
            page.wait_for_function(
                "() => document.querySelector('#grid h2').textContent.startsWith('May 2023')"
            )
            page.close()


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
        search_by(page, "rocket.jpg")
        unfold(page)
        assert len({"coffee.jpg", "zz-new.jpg"} & set(names(page))) == 1
        assert page.inner_text("#matches .badge") == "2 copies"
        page.click("#to-collection")
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

    sections = [
        {"heading": f"{2025 - n // 12}-{12 - n % 12:02}", "photos": 1000} for n in range(100)
    ]
    page.route(
        "**/api/sections?*",
        lambda route: route.fulfill(json={"generation": 1, "order": "taken", "sections": sections}),
    )
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
