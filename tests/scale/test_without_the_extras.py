"""Past one machine takes libraries that a light install has not: each is named when needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import sys
for missing in {missing!r}:
    sys.modules[missing] = None  # as if it were not installed
from imgsim_edge.infer.cli import main
main()
"""


@pytest.mark.parametrize(
    ("missing", "arguments", "remedy"),
    [
        (["pyarrow"], ["embed", "photos", "--out", "shards"], "imgsim-edge[parquet]"),
        (["pyarrow"], ["index", "--from-vectors", "shards"], "imgsim-edge[parquet]"),
        (["ray"], ["embed", "photos", "--out", "shards", "--ray", "local"], "imgsim-edge[ray]"),
        (["fsspec"], ["embed", "s3://bucket/x", "--out", "shards"], "imgsim-edge[parquet]"),
        (["psycopg"], ["info", "--index", "postgresql://host/x"], "imgsim-edge[postgres]"),
        (["psycopg"], ["publish", "--to", "postgresql://host/x"], "imgsim-edge[postgres]"),
    ],
)
def test_a_missing_library_is_one_line_with_its_remedy(
    missing: list[str], arguments: list[str], remedy: str, indexed: Path, tmp_path: Path
) -> None:
    if "pyarrow" not in missing and arguments[0] == "embed":
        pytest.importorskip("pyarrow")
    (tmp_path / "photos").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(missing=missing), *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "IMGSIM_EDGE_INDEX": str(indexed)},
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert remedy in line
