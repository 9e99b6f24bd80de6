"""Many requests at once to `imgsim-edge serve`: are all answered, how soon, with what memory?

Starts a server with an index of a few photos and opens as many connections at once as there are
requests, all within this machine: a round of searches by number, one of searches by a photo that is
sent, and so on. A request that is not answered with status 200 is lost, and ends the benchmark with
status 1. Linux only, since it reads /proc.

    python tests/benchmarks/serving.py --requests 1000 --rounds 6
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from imgsim_edge.infer import ImageIndex

PROGRAM = "import sys; from imgsim_edge.infer.cli import main; sys.exit(main())"
PHOTOS = Path(__file__).parents[1] / "photos"
OK = b"HTTP/1.1 200 "


@dataclass(frozen=True)
class Round:
    """What became of the requests of one round."""

    kind: str
    requests: int
    lost: int
    seconds: float  # until the last answer
    median: float  # seconds of one request
    slowest: float
    memory: float  # of the server after it, in MB


async def ask(port: int, request: bytes, photo: bytes) -> tuple[bool, float]:
    """Send one request: whether it was answered well, and how many seconds that took."""
    start = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request + photo)
        answer = await reader.read()
        writer.close()
    except OSError:
        return False, 0.0
    return answer.startswith(OK), time.perf_counter() - start


async def storm(port: int, token: str, count: int, photo: bytes) -> list[tuple[bool, float]]:
    """Send requests at once: by number, or by a photo where one is given."""
    method = "POST /v1/similar?k=5" if photo else "GET /v1/similar?id=3&k=5"
    request = (
        f"{method} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {len(photo)}\r\nConnection: close\r\n\r\n"
    ).encode()
    return await asyncio.gather(*(ask(port, request, photo) for _ in range(count)))


def memory(process: int) -> float:
    """Read a process's resident memory, in MB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise SystemExit("the server has stopped")


def measure(arguments: argparse.Namespace, folder: Path) -> list[Round]:
    """Start a server and put the rounds to it."""
    with ImageIndex.create(folder / "index") as index:
        index.add([PHOTOS])
    token = folder / "token"
    command = ["serve", "--port", "0", "--index", str(folder / "index"), "--token-file", str(token)]
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(folder)},
    )
    assert server.stdout
    try:
        port = urlsplit(server.stdout.readline()).port or 0
        rounds = []
        photo = (PHOTOS / "rocket.jpg").read_bytes()
        for number in range(arguments.rounds):
            sent = photo if arguments.kinds[number % len(arguments.kinds)] == "photo" else b""
            start = time.perf_counter()
            storms = storm(port, token.read_text().strip(), arguments.requests, sent)
            answers = asyncio.run(storms)
            seconds = time.perf_counter() - start
            taken = [seconds for _, seconds in answers]
            rounds.append(
                Round(
                    "photo" if sent else "number",
                    len(answers),
                    sum(not answered for answered, _ in answers),
                    seconds,
                    statistics.median(taken),
                    max(taken),
                    memory(server.pid),
                )
            )
    finally:
        server.terminate()
        server.wait(60)
    return rounds


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000, help="at once")
    parser.add_argument("--rounds", type=int, default=6)
    kinds = ("number", "photo")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds, help="of the rounds")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rounds = measure(arguments, Path(folder))
    for number, one in enumerate(rounds, start=1):
        if arguments.json:
            print(json.dumps(asdict(one)))
        else:
            print(
                f"round {number}, by {one.kind:<6}: {one.requests - one.lost} of {one.requests} "
                f"answered in {one.seconds:.1f} s, each in {one.median:.2f} s (median; slowest "
                f"{one.slowest:.2f}); memory {one.memory:.0f} MB"
            )
    if any(one.lost for one in rounds):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
