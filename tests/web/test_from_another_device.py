"""The page as another device of the network meets it: the server and the visitor have each a
network namespace of their own, with a cable between them.

Skipped where the system does not let this user make namespaces.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import PROGRAM
from imgsim_edge.infer import ImageIndex

HERE, THERE = "10.7.0.1", "10.7.0.2"
CABLE = f"""set -e
mount -t tmpfs none /run
mkdir /run/netns
ip netns add visitor
ip link add here type veth peer name there netns visitor
ip link set lo up
ip addr add {HERE}/24 dev here
ip link set here up
ip -n visitor addr add {THERE}/24 dev there
ip -n visitor link set there up
"""
# The server's output begins with its link, all other lines are the visitor's answers.
BOTH = f"""{CABLE}
"$1" -c "$2" browse --no-open --host {HERE} --index "$3" 2>/dev/null &
trap "kill $!" EXIT
ip netns exec visitor "$1" -c "$4"
"""
VISITOR = f"""
import http.client, json, sys
for line in sys.stdin:
    port, method, path, headers = json.loads(line)
    connection = http.client.HTTPConnection("{HERE}", port, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode("latin-1")
    print(json.dumps([answer.status, answer.getheader("Set-Cookie", ""), body]), flush=True)
"""
NAMESPACES = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-c"]


def why_not() -> str:
    """Say why there are no namespaces to be had; empty where there are."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return "needs unshare (util-linux) and ip (iproute2)"
    tried = subprocess.run([*NAMESPACES, f"{CABLE}ip netns exec visitor true"], capture_output=True)
    said = tried.stderr.decode(errors="replace").strip().splitlines()
    return f"no namespaces here: {said[-1] if said else tried.returncode}" * bool(tried.returncode)


@dataclass(frozen=True)
class Visitor:
    """Somebody at another device."""

    process: subprocess.Popen[str]
    link: str

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        """Send a request; gives status, cookie and body of the answer."""
        assert self.process.stdin
        assert self.process.stdout
        port = urlsplit(self.link).port
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        print(json.dumps([port, method, path, named]), file=self.process.stdin, flush=True)
        status, cookie, body = json.loads(self.process.stdout.readline())
        return status, cookie.split(";")[0], body

    def status(self, path: str, method: str = "GET", **headers: str) -> int:
        return self.ask(path, method, **headers)[0]


@pytest.fixture(scope="module")
def visitor(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    home = tmp_path_factory.mktemp("home")
    index = home / "index"
    (home / "photos").mkdir()
    shutil.copy(collection / "coffee.jpg", home / "photos")
    with ImageIndex.create(index) as made:
        made.add([home / "photos"])
    process = subprocess.Popen(
        [*NAMESPACES, BOTH, "sh", sys.executable, PROGRAM, str(index), VISITOR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(home), "HOME": str(home)},
    )
    assert process.stdout
    yield Visitor(process, process.stdout.readline().strip())
    process.communicate(timeout=30)


@pytest.fixture(scope="module")
def cookie(visitor: Visitor) -> str:
    """What the visitor's browser is given for the link."""
    assert visitor.link.startswith(f"http://{HERE}:")
    status, cookie, _ = visitor.ask(urlsplit(visitor.link).path)
    assert status == 200
    return cookie


def test_the_link_opens_the_page_from_another_device(visitor: Visitor, cookie: str) -> None:
    assert visitor.status("/", Cookie=cookie) == 200
    status, _, body = visitor.ask("/api/photos", Cookie=cookie)
    (photo,) = json.loads(body)["photos"]
    assert (status, photo["name"]) == (200, "coffee.jpg")
    thumbnail = f"/thumbnail/{photo['id']}/{photo['version']}"
    assert visitor.status(thumbnail, Cookie=cookie) == 200
    assert visitor.status(thumbnail) == 403  # without the cookie
    secret = urlsplit(visitor.link).path.strip("/")
    assert visitor.status("/api/state", Authorization=f"Bearer {secret}") == 200


@pytest.mark.parametrize("path", ["/", "/api/state", "/api/photos", "/static/main.js"])
def test_without_the_secret_or_with_a_wrong_one_nothing_is_shown(
    visitor: Visitor, cookie: str, path: str
) -> None:
    assert visitor.status(path) == 403
    assert visitor.status(path, Cookie=f"{cookie[:-1]}{'0' if cookie[-1] != '0' else '1'}") == 403
    assert visitor.status(path, Authorization=f"Bearer {'x' * 32}") == 403
    assert visitor.status(f"/{'x' * 32}{path}") == 403


def test_another_name_and_another_origin_are_refused(visitor: Visitor, cookie: str) -> None:
    port = urlsplit(visitor.link).port
    ours, theirs = f"http://{HERE}:{port}", "http://evil.example"
    path = "/api/paths"
    assert visitor.status("/api/state", Host=f"evil.example:{port}", Cookie=cookie) == 403
    assert visitor.status("/api/state", Host=f"{THERE}:{port}", Cookie=cookie) == 403
    assert visitor.status("/api/state", Origin=theirs, Cookie=cookie) == 403
    assert visitor.status(path, "POST", Origin=theirs, Cookie=cookie) == 403
    assert visitor.status(path, "POST", Cookie=cookie) == 403
    assert visitor.status(path, "POST", Origin=ours, Cookie=cookie) == 400  # heard, and no list


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/original/..%2f..%2fetc%2fpasswd/0",
        "/original/1/0000000000000000",
        "/view/9999/0000000000000000",
        "/archive/..%2f..%2fetc%2fpasswd",
    ],
)
def test_what_is_not_indexed_cannot_be_asked_for(visitor: Visitor, cookie: str, path: str) -> None:
    status, _, body = visitor.ask(path, Cookie=cookie)
    assert status == 404
    assert "root:" not in body
    assert "import" not in body
