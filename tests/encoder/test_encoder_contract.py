"""An encoder is any ONNX file of the contract, known by what it computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from imgsim_edge.infer.encoder.details import details_of, quantise_details
from imgsim_edge.infer.encoder.digest import graph_digest
from imgsim_edge.infer.encoder.embed import embed_files
from imgsim_edge.infer.encoder.onnx_encoder import Encoder, model_path
from imgsim_edge.infer.errors import EncoderError
from imgsim_edge.infer.photos.decode import load_photo, photo_from_image
from onnx import TensorProto
from PIL import Image
from tiny import DIMENSION, SIDE, tiny_encoder


def test_the_shipped_encoder_gives_unit_vectors_of_64_numbers(
    photographs: dict[str, Image.Image],
) -> None:
    encoder = Encoder()
    assert (encoder.image_size, encoder.dimension) == (224, 64)
    pixels = np.stack([photo_from_image(image).pixels for image in photographs.values()])
    together = encoder.encode(pixels).embeddings
    assert together.dtype == np.float32
    assert together.shape == (len(photographs), 64)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([encoder.encode(p[np.newaxis]).embeddings for p in pixels])
    assert np.allclose(together, alone, atol=1e-5)


def test_the_shipped_encoder_says_where_it_comes_from() -> None:
    metadata = Encoder().metadata
    for key in ("producer", "backbone", "embedding_layer", "preprocessing", "licence"):
        assert metadata.get(key), key
    model = onnx.load(str(model_path("default")))
    onnx.checker.check_model(model, full_check=True)
    assert [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] == [17]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_the_digest_ignores_names_order_and_metadata() -> None:
    original = tiny_encoder()
    assert graph_digest(tiny_encoder(names="other_")) == graph_digest(original)
    assert graph_digest(tiny_encoder(swapped=True)) == graph_digest(original)
    described = onnx.load_from_string(original)
    described.metadata_props.add(key="licence", value="MIT")
    described.doc_string = "a tiny encoder"
    assert graph_digest(described.SerializeToString()) == graph_digest(original)


def test_the_digest_follows_weights_and_attributes() -> None:
    original = tiny_encoder()
    assert graph_digest(tiny_encoder(seed=1)) != graph_digest(original)
    changed = onnx.load_from_string(original)
    norm = next(node for node in changed.graph.node if node.op_type == "LpNormalization")
    norm.attribute[1].i = 1
    assert graph_digest(changed.SerializeToString()) != graph_digest(original)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tiny_encoder(images="pixels"), "input"),
        (tiny_encoder(embeddings="features"), "output"),
        (tiny_encoder(kind=TensorProto.FLOAT), "uint8"),
        (tiny_encoder(batch=1), "dynamic"),
        (tiny_encoder()[:200], "not a usable ONNX model"),
        (b"", "not a usable ONNX model"),
        (b"I am a text.", "not a usable ONNX model"),
    ],
)
def test_a_model_of_another_contract_is_refused_in_one_line(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(EncoderError, match=reason) as caught:
        Encoder(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_vectors_that_are_not_of_unit_length_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "raw.onnx"
    path.write_bytes(tiny_encoder(unit=False))
    with pytest.raises(EncoderError, match="unit length"):
        Encoder(path).encode(np.full((2, SIDE, SIDE, 3), 200, np.uint8))


def test_details_come_out_of_the_same_run(tmp_path: Path) -> None:
    path = tmp_path / "two.onnx"
    path.write_bytes(tiny_encoder(details=12))
    pixels = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)
    encoder = Encoder(path)
    assert (encoder.dimension, encoder.details_dimension) == (DIMENSION, 12)
    both = encoder.encode(pixels)
    assert (both.embeddings.shape, both.details.shape) == ((6, DIMENSION), (6, 12))
    assert np.allclose(np.linalg.norm(both.details, axis=1), 1, atol=1e-5)
    path.write_bytes(tiny_encoder())
    plain = Encoder(path)
    assert plain.details_dimension == 0
    assert plain.encode(pixels).details.shape == (6, 0)
    assert np.array_equal(plain.encode(pixels).embeddings, both.embeddings)
    assert plain.digest != encoder.digest


def test_files_are_embedded_with_their_details(tmp_path: Path, collection: Path) -> None:
    path = tmp_path / "two.onnx"
    path.write_bytes(tiny_encoder(details=12))
    photos = sorted(collection.glob("*.jpg"))[:3]
    (files,) = embed_files(photos, Encoder(path))
    given = [file.details for file in files if file.details is not None]
    expected = Encoder(path).encode(np.stack([load_photo(p, SIDE).pixels for p in photos]))
    np.testing.assert_array_equal(np.stack(given), quantise_details(expected.details))


def test_details_as_bytes_keep_their_cosines() -> None:
    random = np.random.default_rng(0)
    details = random.normal(size=(200, 256)).astype(np.float32)
    details[:, 0] *= 8  # one number much larger than the others
    details /= np.linalg.norm(details, axis=1, keepdims=True)
    codes = quantise_details(details)
    assert codes.dtype == np.int8
    assert (np.abs(codes.astype(int)).max(axis=1) == 127).all()
    again = details_of(codes)
    assert np.allclose(np.linalg.norm(again, axis=1), 1, atol=1e-6)
    assert np.abs(again @ again.T - details @ details.T).max() < 0.01
    assert not details_of(quantise_details(np.zeros((1, 4), np.float32))).any()


def test_a_missing_model_names_the_shipped_ones() -> None:
    with pytest.raises(EncoderError, match="default"):
        Encoder("nowhere.onnx")


def test_a_batch_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_encoder())
    with pytest.raises(ValueError, match="uint8"):
        Encoder(path).encode(np.zeros((1, SIDE + 1, SIDE, 3), np.uint8))
