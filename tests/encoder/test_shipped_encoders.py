"""The table of shipped encoders is true of the files."""

from __future__ import annotations

import pytest
from imgsim_edge.infer import SHIPPED, Encoder, ShippedEncoder


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_what_the_table_says_is_what_the_file_is(one: ShippedEncoder) -> None:
    encoder = Encoder(one.name)
    assert (encoder.path, encoder.dimension) == (one.path, one.dimension)
    assert encoder.metadata["licence"] == one.licence
    assert one.precision in encoder.metadata["quantisation"]


def test_every_encoder_file_of_the_package_is_in_the_table() -> None:
    folder = SHIPPED[0].path.parent
    assert {path.name for path in folder.glob("*.onnx")} == {one.file for one in SHIPPED}
