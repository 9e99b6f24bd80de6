"""A model file is looked at as data first: what no encoder needs is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.encoder.digest import graph_digest
from imgsim_edge.infer.encoder.model_check import check_model
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.errors import EncoderError
from onnx import TensorProto, helper, numpy_helper
from tiny import tiny_encoder

Change = Callable[[onnx.ModelProto], None]


def changed(change: Change) -> bytes:
    model = onnx.load_from_string(tiny_encoder())
    change(model)
    return bytes(model.SerializeToString())


def with_external_data(model: onnx.ModelProto) -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")


def with_a_function(model: onnx.ModelProto) -> None:
    body = helper.make_node("Neg", ["x"], ["y"])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "f", ["x"], ["y"], [body], opsets))


def with_a_loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body))


def with_a_huge_constant(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 40]), "shape"))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["huge"]))


def with_huge_padding(model: onnx.ModelProto) -> None:
    amounts = np.array([0, 0, 0, 0, 0, 1 << 30, 0, 0])
    model.graph.initializer.append(numpy_helper.from_array(amounts, "amounts"))
    model.graph.node.append(helper.make_node("Pad", ["images", "amounts"], ["huge"]))


def with_sparse_weights(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [9]))


def with_another_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"


def with_an_impossible_shape(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def with_image_size(size: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        for axis in (1, 2):
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size

    return change


def with_dimension(dimension: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        weights = np.ones((3, dimension), np.float32)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = dimension

    return change


def with_an_unknown_input(model: onnx.ModelProto) -> None:
    model.graph.node[2].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_external_data, "another file"),
        (with_a_function, "functions of its own"),
        (with_a_loop, "a graph of its own"),
        (with_a_huge_constant, "ConstantOfShape"),
        (with_huge_padding, "Pad"),
        (with_sparse_weights, "sparse weights"),
        (with_another_domain, "com.example"),
        (with_an_impossible_shape, "impossible shape"),
        (with_image_size(0), "image size|input must be"),
        (with_image_size(1), "image size"),
        (with_image_size(4096), "image size"),
        (with_dimension(0), "numbers"),
        (with_dimension(5000), "numbers"),
        (with_an_unknown_input, "nothing in it computes 'nowhere'"),
    ],
)
def test_what_no_encoder_needs_is_refused_in_one_line(
    change: Change, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(changed(change))
    with pytest.raises(EncoderError, match=reason) as caught:
        Encoder(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"batch", b"images"])
def test_a_flipped_bit_in_a_text_is_named_as_damage(text: bytes, tmp_path: Path) -> None:
    content = tiny_encoder()
    assert text in content
    path = tmp_path / "model.onnx"
    path.write_bytes(content.replace(text, bytes([text[0] | 0x80]) + text[1:]))
    with pytest.raises(EncoderError, match="not UTF-8"):
        Encoder(path)


def test_a_second_graph_that_a_runtime_would_merge_is_refused() -> None:
    second = onnx.ModelProto()
    second.graph.CopyFrom(onnx.load_from_string(tiny_encoder(seed=1)).graph)
    with pytest.raises(EncoderError, match="graph is there twice"):
        check_model(tiny_encoder() + second.SerializeToString())


@pytest.mark.parametrize("classes", [1, 5])
def test_an_encoder_may_give_details_and_the_probabilities_of_classes(
    classes: int, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_encoder(details=16, classes=classes))
    encoder = Encoder(path, threads=1)
    encoder.try_out()
    assert (encoder.dimension, encoder.details_dimension) == (8, 16)


def test_which_of_two_outputs_is_which_is_part_of_the_digest() -> None:
    model = onnx.load_from_string(tiny_encoder(details=8))
    for node in model.graph.node:
        node.output[0] = {"details": "embeddings", "embeddings": "details"}.get(
            node.output[0], node.output[0]
        )
    assert graph_digest(bytes(model.SerializeToString())) != graph_digest(tiny_encoder(details=8))


def test_a_model_that_multiplies_its_weights_into_something_huge_gives_one_line(
    tmp_path: Path,
) -> None:
    side = 1 << 18  # 2^36 numbers, 256 GiB, of two weights of 1 MiB

    def change(model: onnx.ModelProto) -> None:
        for name, shape in (("row", (1, side)), ("column", (side, 1))):
            weights = np.ones(shape, np.float32)
            model.graph.initializer.append(numpy_helper.from_array(weights, name))
        product = model.graph.node.pop()
        model.graph.node.extend(
            [
                helper.make_node("ReduceMean", ["e"], ["mean"], keepdims=0),
                helper.make_node("Mul", ["row", "mean"], ["scaled"]),
                helper.make_node("Mul", ["scaled", "column"], ["huge"]),
                helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0),
                helper.make_node("Mul", ["e", "most"], ["unscaled"]),
                product,
            ]
        )
        product.input[0] = "unscaled"

    path = tmp_path / "model.onnx"
    path.write_bytes(changed(change))
    with pytest.raises(EncoderError, match="failed") as caught:
        Encoder(path, threads=1).try_out()
    assert "\n" not in str(caught.value)


def test_a_model_that_gives_another_number_of_rows_gives_one_line(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        last = model.graph.node[-1]
        last.output[0] = "unit"
        model.graph.node.append(helper.make_node("Concat", ["unit"] * 2, ["embeddings"], axis=0))

    path = tmp_path / "model.onnx"
    path.write_bytes(changed(change))
    with pytest.raises(EncoderError, match="one row for each photo"):
        Encoder(path, threads=1).try_out()


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.touch()
    with pytest.raises(EncoderError, match="the file is empty"):
        Encoder(path)


@pytest.mark.parametrize(("weight", "reason"), [(np.nan, "unit length"), (0.0, "same vector")])
def test_an_encoder_that_tells_nothing_apart_leaves_no_index_behind(
    weight: float, reason: str, tmp_path: Path
) -> None:
    def change(model: onnx.ModelProto) -> None:
        weights = np.full((3, 8), weight, np.float32)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))

    path = tmp_path / "model.onnx"
    path.write_bytes(changed(change))
    with pytest.raises(EncoderError, match=reason):
        ImageIndex.create(tmp_path / "index", path)
    assert not (tmp_path / "index").exists()


def test_mutated_models_are_refused_or_work(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    original = np.frombuffer(tiny_encoder(), np.uint8)
    refused = 0
    for number in range(400):
        mutated = original.copy()
        places = random.integers(0, len(mutated), random.integers(1, 6))
        mutated[places] ^= (1 << random.integers(0, 8, len(places))).astype(np.uint8)
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(mutated.tobytes())
        try:
            Encoder(path, threads=1).try_out()
        except EncoderError as error:
            assert "\n" not in str(error)
            refused += 1
    assert 0 < refused < 400
