"""Labels in a real browser: said of photos, browsed by, and suggestions answered by keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM, watched_page
from imgsim_edge.infer import ImageIndex
from PIL import Image
from test_page_in_a_browser import served

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")
NAME = "Cup / Tasse"  # a slash, and blanks, as names have
SHOWS = ("coffee-0.jpg", "coffee-1.jpg")


@pytest.fixture(scope="module")
def index(
    photographs: dict[str, Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ImageIndex]:
    """Six photos of each of four subjects, of four years by two cameras."""
    folder = tmp_path_factory.mktemp("photos")
    for number, subject in enumerate(("coffee", "rocket", "chelsea", "china")):
        image = photographs[subject]
        for part in range(6):
            exif = Image.Exif()
            exif[0x0110] = f"Camera {number % 2}"
            exif.get_ifd(0x8769)[0x9003] = f"{2023 - number}:0{part + 1}:01 10:00:00"
            side = min(image.size) * 3 // 4
            left = part * (image.width - side) // 5
            box = (left, 0, left + side, side)
            image.crop(box).save(folder / f"{subject}-{part}.jpg", exif=exif)
    with ImageIndex.create(tmp_path_factory.mktemp("labelled") / "index") as made:
        made.add([folder])
        yield made


@pytest.fixture(scope="module")
def address(index: ImageIndex, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(index.folder, tmp_path_factory.mktemp("cache")) as link:
        yield link


@pytest.fixture(params=[(1280, 800), (360, 740)], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    with watched_page(browser, address, *request.param) as opened:
        yield opened


@pytest.fixture
def taught(index: ImageIndex) -> Iterator[ImageIndex]:
    """The index with a label, which is gone afterwards, whatever it is called then."""
    index.teach(NAME, yes=[photo.digest for photo in index.photos() if photo.path.name in SHOWS])
    yield index
    for label in index.labels():
        index.forget_label(label.name)


def said(index: ImageIndex) -> dict[str, bool]:
    """What was said of the label: name of a photo → whether it shows it."""
    examples = index.examples(NAME)
    return {p.path.name: examples[p.digest] for p in index.photos() if p.digest in examples}


def names(page: Any) -> set[str]:
    return set(page.eval_on_selector_all(".tile[href]", "all => all.map((one) => one.title)"))


def wait_for_count(page: Any, count: int) -> None:
    tiles = "document.querySelectorAll('#grid .tile[href]').length"  # of many, those near by
    page.wait_for_function(
        f"() => document.getElementById('count').textContent === '{count}'"
        f" && {tiles} <= {count} && {tiles} >= {min(count, 6)}"
    )


def wait_until_counted(page: Any) -> None:
    """Wait until it is told how many more may show what the label says."""
    page.wait_for_function(
        "() => (document.querySelector('#labels .may')?.textContent ?? '?') !== '?'"
    )


def shown_labels(page: Any) -> Any:
    """The list of labels: beside the photos or, on a telephone, behind a button."""
    if page.locator("#folder-button").is_visible():
        page.click("#folder-button")
        return page.locator("#label-choice")
    return page.locator("#labels")


def open_address(page: Any, address: str) -> None:
    page.evaluate("(address) => { location.hash = address; }", address)


def test_selected_photos_are_labelled_and_shown_by_label(page: Any, index: ImageIndex) -> None:
    for name in SHOWS:
        page.locator(f"[role=gridcell]:has(a[title='{name}']) .pick").dispatch_event("click")
    page.click("#label-these")
    page.fill("#label-name", NAME)
    page.keyboard.press("Enter")
    page.wait_for_selector("#selected", state="hidden")
    assert said(index) == dict.fromkeys(SHOWS, True)
    labels = shown_labels(page)
    labels.get_by_text(NAME).click()
    wait_for_count(page, 2)
    assert names(page) == set(SHOWS)
    assert page.inner_text("#collection-name") == NAME
    page.reload()
    wait_for_count(page, 2)
    assert names(page) == set(SHOWS)
    wait_until_counted(page)
    page.once("dialog", lambda dialog: dialog.accept("Cup"))
    page.click("#rename-label")
    page.wait_for_function("() => document.getElementById('collection-name').textContent === 'Cup'")
    wait_until_counted(page)
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#forget-label")
    wait_for_count(page, 24)
    assert index.labels() == []


def test_a_list_tells_how_many_show_it_and_how_many_may(page: Any, taught: ImageIndex) -> None:
    page.reload()
    page.wait_for_selector("#labels a", state="attached")
    number = page.locator("#labels .number")
    assert number.text_content() == "2"
    wait_until_counted(page)
    assert page.locator("#labels .may").text_content()[1:].isdigit()
    shown_labels(page).locator(".may").click()
    page.wait_for_selector("#asking:not([hidden])")


def test_suggestions_are_answered_by_keys(page: Any, taught: ImageIndex) -> None:
    open_address(page, "#/suggest/Cup%20%2F%20Tasse")
    page.wait_for_selector("#asking:not([hidden])")
    assert page.inner_text("#suggestions-title") == f"Does it show {NAME}?"
    asked = "document.getElementById('asked-name').textContent"
    expected = dict.fromkeys(SHOWS, True)

    def press(key: str) -> str:
        """Press a key; gives the name of the photo that was asked about."""
        name = page.evaluate(asked)
        page.keyboard.press(key)
        return name

    expected[press("y")] = True
    expected[press("n")] = False
    skipped = press("s")
    taken_back = press("y")
    assert page.evaluate(asked) not in {skipped, taken_back, *expected}
    press("u")
    assert page.evaluate(asked) == taken_back
    press("u")
    assert page.evaluate(asked) == skipped
    # Each answer is sent as soon as the one before it has arrived.
    for _ in range(300):
        if said(taught) == expected:
            break
        page.wait_for_timeout(100)
    assert said(taught) == expected
    for _ in range(25):  # until nothing is left; the suggestions are made anew on the way
        if page.locator("#asking").is_hidden():
            break
        press("s")
        page.wait_for_timeout(50)
    page.wait_for_selector("#none-suggested:not([hidden])")


def test_suggestions_are_answered_by_buttons(page: Any, taught: ImageIndex) -> None:
    open_address(page, "#/suggest/Cup%20%2F%20Tasse")
    page.wait_for_selector("#asking:not([hidden])")
    for button in page.locator("#asking .verdicts button").all():
        box = button.bounding_box()
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= page.viewport_size["height"]  # without scrolling
    name = page.inner_text("#asked-name")
    page.click("[data-verdict=no]")
    page.wait_for_function("() => !document.getElementById('undo-verdict').disabled")
    assert page.inner_text("#asked-name") != name
    other = page.locator("#queue .tile").last
    chosen = other.get_attribute("title").splitlines()[0]
    other.click()  # to be asked about now
    assert page.inner_text("#asked-name") == chosen
    page.click("#to-labelled")
    wait_for_count(page, 2)
    assert said(taught) == {**dict.fromkeys(SHOWS, True), name: False}


def test_a_photo_tells_its_labels_and_they_are_taken_back(page: Any, taught: ImageIndex) -> None:
    page.click(f"a.tile[title='{SHOWS[0]}']")
    page.wait_for_selector("#lightbox[open]")
    page.keyboard.press("l")
    page.fill("#label-name", NAME[:3].lower())
    page.locator("#label-names button").click()
    assert page.input_value("#label-name") == NAME
    page.click("#label-form [value=no]")
    page.wait_for_selector("#photo-labels .chip.not")
    assert page.inner_text("#photo-labels .chip") == f"not {NAME}"
    assert said(taught)[SHOWS[0]] is False
    page.click("#photo-labels .chip button")
    page.wait_for_selector("#photo-labels .chip", state="detached")
    assert said(taught) == {SHOWS[1]: True}


def test_photos_are_narrowed_by_date_and_camera(page: Any) -> None:
    page.click("#filter-button")
    page.wait_for_selector("#filter-dialog[open]")
    page.fill("#filter-since", "2020-03-01")
    page.fill("#filter-until", "2022-02-01")
    page.select_option("#filter-camera", "Camera 1")
    page.click("#filter-form [type=submit]")
    wait_for_count(page, 6)  # the cats between them are by the other camera
    late = {f"china-{part}.jpg" for part in range(2, 6)}
    assert names(page) == late | {"rocket-0.jpg", "rocket-1.jpg"}
    assert page.inner_text("#filter-button") == "Mar 1, 2020 – Feb 1, 2022 · Camera 1"
    page.reload()
    wait_for_count(page, 6)
    page.click("a.tile[title='china-2.jpg']")
    page.click("#like-this")
    page.wait_for_selector("#matches li")
    open_address(page, page.evaluate("location.hash") + "?since=2021&until=2021-02&order=date")
    shown = """() => [...document.querySelectorAll('#matches img')].map(({ alt }) => alt).join()"""
    page.wait_for_function(f"() => ({shown})() === 'chelsea-1.jpg,chelsea-0.jpg'")
    page.select_option("#found-order", "")
    page.click("#found-filter")
    page.wait_for_selector("#filter-dialog[open]")
    assert page.input_value("#filter-until") == "2021-02-28"
    page.click("#no-filter")
    page.wait_for_function("() => document.querySelectorAll('#matches li').length === 23")
    assert "since" not in page.url


def test_a_page_that_only_shows_takes_no_label(
    browser: Any, taught: ImageIndex, tmp_path: Path
) -> None:
    with served(taught.folder, tmp_path, "--read-only") as address:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.wait_for_selector("#labels a")
        open_address(page, "#/suggest/Cup%20%2F%20Tasse")
        page.wait_for_selector("#queue li")
        assert page.locator("#asking").is_hidden()
        page.keyboard.press("y")
        page.locator("#queue .tile").first.click()
        page.wait_for_selector("#lightbox[open]")
        assert page.locator("#label-this").is_hidden()
        post = """async () => (await fetch("api/labels/a/examples", {
            method: "POST", body: '{"yes": [1]}' })).status"""
        assert page.evaluate(post) == 403
        page.close()
    assert said(taught) == dict.fromkeys(SHOWS, True)


def test_names_of_files_turn_nothing_around(
    browser: Any, photographs: dict[str, Image.Image], tmp_path: Path
) -> None:
    photos = tmp_path / "photos\u202e"
    photos.mkdir()
    photographs["coffee"].save(photos / "a\u202egpj.exe.jpg", "JPEG")
    shutil.copy(photos / "a\u202egpj.exe.jpg", photos / "b\u2066.jpg")
    (photos / "c\u200f.jpg").write_bytes(b"no photo")
    with ImageIndex.create(tmp_path / "index") as made:
        made.add([photos])
        with served(made.folder, tmp_path) as address:
            page = browser.new_page()
            page.set_default_timeout(60_000)
            page.goto(address)
            page.wait_for_selector(".tile[href]")
            turned = """() => [...document.querySelectorAll("*")].filter((one) =>
                [one.textContent, ...[...one.attributes].map(({ value }) => value)]
                    .some((text) => /[\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]/.test(text)))
                .map(({ outerHTML }) => outerHTML.slice(0, 200))"""
            assert page.evaluate(turned) == []
            page.click("#unreadable")
            page.wait_for_selector("#problem-dialog[open]")
            assert "c\\u200f.jpg" in page.inner_text("#problems")
            page.click("#close-problems")
            page.click("a.tile >> nth=0")
            page.wait_for_selector("#lightbox[open]")
            page.click("#about")
            page.wait_for_selector("#facts dd")
            assert "a\\u202egpj.exe.jpg" in page.inner_text("#path")
            assert page.evaluate(turned) == []
            page.click("#like-this")
            page.wait_for_selector("#matches li")
            assert page.evaluate(turned) == []
            page.click("#to-duplicates")
            page.click("#find")
            page.wait_for_selector(".group")
            assert page.evaluate(turned) == []
            page.close()


def test_a_collection_of_another_model_is_told(
    browser: Any, photographs: dict[str, Image.Image], collection: Path, tmp_path: Path
) -> None:
    from tiny import tiny_encoder

    (tmp_path / "photos").mkdir()
    photographs["coffee"].save(tmp_path / "photos" / "coffee.jpg")
    photographs["rocket"].save(tmp_path / "photos" / "rocket.jpg")
    model = tmp_path / "own.onnx"
    model.write_bytes(tiny_encoder())
    with ImageIndex.create(tmp_path / "index", model) as made:
        made.add([tmp_path / "photos"])
    model.write_bytes(tiny_encoder(seed=1))
    with served(tmp_path / "index", tmp_path) as address:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.wait_for_selector(".tile[href]")
        page.wait_for_selector("#model:not([hidden])")
        assert "a model that the server does not have" in page.inner_text("#model")
        page.set_input_files("#file", collection / "china.jpg")
        page.wait_for_selector("#notice:not([hidden])")
        assert page.inner_text("#notice") == page.inner_text("#model")
        page.click("a.tile[title='coffee.jpg']")  # what is in it is searched by as before
        page.click("#like-this")
        page.wait_for_selector("#matches li", state="attached")
        page.close()
