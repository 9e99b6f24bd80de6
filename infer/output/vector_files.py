"""Vectors and their paths as files, for other programs.

========  ==========================================================================================
``npz``   NumPy archive: ``vectors`` (float32, shape = (n, dimension)), ``paths`` (text, shape =
          (n,)) and ``encoder`` (the digest of the encoder, text)
``npy``   NumPy array of the vectors, and beside it ``NAME.paths.json``, a list of the paths
``csv``   a header line; then a path and the numbers of its vector
``jsonl`` one object a line: ``path``, ``vector``
========  ==========================================================================================

Every number is written so that reading it as float32 gives the same bits. Batches are written as
they come: memory holds the paths and no more than one batch of vectors.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TextIO, get_args

import numpy as np
from numpy.typing import NDArray

from ..arrays import Vectors
from ..encoder.onnx_encoder import Encoder
from ..files import whole_file

Format = Literal["npz", "npy", "csv", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)
_DIGITS = ".9g"  # enough for every float32
_PATHS_AT_ONCE = 4096


@dataclass(frozen=True)
class EmbeddedBatch:
    """Some photos.

    Attributes:
        paths: of the photos.
        vectors: float32, shape = (len(paths), dimension).
    """

    paths: list[Path]
    vectors: Vectors


def write_vectors(
    batches: Iterable[EmbeddedBatch], out: Path, form: Format, encoder: Encoder
) -> int:
    """Write a file (for ``npy`` two) that is there whole or not at all.

    Returns:
        how many vectors it holds.

    Raises:
        UsageError: it cannot be written.
    """
    if form == "npz":
        with whole_file(out) as part:
            return _npz(batches, part, encoder)
    if form == "npy":
        with whole_file(out) as part, whole_file(paths_file(out)) as part_of_paths:
            with part.open("wb") as file:
                paths = _npy(batches, file, encoder.dimension)
            lines = ",\n".join(json.dumps(path) for path in paths)
            part_of_paths.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        return len(paths)
    with (
        whole_file(out) as part,
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as text,
    ):
        return write_vector_lines(batches, text, form, encoder)


def paths_file(out: Path) -> Path:
    """Name the file of paths that goes with an ``.npy`` file."""
    return out.with_name(f"{out.stem}.paths.json")


def write_vector_lines(
    batches: Iterable[EmbeddedBatch], file: TextIO, form: Format, encoder: Encoder
) -> int:
    """Write ``csv`` or ``jsonl`` to a file that is open, and count the vectors."""
    count = 0
    table = csv.writer(file, lineterminator="\n") if form == "csv" else None
    if table:
        table.writerow(["path", *(f"v{number}" for number in range(encoder.dimension))])
    for batch in batches:
        count += len(batch.paths)
        for path, vector in zip(batch.paths, batch.vectors.tolist(), strict=True):
            numbers = [format(number, _DIGITS) for number in vector]
            if table:
                table.writerow([str(path), *numbers])
            else:
                file.write(
                    f'{{"path": {json.dumps(str(path))}, "vector": [{", ".join(numbers)}]}}\n'
                )
    return count


def _npy(batches: Iterable[EmbeddedBatch], file: IO[bytes], dimension: int) -> list[str]:
    """Write vectors as they come, then their number into the header; give back their paths."""
    paths: list[str] = []
    _npy_header(file, "<f4", (0, dimension))  # NumPy leaves room for any first number
    for batch in batches:
        file.write(np.ascontiguousarray(batch.vectors, dtype="<f4").tobytes())
        paths += map(str, batch.paths)
    file.seek(0)
    _npy_header(file, "<f4", (len(paths), dimension))
    return paths


def _npz(batches: Iterable[EmbeddedBatch], out: Path, encoder: Encoder) -> int:
    with tempfile.TemporaryFile(dir=out.parent) as vectors, zipfile.ZipFile(out, "w") as archive:
        paths = _npy(batches, vectors, encoder.dimension)
        vectors.seek(0)
        with archive.open("vectors.npy", "w", force_zip64=True) as member:
            shutil.copyfileobj(vectors, member)
        width = max(map(len, paths), default=1)
        compressed = zipfile.ZipInfo("paths.npy")  # rows as wide as the longest path: much is air
        compressed.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(compressed, "w", force_zip64=True) as member:
            _npy_header(member, f"<U{width}", (len(paths),))
            for start in range(0, len(paths), _PATHS_AT_ONCE):
                rows: NDArray[np.str_] = np.array(
                    paths[start : start + _PATHS_AT_ONCE], f"<U{width}"
                )
                member.write(rows.tobytes())
        with archive.open("encoder.npy", "w") as member:
            np.lib.format.write_array(member, np.array(encoder.digest))
    return len(paths)


def _npy_header(file: IO[bytes], kind: str, shape: tuple[int, ...]) -> None:
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
