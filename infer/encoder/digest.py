"""The digest by which an encoder is known.

Two conversions of one network differ in their bytes (generated names, order of nodes), and one file
copied elsewhere does not. What identifies an encoder is what it computes: operators, attributes,
wiring, weights. What else a file may compute with (functions, data in other files) is refused by
:mod:`.model_check`. Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import hashlib

from ..errors import EncoderError
from .protobuf import Piece, fields

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_OPSETS = 7, 8
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_TENSOR_NAME, _TENSOR_DOC = 8, 12
_NAME = 1  # of ValueInfoProto and AttributeProto
_ATTRIBUTE_TENSOR = 5


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
    except KeyError as error:
        name = bytes(error.args[0]).decode("utf-8", "replace")
        raise EncoderError(f"nothing in it computes {name!r}") from error
    except (IndexError, ValueError, RecursionError, StopIteration) as error:
        raise EncoderError("it is no ONNX file, or cut short or damaged") from error


def _digest(model: memoryview) -> str:
    top = list(fields(model))
    graph = list(fields(next(value for number, value in top if number == _MODEL_GRAPH)))
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
        parts_of = list(fields(node))
        parts = [bytes(v) for n, v in parts_of if n in (_NODE_OP_TYPE, _NODE_DOMAIN)]
        parts += sorted(_attribute(v) for n, v in parts_of if n == _NODE_ATTRIBUTE)
        parts += [known[bytes(v)] if v else b"absent" for n, v in parts_of if n == _NODE_INPUT]
        digest = _hash(b"node", *parts)
        for position, name in enumerate(bytes(v) for n, v in parts_of if n == _NODE_OUTPUT):
            known[name] = _hash(digest, str(position).encode())

    names = [_first(v, _NAME) for n, v in graph if n == _GRAPH_OUTPUT]
    outputs = [known[name] for name in names]
    if len(names) > 1:  # which is which counts, their order does not
        outputs = [_hash(b"output", name, known[name]) for name in sorted(names)]
    opsets = sorted(bytes(v) for n, v in top if n == _MODEL_OPSETS)
    return _hash(b"model", *opsets, *outputs).hex()


def _attribute(attribute: Piece) -> bytes:
    """Return an attribute's bytes, less the generated name of a tensor inside it."""
    pieces = _without(attribute, _ATTRIBUTE_TENSOR)
    for number, value in fields(attribute):
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
    return bytes(next((value for n, value in fields(message) if n == number), b""))


def _without(message: Piece, *numbers: int) -> list[Piece]:
    """Return a message's bytes less some fields, in pieces: weights are too large to copy."""
    pieces: list[Piece] = []
    for number, value in fields(message):
        if number not in numbers:
            pieces.append(number.to_bytes(4, "little") + len(value).to_bytes(8, "little"))
            pieces.append(value)
    return pieces
