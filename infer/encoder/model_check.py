"""What a model file may hold, looked at as data before a runtime is given it.

A model is close to a program: it can loop, call its own functions, ask for any amount of memory and
name other files. An encoder needs none of that. What is read here is what the runtime will read:
protobuf takes the last of several values and merges several messages, so a field that may stand
once has to stand once. Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..errors import EncoderError
from .protobuf import Piece, fields, packed_numbers

# What MobileNets (v1 to v3), their quantised forms and pooled and normalised outputs are made of.
# Of them Pad alone gives more numbers than its inputs have, as long as weights are not multiplied
# with each other; what that would take is bounded where the model runs.
OPERATORS = frozenset(
    {
        "Abs",
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "DequantizeLinear",
        "Div",
        "Exp",
        "Flatten",
        "Gather",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "LpNormalization",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mul",
        "Neg",
        "PRelu",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "Reciprocal",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Reshape",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Transpose",
        "Unsqueeze",
    }
)
MAX_BYTES = 1 << 29  # of a model file
MAX_NODES = 10_000
MAX_ELEMENTS = 1 << 27  # of one weight tensor
MAX_ATTRIBUTE = 1 << 16  # of a number among pads, strides, kernel sizes, axes
MAX_PADDING = 1024  # pixels that Pad may add on one side

_STANDARD_DOMAINS = (b"", b"ai.onnx")
_EXTERNAL = 1  # TensorProto.DataLocation
_INT64 = 7  # TensorProto.DataType

# The messages of onnx.proto as far as a plain model has them: field number → (name, kind). A kind
# in capitals is a message; "text" is UTF-8; a star marks what may stand more than once.
_Layout = dict[int, tuple[str, str]]
_LAYOUT: dict[str, _Layout] = {
    "Model": {
        1: ("ir_version", "number"),
        2: ("producer_name", "text"),
        3: ("producer_version", "text"),
        4: ("domain", "text"),
        5: ("model_version", "number"),
        6: ("doc_string", "text"),
        7: ("graph", "Graph"),
        8: ("opset_import", "*Opset"),
        14: ("metadata_props", "*Entry"),
        20: ("training_info", "refused"),
        25: ("functions", "refused"),
    },
    "Opset": {1: ("domain", "text"), 2: ("version", "number")},
    "Entry": {1: ("key", "text"), 2: ("value", "text")},
    "Graph": {
        1: ("node", "*Node"),
        2: ("name", "text"),
        5: ("initializer", "*Tensor"),
        10: ("doc_string", "text"),
        11: ("input", "*Value"),
        12: ("output", "*Value"),
        13: ("value_info", "*Value"),
        14: ("quantization_annotation", "refused"),
        15: ("sparse_initializer", "refused"),
        16: ("metadata_props", "*Entry"),
    },
    "Node": {
        1: ("input", "*text"),
        2: ("output", "*text"),
        3: ("name", "text"),
        4: ("op_type", "text"),
        5: ("attribute", "*Attribute"),
        6: ("doc_string", "text"),
        7: ("domain", "text"),
        8: ("overload", "text"),
        9: ("metadata_props", "*Entry"),
    },
    "Attribute": {
        1: ("name", "text"),
        2: ("f", "number"),
        3: ("i", "number"),
        4: ("s", "bytes"),
        5: ("t", "Tensor"),
        6: ("a graph of its own", "refused"),
        7: ("floats", "*number"),
        8: ("ints", "*number"),
        9: ("strings", "*bytes"),
        10: ("tensors", "*Tensor"),
        11: ("a graph of its own", "refused"),
        13: ("doc_string", "text"),
        14: ("a type", "refused"),
        15: ("types", "refused"),
        20: ("type", "number"),
        21: ("a reference to a function", "refused"),
        22: ("a sparse tensor", "refused"),
        23: ("a sparse tensor", "refused"),
    },
    "Tensor": {
        1: ("dims", "*number"),
        2: ("data_type", "number"),
        3: ("segment", "refused"),
        4: ("float_data", "*number"),
        5: ("int32_data", "*number"),
        6: ("string_data", "refused"),
        7: ("int64_data", "*number"),
        8: ("name", "text"),
        9: ("raw_data", "bytes"),
        10: ("double_data", "*number"),
        11: ("uint64_data", "*number"),
        12: ("doc_string", "text"),
        13: ("data in another file", "refused"),
        14: ("data_location", "number"),
        16: ("metadata_props", "*Entry"),
    },
    "Value": {
        1: ("name", "text"),
        2: ("type", "Type"),
        3: ("doc_string", "text"),
        4: ("metadata_props", "*Entry"),
    },
    "Type": {
        1: ("tensor_type", "TensorType"),
        4: ("a sequence", "refused"),
        5: ("a map", "refused"),
        6: ("denotation", "text"),
        8: ("a sparse tensor", "refused"),
        9: ("an optional value", "refused"),
    },
    "TensorType": {1: ("elem_type", "number"), 2: ("shape", "Shape")},
    "Shape": {1: ("dim", "*Dimension")},
    "Dimension": {
        1: ("dim_value", "number"),
        2: ("dim_param", "text"),
        3: ("denotation", "text"),
    },
}
_SPOKEN = {
    "functions": "functions of its own",
    "sparse_initializer": "sparse weights",
    "training_info": "a training graph",
    "quantization_annotation": "quantisation annotations",
    "segment": "weights in segments",
    "string_data": "text among its weights",
}


def check_model(model: bytes) -> None:
    """Make sure that a model file holds no more than an encoder needs.

    Args:
        model: the bytes of an ``.onnx`` file.

    Raises:
        EncoderError: it does, or the bytes are no ONNX model. The text is a reason, without the
            file's name.
    """
    if not model:
        raise EncoderError("the file is empty")
    if len(model) > MAX_BYTES:
        raise EncoderError(f"it has more than {MAX_BYTES >> 20} MiB")
    try:
        graph = _graph(memoryview(model))
    except (IndexError, ValueError, RecursionError) as error:
        raise EncoderError("it is no ONNX file, or cut short or damaged") from error
    _check_nodes(graph)


def _graph(model: memoryview) -> list[tuple[int, Piece]]:
    _check_message("Model", model)
    graphs = [value for number, value in fields(model) if number == 7]
    if len(graphs) != 1:
        raise EncoderError("it is no ONNX file, or cut short or damaged")
    return list(fields(graphs[0]))


def _check_message(kind: str, message: Piece) -> None:
    layout, seen = _LAYOUT[kind], set()
    for number, value in fields(message):
        name, what = layout.get(number, ("", ""))
        if not name:
            raise EncoderError(f"it holds a field that is not known here ({kind} {number})")
        if what == "refused":
            raise EncoderError(f"it holds {_SPOKEN.get(name, name)}, which no encoder needs")
        if not what.startswith("*"):
            if number in seen:
                raise EncoderError(f"its {name} is there twice")
            seen.add(number)
        what = what.removeprefix("*")
        if what == "text":
            _text(name, value)
        elif what[0].isupper():
            _check_message(what, value)
    if kind == "Tensor":
        _check_tensor(message)


def _text(name: str, value: Piece) -> None:
    try:
        str(bytes(value), "utf-8")
    except UnicodeDecodeError as error:
        raise EncoderError(f"a text in it is not UTF-8 ({name}): it is damaged") from error


def _check_tensor(tensor: Piece) -> None:
    elements = 1
    for number, value in fields(tensor):
        if number == 14 and int.from_bytes(value, "little") == _EXTERNAL:
            raise EncoderError("it holds data in another file, which no encoder needs")
        if number == 1:
            for extent in packed_numbers(value):
                elements *= extent
    if not 0 <= elements <= MAX_ELEMENTS:
        raise EncoderError(f"a weight in it has an impossible shape ({elements} numbers)")


def _check_nodes(graph: list[tuple[int, Piece]]) -> None:
    nodes = [list(fields(value)) for number, value in graph if number == 1]
    if len(nodes) > MAX_NODES:
        raise EncoderError(f"it has more than {MAX_NODES:,} operators")
    weights = {_one(value, 8): value for number, value in graph if number == 5}
    for node in nodes:
        named = {number: bytes(value) for number, value in node if number in (4, 7)}
        operator, domain = named.get(4, b"").decode(), named.get(7, b"")
        if domain not in _STANDARD_DOMAINS:
            raise EncoderError(
                f"its operator {operator!r} is of the domain {domain.decode()!r}, not of ONNX's own"
            )
        if operator not in OPERATORS:
            raise EncoderError(f"it has the operator {operator!r}, which no encoder needs")
        attributes = [value for number, value in node if number == 5]
        if operator == "Constant":
            for output in (bytes(value) for number, value in node if number == 2):
                for attribute in attributes:
                    weights[output] = next(_values(attribute, 5), b"")
        else:
            for attribute in attributes:
                _check_numbers(operator, attribute)
        if operator == "Pad":
            inputs = [bytes(value) for number, value in node if number == 1]
            _check_padding(weights.get(inputs[1]) if len(inputs) > 1 else None)


def _check_numbers(operator: str, attribute: Piece) -> None:
    name = _one(attribute, 1)
    for number, value in fields(attribute):
        if number in (3, 8) and any(
            abs(n) > MAX_ATTRIBUTE for n in packed_numbers(value, one=number == 3)
        ):
            raise EncoderError(f"its {operator} has an impossible {name.decode()}")


def _check_padding(tensor: Piece | None) -> None:
    """Make sure that the amounts of a Pad are written in the file, and small."""
    if tensor is not None:
        kinds = [int.from_bytes(v, "little") for n, v in fields(tensor) if n == 2]
        raw = b"".join(bytes(v) for n, v in fields(tensor) if n == 9)
        amounts = [n for number, v in fields(tensor) if number == 7 for n in packed_numbers(v)]
        edges = range(0, len(raw) + 1, 8)
        amounts += [int.from_bytes(raw[a:b], "little", signed=True) for a, b in pairwise(edges)]
        if kinds == [_INT64] and amounts and all(0 <= n <= MAX_PADDING for n in amounts):
            return
    raise EncoderError(f"its Pad must add a fixed 0 to {MAX_PADDING} pixels")


def _one(message: Piece, number: int) -> bytes:
    return bytes(next(_values(message, number), b""))


def _values(message: Piece, number: int) -> Iterator[Piece]:
    return (value for n, value in fields(message) if n == number)
