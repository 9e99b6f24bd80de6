"""The HTTP API of `imgsim-edge serve`: what it answers, to whom, and how it bears a crowd."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import numpy as np
import pytest
from conftest import PROGRAM
from imgsim_edge.infer import ImageIndex

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stops servers by POSIX signals")

ROOT = Path(__file__).parents[2]
README = ROOT / "infer" / "web" / "service" / "README.md"
BENCHMARK = ROOT / "tests" / "benchmarks" / "serving.py"


@dataclass(frozen=True)
class Server:
    """A running `imgsim-edge serve`."""

    process: subprocess.Popen[str]
    port: int
    token: str

    def ask(
        self, path: str, body: Any = None, method: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Ask as a program does; a body that is no bytes goes as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        method = method or ("GET" if body is None else "POST")
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, f"/v1{path}", body, {k: v for k, v in sent.items() if v})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.headers["content-type"] == "application/json":
            return answer.status, json.loads(content)
        return answer.status, content

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)


def start(
    index: Path, folder: Path, *options: str, home: Path | None = None, program: str = PROGRAM
) -> Server:
    """Start `imgsim-edge serve`, its token in ``folder`` or at its default place in a ``home``."""
    token = folder / "token"
    named = [] if home else ["--token-file", str(token)]
    if home:
        token = home / ".local" / "share" / "imgsim-edge" / "token"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
    command = ["serve", "--port", "0", "--index", str(index), *named, *options]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**environment, "HOME": str(home or folder)},
    )
    assert process.stdout
    address = process.stdout.readline()
    if not address:
        raise AssertionError(process.communicate()[1])
    return Server(process, urlsplit(address).port or 0, token.read_text().strip())


@pytest.fixture(scope="module")
def server(indexed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for an index that is only read."""
    running = start(indexed, tmp_path_factory.mktemp("serve"), "--read-only")
    yield running
    running.stop()


@pytest.fixture
def writable(tmp_path: Path) -> Iterator[Server]:
    """One that has an index of its own, empty at first."""
    running = start(tmp_path / "index", tmp_path)
    yield running
    running.stop()


# --- answers -------------------------------------------------------------------------------------


def test_every_way_to_search_answers_as_the_index_does(
    server: Server, indexed: Path, collection: Path
) -> None:
    file = collection / "coffee.jpg"
    with ImageIndex.open(indexed) as index:
        photo = index.find(file)
        assert photo
        expected = [(m.id, str(m.path), m.score) for m in index.similar(file, 5)]
        outside = [(m.id, str(m.path), m.score) for m in index.similar(file.read_bytes(), 5)]
        vector = index.embed([file.read_bytes()])[0]
        by_vector = [(m.id, str(m.path), m.score) for m in index.similar(vector, 5)]

    def told(answer: tuple[int, Any]) -> list[tuple[int, str, float]]:
        assert answer[0] == 200, answer
        assert [m["rank"] for m in answer[1]["matches"]] == [1, 2, 3, 4, 5]
        return [(m["id"], m["path"], m["score"]) for m in answer[1]["matches"]]

    def same(given: list[tuple[int, str, float]], wanted: list[tuple[int, str, float]]) -> bool:
        scores = [one[2] for one in given], [one[2] for one in wanted]
        return [g[:2] for g in given] == [w[:2] for w in wanted] and np.allclose(*scores, atol=1e-5)

    assert same(told(server.ask(f"/similar?id={photo.id}&k=5")), expected)
    assert same(told(server.ask(f"/similar?{urlencode({'path': file, 'k': 5})}")), expected)
    assert same(told(server.ask("/similar?k=5", file.read_bytes())), outside)
    status, embedded = server.ask("/embed", file.read_bytes())
    assert status == 200
    assert np.allclose(embedded["vector"], vector, atol=1e-5)
    assert same(told(server.ask("/similar/vector?k=5", embedded)), by_vector)


def test_photos_are_described_by_number_and_by_path(
    server: Server, indexed: Path, collection: Path
) -> None:
    status, listed = server.ask("/photos?first=1&count=3")
    paths = sorted(map(str, collection.iterdir()))
    assert status == 200
    assert listed["total"] == len(paths)
    assert [photo["path"] for photo in listed["photos"]] == paths[1:4]
    photo = listed["photos"][0]
    assert server.ask(f"/photos/{photo['id']}") == (200, photo)
    assert server.ask(f"/photos/find?{urlencode({'path': photo['path']})}") == (200, photo)
    status, jpeg = server.ask(f"/photos/{photo['id']}/picture?side=64")
    assert (status, jpeg[:2]) == (200, b"\xff\xd8")
    with ImageIndex.open(indexed) as index:
        _, vectors = index.vectors([photo["id"]])
    status, told = server.ask(f"/photos/{photo['id']}/vector")
    assert np.allclose(told["vector"], vectors[0], atol=1e-6)


