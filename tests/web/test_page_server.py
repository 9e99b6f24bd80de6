"""The server of the page: what it gives, and to whom."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import PROGRAM, Run, fails
from imgsim_edge.infer import ImageIndex, web
from imgsim_edge.infer.cleanup.plan import read_plan
from imgsim_edge.infer.errors import PhotoError
from imgsim_edge.infer.web.download_app import archive_of
from imgsim_edge.infer.web.guard import WAIT_SECONDS, WRONG_TRIES
from imgsim_edge.infer.web.listing import Collection, Filter
from imgsim_edge.infer.web.thumbnails import TILE_SIDE, Thumbnails
from PIL import Image

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stops servers by POSIX signals")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running `imgsim-edge browse`."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    @property
    def link(self) -> str:
        """The path of the link, with the secret."""
        return urlsplit(self.address).path

    @cached_property
    def cookie(self) -> str:
        """What a browser is given for the link."""
        given = self.ask(self.link[1:], Cookie="").headers["set-cookie"]
        assert "HttpOnly" in given
        assert "SameSite=strict" in given
        return given.split(";")[0]

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """Ask as the page does, or otherwise where headers say so; the path goes out as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        asked = {"Host": f"127.0.0.1:{self.port}"}
        if "Cookie" not in headers:
            asked["Cookie"] = self.cookie
        if method != "GET":
            asked["Origin"] = f"http://127.0.0.1:{self.port}"
        asked |= headers
        connection.putrequest(method, f"/{path}", skip_host=True)
        for name, value in asked.items():
            if value:
                connection.putheader(name, value)
        if body is not None and "Content-Length" not in asked:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        told = Answer(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()
        return told


Serve = Callable[..., Server]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start `imgsim-edge browse` for an index; it is stopped at the end."""
    servers: list[Server] = []
    cache = tmp_path_factory.mktemp("cache")

    def start(index: Path, plan: Path = cache / "plan.json", options: Sequence[str] = ()) -> Server:
        command = ["browse", "--no-open", "--index", str(index), "--plan", str(plan), *options]
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(cache), "HOME": str(cache)},
        )
        assert process.stdout
        servers.append(Server(process, process.stdout.readline().strip()))
        return servers[-1]

    yield start
    for server in servers:
        server.process.terminate()
        server.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def server(indexed: Path, serve: Serve) -> Server:
    return serve(indexed)


def photos_of(server: Server, **wishes: object) -> list[dict[str, object]]:
    query = "&".join(f"{name}={value}" for name, value in wishes.items())
    return json.loads(server.ask(f"api/photos?{query}").body)["photos"]


def uploaded(server: Server, file: Path) -> str:
    sent = server.ask(f"api/uploads?name={file.name}", method="POST", body=file.read_bytes())
    return sent.json()["key"]


def named(server: Server, name: str) -> dict[str, object]:
    return next(photo for photo in photos_of(server) if photo["name"] == name)


# --- what it gives -------------------------------------------------------------------------------


def test_the_printed_address_opens_the_page(server: Server) -> None:
    page = server.ask("")
    assert page.status == 200
    assert b"<title>imgsim-edge</title>" in page.body
    for file in ("style.css", "main.js", "grid.js", "answers.js", "page.js", "icon.svg"):
        assert server.ask(f"static/{file}").status == 200, file


def test_a_browser_is_told_of_all_modules_at_once(server: Server) -> None:
    page = server.ask("").body.decode()
    told = re.findall(r'<link rel="modulepreload" href="static/(\S+)">', page)
    modules = {file.name for file in (resources.files(web) / "static").iterdir()}
    others = {"main.js", "enter.js"}  # the page's own script, and that of the page before it
    assert set(told) == {name for name in modules if name.endswith(".js")} - others


def test_the_collection_is_listed_in_parts(server: Server) -> None:
    whole = photos_of(server)
    assert len(whole) == 18
    assert [photo["name"] for photo in whole] == sorted(photo["name"] for photo in whole)
    assert photos_of(server, first=5, count=3) == whole[5:8]
    assert photos_of(server, first=17, count=50) == whole[17:]
    assert photos_of(server, first=10**9) == []


def test_neighbours_are_those_of_the_index(server: Server, indexed: Path, collection: Path) -> None:
    coffee = named(server, "coffee.jpg")
    answers = server.ask(f"api/similar?like={coffee['id']}&count=5").json()["matches"]
    assert answers[0]["name"] == "coffee-crop.jpg"
    with ImageIndex.open(indexed) as index:
        expected = index.similar(collection / "coffee.jpg", 5)
    assert [(a["id"], a["score"]) for a in answers] == [(m.id, round(m.score, 4)) for m in expected]


def test_a_photo_from_outside_finds_its_twin(server: Server, collection: Path) -> None:
    key = uploaded(server, collection / "rocket.jpg")
    answer = server.ask(f"api/similar?upload={key}&count=3").json()
    assert server.ask(f"api/similar?upload={key}&count=3").json() == answer
    assert answer["upload"] == "rocket.jpg"
    found = answer["matches"]
    assert found[0]["name"] == "rocket.jpg"
    assert found[0]["score"] == 1.0
    assert found[1]["name"] == "rocket-crop.jpg"


def test_pictures_are_shrunk_and_upright(tmp_path: Path, collection: Path, serve: Serve) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with Image.open(collection / "coffee.jpg") as image:
        lying = image.resize((2600, 1800)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° to the right
    lying.save(photos / "lying.jpg", exif=exif)
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([photos])
    server = serve(tmp_path / "index")
    (photo,) = photos_of(server)
    for kind, size in (("thumbnail", (360, 249)), ("view", (2048, 1418))):
        answer = server.ask(f"{kind}/{photo['id']}/{photo['version']}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.body)).size == size


def test_folders_narrow_what_is_listed_and_found(
    tmp_path: Path, collection: Path, serve: Serve
) -> None:
    for folder in ("a", "a/deep", "a-b"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    for place, name in (("a", "rocket"), ("a/deep", "coffee"), ("a-b", "china"), (".", "flower")):
        shutil.copy(collection / f"{name}.jpg", tmp_path / "photos" / place)
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([tmp_path / "photos"])
    server = serve(tmp_path / "index")
    folders = server.ask("api/folders").json()
    assert [(Path(f["name"]).name, f["depth"], f["photos"]) for f in folders] == [
        ("photos", 0, 4),
        ("a", 1, 2),
        ("deep", 2, 1),
        ("a-b", 1, 1),
    ]
    key = next(f["key"] for f in folders if f["name"] == "a")
    assert {p["name"] for p in photos_of(server, folder=key)} == {"rocket.jpg", "coffee.jpg"}
    rocket = named(server, "rocket.jpg")
    answers = server.ask(f"api/similar?like={rocket['id']}&folder={key}").json()["matches"]
    assert [answer["name"] for answer in answers] == ["coffee.jpg"]
    assert server.ask("api/photos?folder=unknown").status == 404
    # Not an error: another device may have forgotten the label since.
    assert server.ask("api/photos?label=unknown").json()["photos"] == []


def test_photos_lie_under_the_months_that_they_were_taken_in(
    tmp_path: Path, collection: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    dates = {
        "rocket": "2024:05:31 23:59:59",
        "china": "2024:06:01 00:00:00",
        "coffee": "2019:01:02 03:04:05",
        "flower": None,
        "retina": "2024:05:01 10:00:00",
    }
    for name, date in dates.items():
        exif = Image.Exif()
        if date:
            exif.get_ifd(0x8769)[0x9003] = date
        with Image.open(collection / f"{name}.jpg") as image:
            image.save(photos / f"{name}.jpg", exif=exif)
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([photos])
        collected = Collection(index)
        listing = collected.current()
        places = listing.places(None, "taken")
        ids = listing.by_path[places].tolist()
        names = [photo.path.stem for photo in index.photos(ids)]
        assert names == ["china", "rocket", "retina", "coffee", "flower"]
        assert [(s.heading, s.photos) for s in listing.sections(places, "taken")] == [
            ("2024-06", 1),
            ("2024-05", 2),
            ("2019-01", 1),
            (None, 1),
        ]
        wanted = Filter(since=datetime(2024, 5, 2), until=datetime(2024, 6, 1))
        for _ in range(2):  # the second time from memory
            only = collected.chosen(listing, wanted)
            assert listing.by_path[listing.places(None, "taken", only)].tolist() == [ids[1]]
        (section,) = listing.sections(listing.places(None, "path", only), "path")
        assert (section.heading, section.photos) == (listing.key_of(photos), 1)


def test_the_page_is_told_that_the_index_has_changed(
    tmp_path: Path, collection: Path, serve: Serve
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(collection / "coffee.jpg", photos)
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([photos])
        server = serve(tmp_path / "index")
        before = server.ask("api/state").json()
        assert server.ask("api/state").json() == before
        shutil.copy(collection / "china.jpg", photos)
        index.add([photos])
    after = server.ask("api/state").json()
    assert (before["photos"], after["photos"]) == (1, 2)
    assert after["generation"] != before["generation"]
    assert [photo["name"] for photo in photos_of(server)] == ["china.jpg", "coffee.jpg"]


# --- to whom -------------------------------------------------------------------------------------


def test_a_request_without_the_secret_is_refused(server: Server) -> None:
    for path in ("", "api/state", "static/main.js", "x" * 32, server.link[1:-2], "view/1/1"):
        assert server.ask(path, Cookie="").status == 403, path
    name = server.cookie.split("=")[0]
    assert server.ask("api/state", Cookie=f"{name}={'x' * 32}").status == 403
    assert server.ask("api/state", Cookie="", Authorization="Bearer wrong").status == 403


def test_a_program_brings_the_secret_in_a_header(server: Server, collection: Path) -> None:
    bearer = f"Bearer {server.link.strip('/')}"
    assert server.ask("api/state", Cookie="", Authorization=bearer).status == 200
    photo = (collection / "rocket.jpg").read_bytes()
    sent = {"method": "POST", "body": photo, "Cookie": "", "Origin": ""}
    assert server.ask("api/uploads", **sent, Authorization=bearer).status == 200
    assert server.ask("api/uploads", **sent).status == 403


def test_many_wrong_secrets_slow_down_but_not_those_who_are_in(indexed: Path, serve: Serve) -> None:
    server = serve(indexed)
    assert server.ask("api/state").status == 200
    for number in (*range(WRONG_TRIES - 1), *range(WRONG_TRIES)):  # the same one counts once
        assert server.ask(f"{number:032}/", Cookie="").status == 403, number
    refused = server.ask(f"{99:032}/", Cookie="")
    assert (refused.status, refused.headers["retry-after"]) == (429, str(WAIT_SECONDS))
    assert server.ask(server.link[1:], Cookie="").status == 429
    assert server.ask("api/state").status == 200


def test_a_read_only_page_shows_and_decides_nothing(indexed: Path, serve: Serve) -> None:
    server = serve(indexed, options=("--read-only",))
    assert server.ask("api/state").json()["read_only"] is True
    assert server.ask("api/plan", method="POST").status == 403
    assert post(server, "api/duplicates/1/0/not-duplicates", True).status == 403
    assert post(server, "api/paths", [0]).status == 200


def test_a_secret_in_a_file_outlives_the_server(
    indexed: Path, serve: Serve, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    first = serve(indexed, options=("--secret-file", str(file)))
    second = serve(indexed, options=("--secret-file", str(file)))
    assert first.link == second.link
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("short")
    done = run("browse", "--no-open", "--secret-file", file, IMGSIM_EDGE_INDEX=str(indexed))
    fails(done, "at least 24 letters")


# --- what can be taken away ----------------------------------------------------------------------


def test_chosen_photos_are_one_archive(server: Server, collection: Path) -> None:
    chosen = [named(server, name)["id"] for name in ("coffee.jpg", "rocket.jpg")]
    key = post(server, "api/archives", [*chosen, 10**6]).json()["key"]
    answer = server.ask(f"archive/{key}")
    assert answer.headers["cache-control"] == "private, no-store"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["coffee.jpg", "rocket.jpg"]
        for name in archive.namelist():
            assert archive.read(name) == (collection / name).read_bytes()
    paths = post(server, "api/paths", chosen).json()
    assert paths == [str(collection / "coffee.jpg"), str(collection / "rocket.jpg")]
    assert server.ask("archive/unknown").status == 404
    assert post(server, "api/archives", ["/etc/passwd"]).status == 400


def test_an_archive_says_what_is_missing_and_keeps_names_apart(
    tmp_path: Path, collection: Path
) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        shutil.copy(collection / "coffee.jpg", tmp_path / folder)
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([tmp_path / folder for folder in ("a", "b", "c")])
        (tmp_path / "c" / "coffee.jpg").write_bytes(b"another")
        parts = list(archive_of(index.photos()))
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert archive.namelist() == [
            "coffee.jpg",
            "coffee (2).jpg",
            "NOT-IN-THIS-ARCHIVE.txt",
        ]
        assert "changed since" in archive.read("NOT-IN-THIS-ARCHIVE.txt").decode()


def test_an_original_is_to_be_kept_and_not_shown(server: Server, collection: Path) -> None:
    photo = named(server, "coffee.jpg")
    answer = server.ask(f"original/{photo['id']}/{photo['version']}")
    assert answer.body == (collection / "coffee.jpg").read_bytes()
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["cache-control"] == "private, no-store"
    assert server.ask(f"original/{photo['id']}/{'0' * 16}").status == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1"]
)
def test_a_foreign_host_is_refused(server: Server, host: str) -> None:
    answer = server.ask("api/state", Host=host.format(port=server.port))
    assert answer.status == 403
    assert b"photos" not in answer.body


def test_localhost_is_this_host_too(server: Server) -> None:
    assert server.ask("api/state", Host=f"localhost:{server.port}").status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}"])
def test_a_foreign_origin_is_refused(server: Server, origin: str, collection: Path) -> None:
    origin = origin.format(port=server.port)
    photo = (collection / "rocket.jpg").read_bytes()
    assert server.ask("api/state", Origin=origin).status == 403
    assert server.ask("api/uploads", method="POST", body=photo, Origin=origin).status == 403


def test_a_post_that_does_not_name_its_origin_is_refused(server: Server) -> None:
    assert server.ask("api/uploads", method="POST", body=b"x", Origin="").status == 403


def test_every_answer_forbids_what_the_page_does_not_need(server: Server) -> None:
    photo = photos_of(server)[0]
    for path in ("", "static/main.js", "api/state", f"view/{photo['id']}/{photo['version']}"):
        headers = {name.lower(): value for name, value in server.ask(path).headers.items()}
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_only_indexed_photos_are_served(server: Server, collection: Path) -> None:
    photo = photos_of(server)[0]
    number, version = photo["id"], photo["version"]
    assert server.ask(f"view/{number}/{version}").status == 200
    assert server.ask(f"view/{number}/{'0' * 16}").status == 404
    assert server.ask(f"view/{10**6}/{version}").status == 404
    for path in (
        "static/../app.py",
        "static/..%2fapp.py",
        "static/%2e%2e%2fguard.py",
        "../../../../etc/passwd",
        "view/..%2f..%2f..%2fetc%2fpasswd/x",
        f"view/{collection}/coffee.jpg",
        f"thumbnail/{number}/..%2f..%2fetc",
        "static//etc/passwd",
    ):
        answer = server.ask(path)
        assert answer.status in (403, 404), path
        assert b"import" not in answer.body


def test_a_file_that_was_swapped_for_another_is_not_shown(
    tmp_path: Path, collection: Path, serve: Serve
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("link", "pipe", "other", "gone"):
        shutil.copy(collection / "coffee.jpg", photos / f"{name}.jpg")
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([photos])
    server = serve(tmp_path / "index")
    outside = tmp_path / "private.jpg"
    # As long as the one that was indexed, to be told by its content alone.
    outside.write_bytes((photos / "link.jpg").read_bytes()[:-2] + b"\0\0")
    for name in ("link", "pipe", "gone"):
        (photos / f"{name}.jpg").unlink()
    (photos / "link.jpg").symlink_to(outside)
    os.mkfifo(photos / "pipe.jpg")
    shutil.copy(collection / "china.jpg", photos / "other.jpg")
    for photo in photos_of(server):
        for kind in ("view", "thumbnail"):
            answer = server.ask(f"{kind}/{photo['id']}/{photo['version']}")
            assert answer.status == 422, photo["name"]
            assert set(answer.json()) == {"error"}


# --- what is put to it ---------------------------------------------------------------------------


def test_uploads_are_capped_in_bytes_and_pixels(server: Server) -> None:
    declared = server.ask("api/uploads", method="POST", **{"Content-Length": str(10**9)})
    assert declared.status == 413
    white = io.BytesIO()
    Image.new("L", (10_000, 9_000)).save(white, "PNG")
    assert len(white.getvalue()) < 1_000_000
    answer = server.ask("api/uploads", method="POST", body=white.getvalue())
    assert answer.status == 422
    assert "90 megapixels" in str(answer.json())


def test_an_upload_that_is_no_photo_is_told_so(server: Server) -> None:
    answer = server.ask("api/uploads", method="POST", body=b"no photo at all")
    assert (answer.status, answer.json()) == (
        422,
        {"error": "this file: not an image of a known format"},
    )
    assert server.ask("api/uploads", method="POST", body=b"").status == 422


def test_nonsense_is_refused_and_stops_nothing(server: Server) -> None:
    assert server.ask("api/photos?first=x").status == 400
    assert server.ask("api/similar?like=99999999").status == 404
    assert server.ask("api/similar?like=99999999999999999999999").status == 404
    assert server.ask("api/similar?like=x").status == 400
    assert server.ask("api/similar").status == 400
    assert server.ask("api/similar?upload=unknown").status == 404
    assert server.ask("api/uploads", method="GET").status == 405
    assert server.ask("api/state", method="DELETE").status == 405
    assert server.ask("api/nothing").status == 404
    assert server.ask("api/state").status == 200


# --- duplicates ----------------------------------------------------------------------------------


@pytest.fixture
def doubled(tmp_path: Path, collection: Path, serve: Serve) -> Server:
    """A server of three photos, one of them there three times and one of them twice."""
    photos = tmp_path / "photos"
    for place, name in (("a", "rocket"), ("a", "china"), ("a", "coffee"), ("b", "rocket")):
        (photos / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(collection / f"{name}.jpg", photos / place)
    for name in ("rocket", "coffee"):
        with Image.open(collection / f"{name}.jpg") as image:
            image.resize((320, 214)).save(photos / "b" / f"{name}-small.jpg")
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([photos])
    server = serve(tmp_path / "index", tmp_path / "plan.json")
    assert server.ask("api/duplicates").json()["search"] == 0
    assert server.ask("api/duplicates", method="POST").status == 200
    return searched(server)


def searched(server: Server) -> Server:
    end = time.monotonic() + 60
    while server.ask("api/duplicates").json()["is_running"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    return server


def post(server: Server, path: str, content: object) -> Answer:
    return server.ask(path, method="POST", body=json.dumps(content).encode())


def groups_of(server: Server) -> list[dict[str, list[dict[str, object]]]]:
    return server.ask("api/duplicates/groups").json()


def test_groups_of_duplicates_are_laid_side_by_side(doubled: Server) -> None:
    coffee, rocket = groups_of(doubled)
    assert [(p["name"], p["stays"], p["exact"]) for p in coffee["photos"]] == [
        ("coffee.jpg", True, None),
        ("coffee-small.jpg", False, False),
    ]
    assert [(p["name"], p["stays"], p["exact"]) for p in rocket["photos"]] == [
        ("rocket.jpg", True, None),
        ("rocket-small.jpg", False, False),
        ("rocket.jpg", False, True),
    ]
    state = doubled.ask("api/duplicates").json()
    assert (state["groups"], state["files"]) == (2, 3)
    assert state["bytes"] == sum(
        p["bytes"] for group in (coffee, rocket) for p in group["photos"] if not p["stays"]
    )


def test_what_is_decided_becomes_a_plan_and_no_file_is_touched(
    doubled: Server, tmp_path: Path
) -> None:
    before = {file: file.read_bytes() for file in (tmp_path / "photos").rglob("*.jpg")}
    coffee, rocket = groups_of(doubled)
    small = next(p for p in coffee["photos"] if p["name"] == "coffee-small.jpg")
    changed = post(doubled, "api/duplicates/1/0/stay", [small["id"]]).json()
    assert [p["stays"] for p in changed["photos"]] == [False, True]
    exact = next(p for p in rocket["photos"] if p["exact"])
    kept = next(p for p in rocket["photos"] if p["stays"])
    post(doubled, "api/duplicates/1/1/stay", [exact["id"], kept["id"]])
    told = doubled.ask("api/plan", method="POST").json()
    assert (told["path"], told["files"]) == (str(tmp_path / "plan.json"), 2)
    plan = read_plan(tmp_path / "plan.json")
    photos = tmp_path / "photos"
    assert {(g.keep.path, tuple(f.path for f in g.remove)) for g in plan.groups} == {
        (photos / "b" / "coffee-small.jpg", (photos / "a" / "coffee.jpg",)),
        (photos / "a" / "rocket.jpg", (photos / "b" / "rocket-small.jpg",)),
    }
    assert {file: file.read_bytes() for file in photos.rglob("*.jpg")} == before


def test_not_duplicates_is_remembered_and_can_be_taken_back(doubled: Server) -> None:
    assert post(doubled, "api/duplicates/1/0/not-duplicates", True).json()["not_duplicates"] is True
    assert doubled.ask("api/duplicates").json()["files"] == 2
    doubled.ask("api/duplicates", method="POST")
    (rocket,) = groups_of(searched(doubled))
    assert rocket["photos"][0]["name"] == "rocket.jpg"
    assert post(doubled, "api/duplicates/2/0/not-duplicates", True).status == 200
    assert doubled.ask("api/plan", method="POST").status == 422  # nothing is left to plan
    assert (
        post(doubled, "api/duplicates/2/0/not-duplicates", False).json()["not_duplicates"] is False
    )
    assert doubled.ask("api/plan", method="POST").json()["files"] == 2


def test_a_decision_that_makes_no_sense_is_refused(doubled: Server) -> None:
    assert "has to stay" in post(doubled, "api/duplicates/1/0/stay", []).json()["error"]
    assert "has to stay" in post(doubled, "api/duplicates/1/0/stay", [10**6]).json()["error"]
    assert "again meanwhile" in post(doubled, "api/duplicates/7/0/stay", [1]).json()["error"]
    assert post(doubled, "api/duplicates/1/99/stay", [1]).status == 422
    assert post(doubled, "api/duplicates/1/0/stay", "all").status == 400
    assert post(doubled, "api/duplicates/1/0/not-duplicates", "yes").status == 400
    assert doubled.ask("api/duplicates/1/0/stay", method="POST", body=b"{").status == 400
    assert doubled.ask("api/plan", method="POST", Origin="http://evil.example").status == 403


# --- thumbnails on disk --------------------------------------------------------------------------


def test_thumbnails_are_made_once(tmp_path: Path, collection: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(collection / "coffee.jpg", photos)
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([photos])
        (photo,) = index.photos()
        thumbnails = Thumbnails(tmp_path / "cache")
        first = thumbnails.tile(photo)
        assert max(Image.open(io.BytesIO(first)).size) == TILE_SIDE
        (kept,) = (tmp_path / "cache").rglob("*.jpg")
        kept.write_bytes(first[:1000])  # as a power failure leaves it
        assert thumbnails.tile(photo) == first
        assert kept.read_bytes() == first
        photo.path.unlink()  # an unplugged drive
        assert Thumbnails(tmp_path / "cache").tile(photo) == first
        with pytest.raises(PhotoError):
            thumbnails.view(photo)


def test_the_thumbnails_stay_below_their_cap(indexed: Path, tmp_path: Path) -> None:
    with ImageIndex.open(indexed) as index:
        photos = list(index.photos())
        sizes = [len(Thumbnails(tmp_path / "all").tile(photo)) for photo in photos]
        cap = sum(sizes) // 3
        thumbnails = Thumbnails(tmp_path / "some", cap)
        for photo in photos:
            thumbnails.tile(photo)
            assert sum(f.stat().st_size for f in (tmp_path / "some").rglob("*.jpg")) <= cap
        assert len(list((tmp_path / "some").rglob("*.jpg"))) > 1
        assert not list((tmp_path / "some").rglob("*.tmp"))


def test_a_cache_that_cannot_be_written_costs_no_picture(indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with ImageIndex.open(indexed) as index:
        photo = next(index.photos())
        assert Thumbnails(tmp_path / "file" / "cache").tile(photo).startswith(b"\xff\xd8")


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_told_to(indexed: Path, serve: Serve, sent: int) -> None:
    server = serve(indexed)
    assert server.ask("api/state").status == 200
    server.process.send_signal(sent)
    _, stderr = server.process.communicate(timeout=30)
    assert server.process.returncode == 0
    assert stderr.splitlines()[-1] == "stopped"


def test_a_port_in_use_is_told_in_one_line(run: Run, indexed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("browse", "--no-open", "--port", port, IMGSIM_EDGE_INDEX=str(indexed))
    assert done.status == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: cannot serve on port {port} (Address already in use): ")
    assert len(done.stderr.splitlines()) == 1


def test_without_the_extra_one_line_tells_how_to_install_it(indexed: Path) -> None:
    missing = "import sys; sys.modules['uvicorn'] = None; " + PROGRAM
    done = subprocess.run(
        [sys.executable, "-c", missing, "browse", "--index", str(indexed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: `imgsim-edge browse` needs uvicorn: pip install 'imgsim-edge[web]'\n"
    )
