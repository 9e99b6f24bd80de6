"""The digest by which an encoder is known.

Two conversions of one network differ in their bytes (generated names, order of nodes), and one file
copied elsewhere does not. What identifies an encoder is what it computes: operators, attributes,
wiring, weights. This module reads just enough of ONNX's protobuf to hash that, so that the runtime
needs no `onnx` package. Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ..errors import EncoderError

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_OPSETS = 7, 8
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_TENSOR_NAME, _TENSOR_DOC = 8, 12
_NAME = 1  # of ValueInfoProto and AttributeProto
_ATTRIBUTE_TENSOR = 5

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types

Piece = bytes | memoryview
Field = tuple[int, Piece]


def graph_digest(model: bytes) -> str:
    """Hash what an ONNX model computes, regardless of names, node order and metadata.

    Args:
        model: the bytes of an ``.onnx`` file.

    Returns:
        32 hexadecimal digits (BLAKE2b, 128 bits).

    Raises:
        EncoderError: the bytes are no ONNX model.
    """
    try:
        return _digest(memoryview(model))
    except (IndexError, KeyError, ValueError, RecursionError) as error:
        raise EncoderError(f"no ONNX model: {error}") from error


def _digest(model: memoryview) -> str:
    top = list(_fields(model))
    graph = list(_fields(next(value for number, value in top if number == _MODEL_GRAPH)))
    known: dict[bytes, bytes] = {}  # a tensor's name → digest of all that it is computed from

    for position, value in enumerate(v for n, v in graph if n == _GRAPH_INPUT):
        known[_first(value, _NAME)] = _hash(
            b"input", str(position).encode(), _without(value, _NAME)
        )
    for value in (v for n, v in graph if n == _GRAPH_INITIALIZER):
        known[_first(value, _TENSOR_NAME)] = _hash(
            b"weights", _without(value, _TENSOR_NAME, _TENSOR_DOC)
        )
    # ONNX requires nodes in an order in which every input is known already.
    for node in (v for n, v in graph if n == _GRAPH_NODE):
        fields = list(_fields(node))
        parts = [bytes(v) for n, v in fields if n in (_NODE_OP_TYPE, _NODE_DOMAIN)]
        parts += sorted(_attribute(v) for n, v in fields if n == _NODE_ATTRIBUTE)
        parts += [known[bytes(v)] if v else b"absent" for n, v in fields if n == _NODE_INPUT]
        digest = _hash(b"node", *parts)
        for position, name in enumerate(bytes(v) for n, v in fields if n == _NODE_OUTPUT):
            known[name] = _hash(digest, str(position).encode())

    outputs = [known[_first(v, _NAME)] for n, v in graph if n == _GRAPH_OUTPUT]
    opsets = sorted(bytes(v) for n, v in top if n == _MODEL_OPSETS)
    return _hash(b"model", *opsets, *outputs).hex()


def _attribute(attribute: Piece) -> bytes:
    """Return an attribute's bytes, less the generated name of a tensor inside it."""
    pieces = _without(attribute, _ATTRIBUTE_TENSOR)
    for number, value in _fields(attribute):
        if number == _ATTRIBUTE_TENSOR:
            pieces += _without(value, _TENSOR_NAME, _TENSOR_DOC)
    return b"".join(pieces)


def _hash(*parts: bytes | list[Piece]) -> bytes:
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        pieces = part if isinstance(part, list) else [part]
        hasher.update(sum(map(len, pieces)).to_bytes(8, "little"))
        for piece in pieces:
            hasher.update(piece)
    return hasher.digest()


def _first(message: Piece, number: int) -> bytes:
    return bytes(next((value for n, value in _fields(message) if n == number), b""))


def _without(message: Piece, *numbers: int) -> list[Piece]:
    """Return a message's bytes less some fields, in pieces: weights are too large to copy."""
    pieces: list[Piece] = []
    for number, value in _fields(message):
        if number not in numbers:
            pieces.append(number.to_bytes(4, "little") + len(value).to_bytes(8, "little"))
            pieces.append(value)
    return pieces


def _fields(message: Piece) -> Iterator[Field]:
    """Yield (field number, value's bytes) of a protobuf message, in the file's order."""
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