def test_items_come_back_with_their_payload(writable: Server, collection: Path) -> None:
    photo = (collection / "rocket.jpg").read_bytes()
    payload = {"camera": "door", "at": [1, 2]}
    path = f"/items/{quote('door 17 ü')}?{urlencode({'payload': json.dumps(payload)})}"
    status, item = writable.ask(path, photo, "PUT")
    assert status == 200, item
    assert (item["path"], item["payload"], item["is_item"]) == ("door 17 ü", payload, True)
    status, found = writable.ask("/similar?k=1", (collection / "rocket-crop.jpg").read_bytes())
    assert [(m["path"], m["payload"]) for m in found["matches"]] == [("door 17 ü", payload)]
    assert writable.ask(path.split("?")[0], method="DELETE") == (200, {"count": 1})
    assert writable.ask(path.split("?")[0])[0] == 404


def test_many_writers_at_once_lose_nothing(writable: Server) -> None:
    random = np.random.default_rng(0)

    def put(number: int) -> int:
        vector = random.standard_normal(64).tolist()
        body = {"vector": vector, "payload": number}
        return writable.ask(f"/items/v{number}/vector", body, "PUT")[0]

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(put, range(60))) == {200}
    assert writable.ask("/status")[1]["photos"] == 60
    assert all(writable.ask(f"/items/v{n}")[1]["payload"] == n for n in (0, 31, 59))


