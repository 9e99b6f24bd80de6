"""`model`: what an encoder file says about itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import Run, fails
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.errors import EncoderError
from imgsim_edge.infer.search.rarity import METADATA_KEY, Rarity
from tiny import DIMENSION, SIDE, tiny_encoder


def with_metadata(path: Path, **metadata: str) -> Path:
    model = onnx.load_from_string(tiny_encoder())
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def rarity() -> Rarity:
    vectors = np.random.default_rng(0).standard_normal((200, 64))
    return Rarity.of(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_the_contract_and_the_metadata_are_told(run: Run, tmp_path: Path) -> None:
    names = json.dumps([f"class {number}" for number in range(500)])
    model = with_metadata(
        tmp_path / "m.onnx", licence="MIT", classes=names, **{METADATA_KEY: rarity().to_text()}
    )
    lines = run("model", model).stdout.splitlines()
    told = {line.split()[0]: line for line in lines}
    assert Encoder(model).digest in told["digest"]
    assert f"[batch, {SIDE}, {SIDE}, 3]" in told["input"]
    assert f"[batch, {DIMENSION}]" in told["output"]
    assert told["details"].endswith("none")
    assert told["licence"].endswith("MIT")
    assert f"({len(names):,} characters" in told["classes"]
    assert "19,900" in told["random"]
    assert max(map(len, lines)) < 400


def test_json_tells_all(run: Run, tmp_path: Path) -> None:
    model = with_metadata(tmp_path / "m.onnx", licence="MIT", **{METADATA_KEY: rarity().to_text()})
    told = json.loads(run("model", model, "--json").stdout)
    assert told["metadata"] == {"licence": "MIT"}
    assert (told["image_size"], told["dimension"]) == (SIDE, DIMENSION)
    assert (told["details_dimension"], told["bytes"]) == (0, model.stat().st_size)
    assert told[METADATA_KEY]["pairs"] == 19_900
    assert told["encoder_digest"] == Encoder(model).digest


def test_the_shipped_encoder_is_told_of_by_default(run: Run) -> None:
    told = json.loads(run("model", "--json").stdout)
    assert (told["model"], told["dimension"]) == ("default", 64)


def test_a_digest_that_is_not_the_stated_one_shows(run: Run, tmp_path: Path) -> None:
    model = with_metadata(tmp_path / "m.onnx", digest="0123")
    assert "not 0123, as its metadata say" in run("model", model).stdout


def test_an_encoder_gives_its_rarity(tmp_path: Path) -> None:
    whole = rarity()
    model = with_metadata(tmp_path / "m.onnx", **{METADATA_KEY: whole.to_text()})
    assert Rarity.of_metadata(Encoder(model).metadata) == whole
    assert Rarity.of_metadata(Encoder(with_metadata(tmp_path / "none.onnx")).metadata) is None
    broken = with_metadata(tmp_path / "broken.onnx", **{METADATA_KEY: "{}"})
    with pytest.raises(EncoderError, match="metadata are damaged"):
        Rarity.of_metadata(Encoder(broken).metadata)


def test_what_is_no_encoder_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "noise.onnx").write_bytes(b"\xff" * 100)
    fails(run("model", "noise.onnx"), "noise.onnx")
    fails(run("model", "none.onnx"), "no such model")
