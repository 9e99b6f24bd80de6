"""Making a damaged or hostile file of a good one, the same one for the same random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

MOST_CHANGES = 6
LONGEST_BLOCK = 256  # bytes that are moved, doubled or dropped at once
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_TOKENS = (  # for files that are text
    b"0", b"-1", b"9" * 30, b"1e999", b"NaN", b"null", b"true", b'""', b"[]", b"{}",
    b"\\ud800", b"\\u0000", b"\0", b"\xff", b"\xed\xa0\x80", b"../", b"/", b"\n", b"\r\n", b",",
    b"**/" * 30, b"[" * 100_000, b'{"a":' * 5_000, b"<" * 100, b"&#x0;", b'"', b"\x1b[2J",
)  # fmt: skip


def mutated(random: Random, content: bytes, others: Sequence[bytes] = (), *, text: bool) -> bytes:
    """Change a file in one to ``MOST_CHANGES`` places.

    Args:
        random: decides what and where.
        content: of a good file.
        others: good files of the same kind, whose parts may be mixed in.
        text: whether tokens of text are put in as well.
    """
    data = bytearray(content)
    ways = [_flip, _flip, _set, _number, _number, _drop, _double, _noise, _move, _cut]
    if text:
        ways += [_token] * 6
    for _ in range(random.randint(1, MOST_CHANGES)):
        if others and random.random() < 0.1:
            _graft(random, data, random.choice(others))
        else:
            random.choice(ways)(random, data)
    return bytes(data)


def _place(random: Random, data: bytearray) -> int:
    # Headers decide more than pixels do.
    end = len(data) if random.random() < 0.6 else min(len(data), 512)
    return random.randrange(end) if end else 0


def _block(random: Random, data: bytearray) -> tuple[int, int]:
    start = _place(random, data)
    return start, min(len(data), start + random.randint(1, LONGEST_BLOCK))


def _flip(random: Random, data: bytearray) -> None:
    if data:
        data[_place(random, data)] ^= 1 << random.randrange(8)


def _set(random: Random, data: bytearray) -> None:
    if data:
        data[_place(random, data)] = random.randrange(256)


def _number(random: Random, data: bytearray) -> None:
    size = random.choice((1, 2, 4, 8))
    value = random.choice(_NUMBERS) & ((1 << 8 * size) - 1)
    start = _place(random, data)
    data[start : start + size] = value.to_bytes(size, random.choice(("little", "big")))


def _drop(random: Random, data: bytearray) -> None:
    start, end = _block(random, data)
    del data[start:end]


def _double(random: Random, data: bytearray) -> None:
    start, end = _block(random, data)
    data[end:end] = data[start:end] * random.choice((1, 1, 2, 50))


def _noise(random: Random, data: bytearray) -> None:
    start, end = _block(random, data)
    data[start:end] = random.randbytes(end - start)


def _move(random: Random, data: bytearray) -> None:
    start, end = _block(random, data)
    piece = data[start:end]
    del data[start:end]
    place = _place(random, data)
    data[place:place] = piece


def _cut(random: Random, data: bytearray) -> None:
    if random.random() < 0.3:
        del data[_place(random, data) :]


def _graft(random: Random, data: bytearray, other: bytes) -> None:
    start = random.randrange(len(other)) if other else 0
    piece = other[start : start + random.randint(1, 4 * LONGEST_BLOCK)]
    place = _place(random, data)
    data[place : place + random.choice((0, len(piece)))] = piece


def _token(random: Random, data: bytearray) -> None:
    place = _place(random, data)
    end = place
    if random.random() < 0.7:  # in place of a whole word or number
        while end < len(data) and chr(data[end]).isalnum():
            end += 1
        while place and chr(data[place - 1]).isalnum():
            place -= 1
    data[place:end] = random.choice(_TOKENS)
