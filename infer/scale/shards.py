"""Shards: the vectors of a collection as Parquet files, and the manifest that says what they are.

A shard holds some photos, one a row; README.md of this wing describes the columns. Its name is a
digest of what it was made from (addresses, sizes, times), so that the same work has the same name
on every run and on every machine. It is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import IndexDamagedError, IndexMismatchError, IndexMissingError, UsageError
from ..files import replacing
from .addresses import Address

if TYPE_CHECKING:
    import pyarrow as pa

    from ..encoder.embed import EmbeddedFile

FORMAT = 1
MANIFEST = "manifest.json"
PREFIX, SUFFIX = "shard-", ".parquet"
_KEY = b"imgsim_edge"  # in a Parquet file's own metadata
METADATA = ("taken_ms", "taken_offset", "taken_source", "camera", "latitude", "longitude")


@dataclass(frozen=True)
class EncoderRecord:
    """The encoder that made every vector of some shards.

    Attributes:
        model: the name or path under which it was given.
        digest: its identity.
        dimension: length of an embedding.
        details: int8 numbers of details for each photo; 0 where it gives none.
    """

    model: str
    digest: str
    dimension: int
    details: int


@dataclass(frozen=True)
class ShardRecord:
    """What the manifest says of a shard.

    Attributes:
        file: its name.
        photos: rows with a vector.
        unreadable: rows with a problem instead.
        bytes: size of the file.
        digest: BLAKE2b (16 bytes, hexadecimal) of the file.
    """

    file: str
    photos: int
    unreadable: int
    bytes: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds.

    Attributes:
        encoder: that made the vectors.
        complete: the run that wrote it came to its end; only then it lists the shards.
        whole: sources of which the shards hold everything that there was, and not a part.
        shards: in the order of their first photos.
    """

    encoder: EncoderRecord
    complete: bool
    whole: tuple[str, ...] = ()
    shards: tuple[ShardRecord, ...] = ()

    @property
    def photos(self) -> int:
        """How many photos have a vector."""
        return sum(shard.photos for shard in self.shards)

    @property
    def unreadable(self) -> int:
        """How many files could not be read."""
        return sum(shard.unreadable for shard in self.shards)


@dataclass(frozen=True)
class Shard:
    """A shard that is on the disk.

    Attributes:
        path: of its file.
        made_from: the photos in it, or the archive that all of them are from.
        problems: how many of its rows have no vector.
    """

    path: Path
    made_from: tuple[Address, ...]
    problems: int


def need_pyarrow() -> None:
    """Make sure that Parquet can be read and written.

    Raises:
        UsageError: it cannot.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UsageError("shards need pyarrow: pip install 'imgsim-edge[parquet]'") from error


def shard_name(made_from: Sequence[Address]) -> str:
    """Name the shard of some photos or of an archive."""
    total = hashlib.blake2b(digest_size=16)
    for address in made_from:
        about = f"{address.source}\0{address.path}\0{address.size}\0{address.mtime_ns}\0"
        total.update(about.encode("utf-8", "surrogateescape"))
    return f"{PREFIX}{total.hexdigest()}{SUFFIX}"


# --- the manifest --------------------------------------------------------------------------------


def read_manifest(folder: Path) -> Manifest:
    """Read what a folder of shards holds.

    Raises:
        IndexMissingError: it has no manifest.
        IndexMismatchError: it is of a newer format.
        IndexDamagedError: it cannot be read.
    """
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if told["format"] > FORMAT:
            raise IndexMismatchError(
                f"the shards in {folder} have format {told['format']}, newer than this version of "
                f"imgsim-edge can read ({FORMAT}): upgrade imgsim-edge"
            )
        shards = tuple(ShardRecord(**shard) for shard in told["shards"])
        encoder = EncoderRecord(**told["encoder"])
        return Manifest(encoder, told["complete"], tuple(told["whole"]), shards)
    except FileNotFoundError as error:
        raise IndexMissingError(
            f"no shards in {folder}: make some with `imgsim-edge embed SOURCE --out {folder}`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexDamagedError(
            f"{folder / MANIFEST} cannot be read ({error}): delete it and embed again, which only "
            "writes it anew"
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the one before."""
    shards = ",\n".join(f"  {json.dumps(asdict(shard))}" for shard in manifest.shards)
    lines = [
        f'"format": {FORMAT}',
        f'"encoder": {json.dumps(asdict(manifest.encoder))}',
        f'"complete": {json.dumps(manifest.complete)}',
        f'"whole": {json.dumps(manifest.whole)}',
        f'"photos": {manifest.photos}',
        f'"unreadable": {manifest.unreadable}',
        f'"shards": [\n{shards}\n]',
    ]
    with replacing(folder / MANIFEST) as part:
        part.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