def test_a_file_of_an_indexed_folder_is_brought_up_to_date(
    collection: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(collection / "coffee.jpg", photos)
    with ImageIndex.create(tmp_path / "index") as index:
        index.add([photos])
    server = start(tmp_path / "index", tmp_path)
    try:
        new = photos / "new.jpg"
        shutil.copy(collection / "rocket.jpg", new)
        ask = f"/photos?{urlencode({'path': new})}"
        status, told = server.ask(ask, method="POST")
        assert (status, told["added"], told["photo"]["path"]) == (200, 1, str(new))
        new.unlink()
        assert server.ask(ask, method="POST")[1]["removed"] == 1
        (photos / "no.jpg").write_text("no photo")
        status, told = server.ask(
            f"/photos?{urlencode({'path': photos / 'no.jpg'})}", method="POST"
        )
        assert status == 422, told
        outside = f"/photos?{urlencode({'path': collection / 'rocket.jpg'})}"
        assert server.ask(outside, method="POST")[0] == 422
        assert server.ask(f"/photos?{urlencode({'path': collection})}", method="POST")[0] == 400
        assert server.ask("/status")[1]["photos"] == 1
    finally:
        server.stop()


# --- the description of it all -------------------------------------------------------------------


def test_the_openapi_document_leads_nowhere_else(server: Server) -> None:
    status, document = server.ask("/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    text = json.dumps(document)
    for name in re.findall(r'"#/components/(\w+/\w+)"', text):
        kind, key = name.split("/")
        assert key in document["components"][kind], name
    operations = [o for methods in document["paths"].values() for o in methods.values()]
    assert len({o["operationId"] for o in operations}) == len(operations)
    assert all(o["summary"].endswith(".") for o in operations)
    status, page = server.ask("/reference")
    assert status == 200
    assert not re.findall(rb'(?:src|href)="(?:https?:)?//', page)
    assert b"<script" not in page


def test_answers_are_of_the_documented_form(server: Server) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = server.ask("/openapi.json")[1]
    for path, methods in document["paths"].items():
        if "get" not in methods or "{name}" in path:
            continue
        wishes = {"/similar": "?id=1", "/photos/find": "?path=nowhere"}.get(path, "")
        status, answer = server.ask(path.replace("{id}", "1") + wishes)
        responses = methods["get"]["responses"]
        if status != 200:
            responses = document["components"]["responses"]
        content = responses[str(status)]["content"]
        if "application/json" in content:
            schema = {**content["application/json"]["schema"], "components": document["components"]}
            jsonschema.validate(answer, schema)


def test_every_endpoint_has_a_line_in_the_readme(server: Server) -> None:
    text = README.read_text()
    for path, methods in server.ask("/openapi.json")[1]["paths"].items():
        for method in methods:
            pattern = re.sub(r"\\{\w+\\}", r"[\\w.-]+", re.escape(path))
            lines = re.findall(rf"^.*\$URL{pattern}(?![\w/-]).*$", text, re.MULTILINE)
            assert method in {_method_of(line) for line in lines}, f"{method} {path}"


def _method_of(line: str) -> str:
    """Tell the method that curl uses."""
    said = re.search(r" -X (\w+) ", line)
    if said:
        return said[1].lower()
    if " -T " in line:
        return "put"
    is_sent = re.search(r" (-d|--data-\w+) ", line) and " -G " not in line
    return "post" if is_sent else "get"


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_the_lines_of_the_readme_work(collection: Path, tmp_path: Path) -> None:
    shutil.copytree(collection, tmp_path / "Pictures")
    index = tmp_path / ".local" / "share" / "imgsim-edge" / "index"
    with ImageIndex.create(index) as made:
        made.add([tmp_path / "Pictures"])
    server = start(index, tmp_path, home=tmp_path)
    try:
        blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
        assert len(blocks) > 5
        script = "".join(blocks).replace("127.0.0.1:8722", f"127.0.0.1:{server.port}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-500:] + done.stderr
        assert "error" not in done.stderr
        groups = [
            line for line in done.stdout.replace("}{", "}\n{").splitlines() if "copies" in line
        ]
        assert "again.jpg" in groups[-1]
    finally:
        server.stop()


# --- who may ask, and for how much ---------------------------------------------------------------


def test_only_the_health_is_told_without_the_token(server: Server) -> None:
    assert server.ask("/health", Authorization="") == (200, {"status": "ok"})
    for path in ("/status", "/photos/1", "/openapi.json", "/reference"):
        assert server.ask(path, Authorization="")[0] == 403, path
        assert server.ask(path, Authorization="Bearer wrong")[0] == 403, path
    assert server.ask("/health", b"x", Authorization="")[0] == 403  # a POST


def test_with_the_token_any_name_of_the_server_will_do(server: Server) -> None:
    assert server.ask("/status", Host="photos.example:80")[0] == 200
    assert server.ask("/status", Host="photos.example:80", Authorization="")[0] == 403


def test_the_token_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    server = start(tmp_path / "index", tmp_path)
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    server.stop()
    (tmp_path / "token").chmod(0o644)
    again = start(tmp_path / "index", tmp_path)
    assert again.token == server.token
    again.process.terminate()
    assert "chmod 600" in again.process.communicate(timeout=60)[1]


def test_a_server_that_only_shows_changes_nothing(server: Server, collection: Path) -> None:
    photo = (collection / "rocket.jpg").read_bytes()
    refused = [
        server.ask("/items/a", photo, "PUT"),
        server.ask("/items/a", method="DELETE"),
        server.ask("/labels/a/examples", {"yes": [1]}),
        server.ask("/not-duplicates", {"ids": [1, 2]}),
        server.ask("/photos?path=/a.jpg", method="POST"),
    ]
    assert {status for status, _ in refused} == {403}
    assert all("read-only" in told["error"] for _, told in refused)


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/similar", None, 400, "one photo"),
        ("/similar?id=1&path=a", None, 400, "one photo"),
        ("/similar?id=1&k=0", None, 400, "k"),
        ("/similar?id=1&K=5", None, 400, "K"),
        ("/similar?id=999999", None, 404, "999999"),
        ("/similar?path=/etc/passwd", None, 404, "/etc/passwd"),
        ("/similar?id=99999999999999999999999", None, 404, "number"),
        ("/similar", b"no photo", 422, "image"),
        ("/similar", b"", 422, "image"),
        ("/similar/vector", {"vector": [1, 2]}, 422, "64"),
        ("/similar/vector", {"vector": [0] * 64}, 422, "64"),
        ("/similar/vector", {"vector": ["a"]}, 400, "vector"),
        ("/similar/vector", b"{", 400, "JSON"),
        ("/labels/nothing/suggestions", None, 422, "nothing"),
        ("/photos?within=/nowhere", None, 404, "/nowhere"),
        ("/nothing", None, 404, "Not Found"),
        ("/status", b"x", 405, "Method"),
    ],
)
def test_nonsense_is_told_in_one_line(
    server: Server, path: str, body: Any, status: int, word: str
) -> None:
    given, told = server.ask(path, body)
    assert given == status, told
    assert word in told["error"]
    assert len(told["error"].splitlines()) == 1
    assert server.ask("/health")[0] == 200


def test_a_body_has_a_limit(server: Server) -> None:
    status, told = server.ask("/similar", b"\0" * 51_000_000)
    assert (status, "50 MB" in told["error"]) == (413, True)


def test_a_silent_connection_is_closed(indexed: Path, tmp_path: Path) -> None:
    hasty = f"import imgsim_edge.infer.web.server as s; s.HEADER_SECONDS = 0.3; {PROGRAM}"
    server = start(indexed, tmp_path, program=hasty)
    try:
        for words in (b"", b"GET /v1/health HT"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
                connection.sendall(words)
                assert connection.recv(100) == b""
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the memory is read from /proc")
def test_a_thousand_requests_at_once_are_all_answered(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "--requests", "1000", "--rounds", "3", "--json"]
    command += ["--kinds", "number"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["requests"], one["lost"]) for one in rounds] == [(1000, 0)] * 3
    assert rounds[-1]["memory"] < rounds[0]["memory"] + 20  # MB


def test_a_request_in_progress_is_finished_when_the_server_stops(
    indexed: Path, collection: Path, tmp_path: Path
) -> None:
    server = start(indexed, tmp_path)
    photo = (collection / "rocket.jpg").read_bytes()
    head = (
        f"POST /v1/similar?k=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode() + photo[:1000])
        assert server.ask("/health")[0] == 200  # so the other one has arrived
        server.process.send_signal(signal.SIGTERM)
        while _takes_connections(server.port):
            time.sleep(0.02)
        connection.sendall(photo[1000:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert "stopped" in server.process.communicate(timeout=60)[1]
    assert server.process.returncode == 0


def _takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True
