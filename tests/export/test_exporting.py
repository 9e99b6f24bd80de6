"""A classifier becomes an encoder that any ONNX Runtime runs, with evidence that it is the same."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import Run
from imgsim_edge.export.convert import convert, cut_classifier
from imgsim_edge.export.errors import ExportError
from imgsim_edge.export.judge import Judge
from imgsim_edge.export.metadata import stamp
from imgsim_edge.export.parity import (
    compare,
    compare_outputs,
    keras_vectors,
    require_parity,
    unoptimised_vectors,
)
from imgsim_edge.export.photos import LabelledPixels
from imgsim_edge.export.quantise import _Quantiser, to_int8
from imgsim_edge.export.session import FP16, INT8, Options, Outcome, export_encoder
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.search.rarity import Rarity
from imgsim_edge.train.backend import import_keras
from imgsim_edge.train.classifier.checkpoint import load_model
from imgsim_edge.train.errors import DataError, RunError
from imgsim_edge.train.network import (
    BACKBONES,
    MOBILENET,
    build_backbone,
    build_head,
    join,
    with_details,
)


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """An encoder of the tiny classifier; only to be read."""
    out = tmp_path_factory.mktemp("exported") / "encoder.onnx"
    return export_encoder(trained, out, options=Options(licence="CC0-1.0"))


def test_the_file_keeps_the_contract(exported: Outcome) -> None:
    model = onnx.load(exported.path)
    onnx.checker.check_model(model, full_check=True)
    (taken,) = model.graph.input
    outputs = {one.name: one for one in model.graph.output}
    assert (taken.name, set(outputs) - {"details"}) == ("images", {"embeddings"})
    given = outputs["embeddings"]
    assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert given.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [d.dim_param or d.dim_value for d in taken.type.tensor_type.shape.dim] == [
        *("batch", 64, 64, 3)
    ]
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["batch", 64]
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]


def test_the_graph_looks_like_mobilenet(exported: Outcome) -> None:
    operators = Counter(node.op_type for node in onnx.load(exported.path).graph.node)
    assert operators["Conv"] == 27  # one at the start, then 13 depthwise and 13 of 1 by 1
    assert operators["Clip"] == 27
    assert operators["Gemm"] == 2 + exported.keeps_details
    assert operators["Transpose"] == 1
    assert not operators.keys() & {"BatchNormalization", "Pad", "Reshape", "Identity"}


@pytest.mark.parametrize("backbone", sorted(set(BACKBONES) - {MOBILENET}))
def test_the_other_backbones_convert_to_what_keras_computes(
    backbone: str, labelled: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    keras = import_keras()
    keras.utils.set_random_seed(0)
    network = build_backbone(backbone, 1.0, 64, "none")
    joined = join(network, build_head(network.output_shape[1], 3))
    detailed = with_details(joined, [np.ones((2 * network.output_shape[1], 9)), np.zeros(9)])
    cut = cut_classifier(keras.Model.from_config(detailed.get_config()), 64)
    capfd.readouterr()
    model = convert(cut)
    assert "Traceback" not in capfd.readouterr().err
    pixels = _pixels(labelled)
    found = compare_outputs(keras_vectors(cut, pixels), _outputs(model, pixels))
    require_parity({"embeddings": found["embeddings"]}, backbone)
    # Details are there; with random weights the features are next to nothing, of which a cube root
    # makes as much as it likes.
    assert found["details"].photos == len(pixels)


def test_vectors_have_unit_length_whatever_the_batch(exported: Outcome) -> None:
    encoder = Encoder(exported.path)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    together = encoder.encode(pixels).embeddings
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([encoder.encode(pixel[None]).embeddings for pixel in pixels])
    assert np.allclose(together, alone, atol=1e-5)


def test_the_metadata_say_where_it_comes_from(exported: Outcome, labelled: Path) -> None:
    encoder = Encoder(exported.path)
    told = encoder.metadata
    assert told["digest"] == encoder.digest == exported.digest
    assert json.loads(told["classes"]) == ["astronaut", "coffee", "flower", "hubble_deep_field"]
    assert told["training_data"].startswith(f"60 photos from {labelled.name}; 4 classes; random")
    assert (told["backbone"], told["width"], told["licence"]) == ("mobilenet", "0.25", "CC0-1.0")
    assert told["preprocessing"].startswith("upright sRGB; squash to a square, Lanczos")
    assert str(labelled.parent) not in str(told)
    assert Rarity.of_metadata(encoder.metadata) is not None


def test_class_names_that_are_no_utf8_are_written_as_far_as_they_can(exported: Outcome) -> None:
    told = onnx.load_from_string(stamp(onnx.load(exported.path), {"classes": "caf\udce9"}))
    assert {one.key: one.value for one in told.metadata_props}["classes"] == "caf?"


def test_the_evidence_lies_beside_it(exported: Outcome) -> None:
    evidence = json.loads(exported.evidence.read_text())
    assert exported.evidence == exported.path.with_suffix(".json")
    assert evidence["digest"] == exported.digest
    names = {"embeddings", "details"} if exported.keeps_details else {"embeddings"}
    for compared in (evidence["against_keras"], evidence["optimisations_on_against_off"]):
        assert set(compared) == names
        assert all(own["photos"] == 20 for own in compared.values())
        assert all(own["largest_difference"] < 1e-4 for own in compared.values())


def test_details_are_kept_where_they_order_validation_photos_better(
    exported: Outcome, trained: Path, tmp_path: Path
) -> None:
    quality = exported.details
    assert set(quality) == {"embeddings", "details"}
    assert exported.keeps_details == (quality["details"] > quality["embeddings"])
    encoder = Encoder(exported.path)
    assert bool(encoder.details_dimension) == exported.keeps_details
    told = json.loads(exported.evidence.read_text())["details"]
    assert told == {"kept": exported.keeps_details, "mean_average_precision": quality}
    # Details of a layer of zeros order nothing.
    shutil.copytree(trained, tmp_path / "run")
    classifier = load_model(trained / "classifier.keras")
    layer = classifier.get_layer("details")
    layer.set_weights([np.zeros_like(own) for own in layer.get_weights()])
    classifier.save(tmp_path / "run" / "classifier.keras")
    without = export_encoder(tmp_path / "run", tmp_path / "without.onnx")
    assert not without.keeps_details
    assert Encoder(without.path).details_dimension == 0


def test_evidence_is_never_written_over_another_file(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(ExportError, match=r"config\.json .* holds something else"):
        export_encoder(tmp_path / "run", tmp_path / "run" / "config.onnx")
    assert (tmp_path / "run" / "config.json").read_text() == before


def test_int8_says_how_many_photos_there_were_to_calibrate_on(
    trained: Path, tmp_path: Path
) -> None:
    options = Options(precision=INT8, max_loss=1.0, calibration_photos=2000)
    small = export_encoder(trained, tmp_path / "int8.onnx", options=options)
    assert "calibrated on 60 training photos" in Encoder(small.path).metadata["quantisation"]


def test_a_calibration_that_fails_leaves_the_other(
    tiny_model: Any, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, failing = _pixels(labelled), {"Percentile"}
    judge = _judge(tiny_model, labelled, max_loss=1.0)
    real = _Quantiser.quantise

    def quantise(self: _Quantiser, method: str, *rest: Any) -> bytes:
        if method in failing:
            raise ValueError("Too many bins for data range")
        return real(self, method, *rest)

    monkeypatch.setattr(_Quantiser, "quantise", quantise)
    accepted = to_int8(tiny_model, pixels, judge)
    assert accepted.chosen.name == "int8, MinMax"
    assert _int8_weights(onnx.load_from_string(accepted.content)) == 30
    failing.add("MinMax")
    with pytest.raises(ExportError, match="cannot be calibrated on these photos"):
        to_int8(tiny_model, pixels, judge)


def test_two_conversions_have_one_digest(exported: Outcome, trained: Path, tmp_path: Path) -> None:
    again = export_encoder(trained, tmp_path / "again.onnx")
    assert again.digest == exported.digest


def test_an_encoder_that_differs_is_refused() -> None:
    one = np.eye(4, dtype=np.float32)
    require_parity({"embeddings": compare(one, one + np.float32(5e-5))}, "the two")
    with pytest.raises(ExportError, match=r"differ by up to 2\.00e-04 .* 1e-04 is required"):
        require_parity({"embeddings": compare(one, one + np.float32(2e-4))}, "the two")


def test_an_embedding_that_is_all_zero_stays_zero(trained: Path) -> None:
    classifier = load_model(trained / "classifier.keras")
    layer = classifier.get_layer("embedding")
    layer.set_weights([np.zeros_like(weights) for weights in layer.get_weights()])
    session = _session(convert(cut_classifier(classifier, 64)))
    (vectors,) = session.run(["embeddings"], {"images": np.zeros((2, 64, 64, 3), np.uint8)})
    assert not vectors.any()


@pytest.mark.parametrize(("name", "units"), [("features64", 64), ("embedding", 32)])
def test_a_model_without_the_right_layer_is_refused(name: str, units: int) -> None:
    keras = import_keras()
    images = keras.Input((8, 8, 3), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, keras.layers.Dense(units, name=name)(pooled))
    with pytest.raises(ExportError, match=r"no layer named|gives 32 values and not 64"):
        cut_classifier(model, 64)
    if name == "embedding":
        assert cut_classifier(model, 32).output["embeddings"].shape == (None, 32)


def test_photos_that_have_moved_can_be_pointed_to(
    trained: Path, labelled: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    config = json.loads((trained / "config.json").read_text())
    config["data"] = [str(tmp_path / "unplugged")]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="name the folder where the photos are now"):
        export_encoder(tmp_path / "run", tmp_path / "e.onnx")
    assert (
        export_encoder(tmp_path / "run", tmp_path / "e.onnx", [labelled]).keras["embeddings"].photos
        == 20
    )


def test_an_unfinished_or_damaged_run_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no training run"):
        export_encoder(tmp_path, tmp_path / "e.onnx")
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "classifier.keras").write_bytes(b"PK half of it")
    with pytest.raises(RunError, match=r"classifier\.keras is damaged"):
        export_encoder(tmp_path / "run", tmp_path / "e.onnx")
    (tmp_path / "run" / "classifier.keras").unlink()
    with pytest.raises(RunError, match="did not get that far"):
        export_encoder(tmp_path / "run", tmp_path / "e.onnx")
    assert not (tmp_path / "e.onnx").exists()


def test_half_floats_halve_the_file(exported: Outcome, trained: Path, tmp_path: Path) -> None:
    half = export_encoder(
        trained, tmp_path / "half.onnx", options=Options(precision=FP16, max_loss=1.0)
    )
    assert half.size < 0.6 * exported.size
    assert half.keras["embeddings"].mean_cosine > 0.99
    assert Encoder(half.path).metadata["quantisation"].startswith("float16")


def test_int8_compares_calibrations_and_tells_what_each_costs(
    exported: Outcome, trained: Path, tmp_path: Path
) -> None:
    options = Options(precision=INT8, max_loss=1.0, calibration_photos=16)
    small = export_encoder(trained, tmp_path / "int8.onnx", options=options)
    names = [attempt.name for attempt in small.attempts]
    assert names == ["float32", "int8, MinMax", "int8, Percentile"]
    best = min(small.attempts[1:], key=lambda attempt: attempt.loss)
    assert small.chosen == best.name
    assert small.size < 0.5 * exported.size
    assert _int8_weights(onnx.load(small.path)) == 29 + small.keeps_details  # 27 convolutions
    evidence = json.loads(small.evidence.read_text())["quantisation"]
    assert evidence["calibration_photos"] == 16
    assert [set(a) >= {"bytes", "milliseconds", "loss"} for a in evidence["attempts"]] == [True] * 3


def test_int8_keeps_the_worst_layers_in_float_or_refuses(
    tiny_model: Any,
    labelled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from imgsim_edge.export import quantise

    names = [node.name for node in tiny_model.graph.node if node.op_type == "Conv"][:4]
    ranking = tuple((name, 1.0) for name in names)  # a stand-in: ranking 30 layers takes a minute
    monkeypatch.setattr(quantise, "_rank", lambda *_: ranking)
    with pytest.raises(ExportError, match=r"loses -?\d\.\d{4} of mAP at best"):
        to_int8(tiny_model, _pixels(labelled), _judge(tiny_model, labelled, max_loss=-1.0))
    tried = [line.split(":")[0] for line in capsys.readouterr().err.splitlines()]
    first, second, _, third, fourth = tried
    assert {first, second} == {"int8, MinMax", "int8, Percentile"}
    assert [one.split(", ")[2] for one in (third, fourth)] == [
        "1 layers in float",
        "2 layers in float",
    ]


def test_a_layer_alone_can_be_quantised_to_see_what_it_costs(
    trained: Path, labelled: Path, tmp_path: Path
) -> None:
    from imgsim_edge.infer.photos.decode import load_photo

    pixels = np.stack([load_photo(p, 64).pixels for p in sorted(labelled.rglob("*.jpg"))[:4]])
    model = convert(cut_classifier(load_model(trained / "classifier.keras"), 64))
    quantiser = _Quantiser(model, pixels, tmp_path)
    layers = quantiser.layers()
    assert len(layers) == 30  # 27 convolutions, 3 dense layers
    alone = onnx.load_from_string(quantiser.quantise("MinMax", only=layers[3]))
    all_but_two = onnx.load_from_string(quantiser.quantise("MinMax", tuple(layers[:2])))
    assert _int8_weights(alone) == 1
    assert _int8_weights(all_but_two) == 28


@pytest.fixture(scope="module")
def tiny_model(trained: Path) -> Any:
    """The tiny encoder with its details, in float32; only to be read."""
    return convert(cut_classifier(load_model(trained / "classifier.keras"), 64))


def _judge(model: Any, labelled: Path, max_loss: float) -> Judge:
    files = sorted(labelled.rglob("*.jpg"))[::5]
    photos = LabelledPixels(_pixels(labelled), tuple(file.parent.name for file in files))
    return Judge(model.SerializeToString(), photos, max_loss, threads=1)


@pytest.fixture(scope="module")
def uneven(trained: Path) -> Any:
    """The tiny encoder with depthwise channels as uneven in size as those of trained ones are."""
    model = convert(cut_classifier(load_model(trained / "classifier.keras"), 64))
    random = np.random.default_rng(0)
    for node in model.graph.node:
        if node.op_type == "Conv" and any(a.name == "group" and a.i > 1 for a in node.attribute):
            (own,) = (one for one in model.graph.initializer if one.name == node.input[1])
            weights = onnx.numpy_helper.to_array(own)
            sizes = np.geomspace(0.5, 50, len(weights), dtype=np.float32)
            weights = weights * random.permutation(sizes)[:, None, None, None]
            own.CopyFrom(onnx.numpy_helper.from_array(weights, own.name))
    return model


def test_onnx_runtime_leaves_a_layer_kept_in_float_alone(
    uneven: Any, labelled: Path, tmp_path: Path
) -> None:

    pixels = _pixels(labelled)
    quantiser = _Quantiser(uneven, pixels, tmp_path)
    depthwise = tuple(name for name in quantiser.layers() if "depthwise" in name)
    assert len(depthwise) == 13
    path = tmp_path / "kept.onnx"
    path.write_bytes(quantiser.quantise("MinMax", depthwise))
    plain = unoptimised_vectors(path, pixels)
    compared = compare_outputs(plain, _outputs(onnx.load(path), pixels))
    assert min(own.mean_cosine for own in compared.values()) > 0.999


def test_biases_take_back_what_rounding_weights_shifts(uneven: Any, labelled: Path) -> None:
    from imgsim_edge.export.bias_correction import give_biases, round_layers

    pixels, model = _pixels(labelled), _copy(uneven)
    assert any(len(node.input) == 2 for node in model.graph.node if node.op_type == "Conv")
    give_biases(model)
    assert np.array_equal(_vectors(uneven, pixels), _vectors(model, pixels))
    nodes = {node.name: node for node in model.graph.node if node.op_type in ("Conv", "Gemm")}
    rounded = round_layers(model, pixels)
    assert set(rounded) == set(nodes)
    for name in [name for name in nodes if "depthwise" in name or "embedding" in name][::4]:
        before, after = _channel_means(model, nodes[name].output[0], pixels), []
        for bias in (np.zeros_like(rounded[name].bias), rounded[name].bias):
            changed = _copy(model)
            (node,) = (node for node in changed.graph.node if node.name == name)
            for place, values in ((1, rounded[name].weights), (2, bias)):
                node.input[place] = f"new {place}"
                changed.graph.initializer.append(
                    onnx.numpy_helper.from_array(values, node.input[place])
                )
            after.append(_channel_means(changed, node.output[0], pixels))
        shifted, corrected = (float(np.abs(means - before).max()) for means in after)
        largest = rounded[name].largest_shift
        assert 0 < corrected < 0.01 * largest
        own = onnx.numpy_helper.to_array(
            next(i for i in model.graph.initializer if i.name == nodes[name].input[2])
        )
        if not own.any():
            assert shifted == pytest.approx(largest, rel=0.01)


def test_rounded_weights_are_the_integers_that_onnx_runtime_would_choose(
    uneven: Any, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imgsim_edge.export import quantise

    pixels = _pixels(labelled)
    corrected = quantise._Quantiser(uneven, pixels, tmp_path).quantise("MinMax")
    monkeypatch.setattr(quantise, "round_layers", lambda *_: {})
    plain = quantise._Quantiser(uneven, pixels, tmp_path).quantise("MinMax")
    assert corrected != plain
    integers = [_sorted_weights(onnx.load_from_string(one)) for one in (corrected, plain)]
    assert len(integers[0]) == 30
    assert integers[0] == integers[1]


def test_an_exported_encoder_that_tells_no_photos_apart_makes_no_index(
    trained: Path, labelled: Path, tmp_path: Path, run: Run
) -> None:
    # Two epochs from random weights teach nothing: every photo gets the same vector.
    exported = run("export", trained, "--out", tmp_path / "encoder.onnx", "--json")
    assert exported.status == 0, exported.stderr
    assert json.loads(exported.stdout)["keras"]["embeddings"]["photos"] == 20
    assert run("model", tmp_path / "encoder.onnx").stdout.count("mobilenet") == 1
    indexed = run("index", labelled, "--model", tmp_path / "encoder.onnx")
    assert indexed.status == 1
    assert indexed.stderr.splitlines()[-1].endswith("gives the same vector for different pictures")
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "encoder.bin"), "must end in .onnx"),
        (("--out", "nowhere/encoder.onnx"), "no such folder to write to"),
        (("--out", "e.onnx", "--int8", "--fp16"), "exclude each other"),
        (("--out", "e.onnx"), "is no training run"),
    ],
)
def test_requests_that_cannot_be_met_are_one_line(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    result = run("export", ".", *arguments)
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def _int8_weights(model: Any) -> int:
    return sum(
        i.data_type == onnx.TensorProto.INT8 and len(i.dims) > 1 for i in model.graph.initializer
    )


def _sorted_weights(model: Any) -> list[bytes]:
    return sorted(
        onnx.numpy_helper.to_array(i).tobytes()
        for i in model.graph.initializer
        if i.data_type == onnx.TensorProto.INT8 and len(i.dims) > 1
    )


def _pixels(labelled: Path) -> Any:
    from imgsim_edge.infer.photos.decode import load_photo

    return np.stack([load_photo(p, 64).pixels for p in sorted(labelled.rglob("*.jpg"))[::5]])


def _vectors(model: Any, pixels: Any) -> Any:
    return _outputs(model, pixels)["embeddings"]


def _outputs(model: Any, pixels: Any) -> dict[str, Any]:
    session = _session(model)
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": pixels}), strict=True))


def _copy(model: Any) -> Any:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _channel_means(model: Any, tensor: str, pixels: Any) -> Any:
    model = _copy(model)
    model.graph.output.add(name=tensor).type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    values = _session(model).run([tensor], {"images": pixels})[0]
    return values.mean(axis=tuple(a for a in range(values.ndim) if a != 1))


def _session(model: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