# --- rows → a file -------------------------------------------------------------------------------


def table_of(
    rows: Sequence[EmbeddedFile[Address]], made_from: Sequence[Address], encoder: EncoderRecord
) -> pa.Table:
    """Lay embedded photos out as a table."""
    import pyarrow as pa

    archive = made_from[0] if made_from[0].is_archive else None
    about = {
        "format": FORMAT,
        "encoder": encoder.digest,
        "archive": None if archive is None else _as_list(archive),
    }
    metadata = [row.metadata for row in rows]
    columns: dict[str, Any] = {
        "source": [row.path.source for row in rows],
        "path": [_shown(row.path.path) for row in rows],
        "raw_path": [_raw(row.path.path) for row in rows],
        "size": [row.path.size for row in rows],
        "mtime_ns": [row.path.mtime_ns for row in rows],
        "digest": [row.digest for row in rows],
        "width": [row.width for row in rows],
        "height": [row.height for row in rows],
        **{name: [m and getattr(m, name) for m in metadata] for name in METADATA},
        "embeddings": _fixed([row.vector for row in rows], np.float32, encoder.dimension),
        "problem": [row.problem and _shown(row.problem) for row in rows],
    }
    if encoder.details:
        columns["details"] = _fixed([row.details for row in rows], np.int8, encoder.details)
    schema = _schema(encoder).with_metadata({_KEY: json.dumps(about)})
    return pa.Table.from_pydict(columns, schema=schema)


def write_shard(folder: Path, made_from: Sequence[Address], table: pa.Table) -> ShardRecord:
    """Write a shard that is there whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow.parquet as pq

    path = folder / shard_name(made_from)
    with replacing(path) as part:
        pq.write_table(table, part, compression="zstd", use_dictionary=["source", "camera"])
        content = part.read_bytes()
    return _record(path, content, table.column("problem").null_count, len(table))


def _record(path: Path, content: bytes, photos: int, rows: int) -> ShardRecord:
    return ShardRecord(path.name, photos, rows - photos, len(content), _digest(content))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _schema(encoder: EncoderRecord) -> pa.Schema:
    import pyarrow as pa

    columns = [
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        ("raw_path", pa.binary()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("digest", pa.binary(16)),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("taken_ms", pa.int64()),
        ("taken_offset", pa.int16()),
        ("taken_source", pa.string()),
        ("camera", pa.string()),
        ("latitude", pa.int32()),
        ("longitude", pa.int32()),
        ("embeddings", pa.list_(pa.float32(), encoder.dimension)),
        ("problem", pa.string()),
    ]
    if encoder.details:
        columns.append(("details", pa.list_(pa.int8(), encoder.details)))
    return pa.schema(columns)


def _fixed(vectors: list[Any], kind: type[np.generic], length: int) -> pa.Array:
    """Lay vectors out side by side; rows without one are null."""
    import pyarrow as pa

    values = np.zeros((len(vectors), length), dtype=kind)
    none = np.array([vector is None for vector in vectors], dtype=bool)
    for place, vector in enumerate(vectors):
        if vector is not None:
            values[place] = vector
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), length, mask=pa.array(none))


def _shown(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _raw(path: str) -> bytes | None:
    return None if _shown(path) == path else path.encode("utf-8", "surrogateescape")


def _as_list(address: Address) -> list[Any]:
    return [address.source, address.path, address.size, address.mtime_ns]


# --- files → rows --------------------------------------------------------------------------------


def shards_in(folder: Path, encoder: EncoderRecord) -> Iterator[Shard]:
    """Go through the shards on the disk; another encoder's and damaged ones are passed over."""
    for path in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")):
        if (shard := _look_at(path, encoder)) is not None:
            yield shard


