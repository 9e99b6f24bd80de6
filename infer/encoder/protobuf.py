"""Just enough of protobuf's wire format to read an ONNX file without the `onnx` package.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types

Piece = bytes | memoryview
Field = tuple[int, Piece]


def fields(message: Piece) -> Iterator[Field]:
    """Yield (field number, value's bytes) of a message, in the file's order.

    A number is given as the ten bytes of its 64 bits and more, little-endian.

    Raises:
        ValueError, IndexError: the bytes are no message.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value.to_bytes(10, "little")
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire}")
        if at + length > end:
            raise ValueError("cut short")
        yield number, message[at : at + length]
        at += length


def packed_numbers(value: Piece, *, one: bool = False) -> list[int]:
    """Read the signed whole numbers in the value of a repeated field, packed or single.

    Args:
        value: as :func:`fields` gives it.
        one: it is a single number for certain.
    """
    if one or (len(value) == 10 and not any(value[8:])):
        # A single number; ten bytes of packed numbers that end with two zeros read as one that is
        # too large, which is the safe side.
        return [int.from_bytes(value[:8], "little", signed=True)]
    numbers, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        numbers.append(number - (1 << 64) if number >> 63 else number)
    return numbers


def _varint(message: Piece, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
