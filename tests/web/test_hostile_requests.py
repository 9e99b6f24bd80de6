"""Requests that no browser sends: the server refuses them, and goes on answering the others."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from mutate import mutated
from test_page_server import Serve, Server, serve  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stops servers by POSIX signals")

REQUESTS = 150  # of each seed
NEW_SEED = random.SystemRandom().randrange(10**6)


@pytest.fixture(scope="module")
def server(indexed: Path, serve: Serve) -> Iterator[Server]:  # noqa: F811
    """A server of its own, of which nothing may be heard but its address."""
    started = serve(indexed)
    yield started
    started.process.terminate()
    _, said = started.process.communicate(timeout=30)
    assert "Traceback" not in said
    assert "rror" not in said


def sent(server: Server, request: bytes, wait: float = 5.0) -> bytes:
    """Send bytes, and give what comes back until the server closes or says nothing for a while."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as connection:
        answer = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 16):
                answer += part
        except OSError:  # the server has closed, or waits for more
            pass
        return answer


def originals(server: Server) -> list[bytes]:
    host = f"127.0.0.1:{server.port}"
    who = f"Host: {host}\r\nCookie: {server.cookie}\r\nConnection: close\r\n"
    own = f"{who}Origin: http://{host}\r\n"
    body = (
        '--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
        "\xff\xd8\xff\r\n--b--\r\n"
    )
    return [
        f"GET /api/photos?start=0&count=5 HTTP/1.1\r\n{who}\r\n".encode(),
        f"GET /api/photos/1/picture?side=320 HTTP/1.1\r\n{who}Range: bytes=0-9\r\n\r\n".encode(),
        f"GET /{server.link[1:]} HTTP/1.1\r\n{who}\r\n".encode(),
        f"POST /api/uploads?name=a.jpg HTTP/1.1\r\n{own}Content-Length: 3\r\n\r\nabc".encode(),
        f"POST /api/uploads?name=a.jpg HTTP/1.1\r\n{own}Transfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\n".encode(),
        f"POST /api/uploads?name=a HTTP/1.1\r\n{own}Content-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\n\r\n{body}".encode("latin-1"),
        f'POST /api/search HTTP/1.1\r\n{own}Content-Length: 9\r\n\r\n{{"ids":[]'.encode(),
    ]


def status(connection: socket.socket) -> bytes:
    """Read the status of an answer; nothing where the connection was refused."""
    try:
        return connection.recv(12)[9:12]
    except OSError:
        return b""


@pytest.mark.parametrize("seed", [1, NEW_SEED], ids=["fixed", "new"])
def test_no_damaged_request_is_an_error_of_the_server(server: Server, seed: int) -> None:
    chance, good = random.Random(seed), originals(server)
    answered = 0
    for number in range(REQUESTS):
        request = mutated(chance, chance.choice(good), good, text=True)
        answer = sent(server, request, wait=2.0)
        if answer:
            answered += 1
            told = answer.split(b"\r\n")[0].split(b" ")[1]
            assert told < b"500", f"seed {seed}, request {number}: {request!r}: {answer[:200]!r}"
    assert answered > REQUESTS // 2
    assert server.ask("api/photos").status == 200


def test_those_who_send_slowly_keep_nobody_waiting(server: Server) -> None:
    with ExitStack() as held:
        for _ in range(60):
            slow = held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            slow.sendall(b"POST /api/uploads?name=a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
        assert server.ask("api/photos").status == 200
    assert server.ask("api/photos").status == 200


@pytest.mark.parametrize("said", [b"Content-Length: 1000000", b"Content-Length: 2"])
def test_an_upload_of_another_size_than_it_says_stops_nothing(server: Server, said: bytes) -> None:
    head = originals(server)[3].split(b"Content-Length")[0]
    answer = sent(server, head + said + b"\r\n\r\n" + b"x" * 5000)
    assert not answer.startswith(b"HTTP/1.1 5")
    assert server.ask("api/photos").status == 200


def test_a_thousand_requests_at_once_are_answered_or_refused(server: Server) -> None:
    request = originals(server)[0]
    with ExitStack() as held:
        waiting = []
        for _ in range(1000):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            waiting.append(held.enter_context(connection))
            connection.sendall(request)
        statuses = {status(connection) for connection in waiting}
    assert statuses <= {b"200", b"503", b""}
    assert b"200" in statuses
    assert server.ask("api/photos").status == 200