def _look_at(path: Path, encoder: EncoderRecord) -> Shard | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        about = json.loads((file.schema_arrow.metadata or {}).get(_KEY, b"{}"))
        if (about.get("format"), about.get("encoder")) != (FORMAT, encoder.digest):
            return None
        rows = file.read(["source", "path", "raw_path", "size", "mtime_ns", "problem"])
    except (OSError, pa.ArrowException, ValueError):
        return None
    problems = len(rows) - rows.column("problem").null_count
    if about["archive"] is not None:
        return Shard(path, (Address(*about["archive"]),), problems)
    columns = (rows.column(name).to_pylist() for name in rows.column_names[:5])
    made_from = tuple(
        Address(source, _path(shown, raw), size, mtime_ns)
        for source, shown, raw, size, mtime_ns in zip(*columns, strict=True)
    )
    return Shard(path, made_from, problems)


def record_of(path: Path) -> ShardRecord:
    """Take the sums of a shard that is on the disk."""
    import io

    import pyarrow.parquet as pq

    content = path.read_bytes()
    problems = pq.read_table(io.BytesIO(content), columns=["problem"]).column("problem")
    return _record(path, content, problems.null_count, len(problems))


def read_shard(
    folder: Path, shard: ShardRecord, encoder: EncoderRecord
) -> list[EmbeddedFile[Address]]:
    """Read the rows of a shard, as they were when they were embedded.

    Raises:
        IndexDamagedError: the file is not the one that the manifest names.
    """
    import io

    import pyarrow.parquet as pq

    from ..encoder.embed import EmbeddedFile
    from ..photos.metadata import PhotoMetadata

    path = folder / shard.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IndexDamagedError(
            f"cannot read {path} ({error.strerror}): embed again, which makes what is missing"
        ) from error
    if _digest(content) != shard.digest:
        raise IndexDamagedError(
            f"{path} is not what was written: delete it and embed again, which makes it anew"
        )
    table = pq.read_table(io.BytesIO(content))
    vectors = _array(table, "embeddings", np.float32, encoder.dimension)
    details = _array(table, "details", np.int8, encoder.details) if encoder.details else None
    rows = []
    others = [name for name in table.column_names if name not in ("embeddings", "details")]
    for place, row in enumerate(table.select(others).to_pylist()):
        address = Address(
            row["source"], _path(row["path"], row["raw_path"]), row["size"], row["mtime_ns"]
        )
        good = row["problem"] is None
        rows.append(
            EmbeddedFile(
                address,
                row["digest"],
                row["width"],
                row["height"],
                PhotoMetadata(*(row[name] for name in METADATA)) if good else None,
                vectors[place] if good else None,
                details[place] if good and details is not None else None,
                row["problem"],
            )
        )
    return rows


def _array(table: pa.Table, name: str, kind: type[np.generic], length: int) -> Any:
    """Give a column of vectors: shape = (rows, length); what is null is zeros."""
    column = table.column(name).combine_chunks()
    values = column.values.slice(column.offset * length, len(column) * length).fill_null(0)
    return values.to_numpy().astype(kind, copy=False).reshape(len(table), length)


def _path(shown: str, raw: bytes | None) -> str:
    return shown if raw is None else raw.decode("utf-8", "surrogateescape")
