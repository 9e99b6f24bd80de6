"""Sources → shards: what is to be done, done here or elsewhere, and what was done kept.

The work is cut into shards of some photos, in the order of sources and paths. A shard that is on
the disk is never made again unless something in it has changed, so that whatever ends a run (a
kill, a full disk, a lost node) costs the shards in work, and the same command goes on from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..catalogue.database import writer_lock
from ..encoder.embed import EmbeddedFile, EncodesPhotos, embed_files
from ..encoder.onnx_encoder import Encoder
from ..errors import IndexMismatchError, IndexMissingError, Problem, UsageError
from ..progress import Progress
from .addresses import Address, Listing, list_sources, members
from .shards import (
    EncoderRecord,
    Manifest,
    Shard,
    need_pyarrow,
    read_manifest,
    record_of,
    shard_name,
    shards_in,
    table_of,
    write_manifest,
    write_shard,
)

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_PHOTOS = 512  # photos in a shard: some ten seconds for one core
_NAMED_PROBLEMS = 1000  # of a run that are kept to be told; the shards have them all


@dataclass(frozen=True)
class Work:
    """One shard that is to be made.

    Attributes:
        made_from: photos, or one archive.
    """

    made_from: tuple[Address, ...]

    def photos(self) -> Iterator[Address]:
        """Go through the photos, those of an archive as they come out of it."""
        for address in self.made_from:
            if address.is_archive:
                yield from members(address)
            else:
                yield address


@dataclass(frozen=True)
class Made:
    """A shard that was made.

    Attributes:
        work: what it is of.
        table: its rows.
    """

    work: Work
    table: pa.Table


Run = Callable[[Sequence[Work], EncoderRecord], Iterator[Made]]


@dataclass
class EmbedReport:
    """What a run did.

    Attributes:
        photos: with a vector, in all shards.
        unreadable: files without one, in all shards.
        shards: in all.
        fresh: photos and unreadable files that this run looked into.
        problems: what this run could not read, the first thousand.
        passed_over: names of files of a known format that cannot be read here.
    """

    photos: int = 0
    unreadable: int = 0
    shards: int = 0
    fresh: int = 0
    problems: list[Problem] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def embed_shard(
    work: Iterable[Work],
    encoder: EncodesPhotos,
    about: EncoderRecord,
    threads: int | None = None,
) -> Iterator[Made]:
    """Decode and embed photos, and give them as tables, shard by shard, in their order.

    This is what every process runs, on whatever machine; the first shards are given while later
    ones are being worked on.
    """
    ends: deque[tuple[Work, int]] = deque()

    def photos() -> Iterator[Address]:
        for one in work:
            count = 0
            for count, address in enumerate(one.photos(), start=1):  # noqa: B007
                yield address
            ends.append((one, count))

    rows: list[EmbeddedFile[Address]] = []
    for batch in embed_files(photos(), encoder, threads=threads):
        rows += batch
        while ends and len(rows) >= ends[0][1]:
            one, count = ends.popleft()
            yield Made(one, table_of(rows[:count], one.made_from, about))
            del rows[:count]
    for one, _ in ends:  # archives without a photo
        yield Made(one, table_of([], one.made_from, about))


def embed_here(model: Path | str, threads: int | None = None) -> Run:
    """Embed with the threads of this process, one for each core by default."""

    def run(work: Sequence[Work], about: EncoderRecord) -> Iterator[Made]:
        return embed_shard(work, Encoder(model, threads=1), about, threads)

    return run


def embed_sources(
    sources: Sequence[str],
    folder: Path,
    model: Path | str,
    run: Run,
    *,
    shard_photos: int = SHARD_PHOTOS,
    retry: bool = False,
    progress: Progress | None = None,
) -> EmbedReport:
    """Bring a folder of shards up to date with sources.

    Photos of other sources that are in the folder stay as they are.

    Args:
        sources: folders, photos, addresses, archives and lists; see ``addresses``.
        folder: of the shards; made where it is not there.
        model: the encoder, by name or path.
        run: makes shards, here or on other machines.
        shard_photos: photos in a new shard.
        retry: also make shards again in which there is something that could not be read.
        progress: called with (files done, files to do); an archive counts as one file until it
            has been read.

    Raises:
        UsageError: a source is none, none holds a photo, or the folder cannot be written.
        IndexMismatchError: the shards in the folder are of another encoder.
        IndexBusyError: another process is writing there.
        EncoderError: the encoder fails.
    """
    need_pyarrow()
    encoder = Encoder(model, threads=1)
    name = str(Path(model).absolute()) if Path(model).is_file() else str(model)
    about = EncoderRecord(name, encoder.digest, encoder.dimension, encoder.details_dimension)
    listing = list_sources(sources)
    if not listing.addresses:
        raise UsageError(f"no photos in {', '.join(sources)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder, about, encoder)
        with writer_lock(folder):
            return _bring_up_to_date(listing, folder, about, run, shard_photos, retry, progress)
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror or error}; what was finished is kept"
        ) from error


def _claim(folder: Path, about: EncoderRecord, encoder: Encoder) -> None:
    """Make sure that the folder is for this encoder."""
    try:
        theirs = read_manifest(folder).encoder
    except IndexMissingError:
        encoder.try_out()
        write_manifest(folder, Manifest(about, complete=False))
        return
    if theirs.digest != about.digest:
        raise IndexMismatchError(
            f"the shards in {folder} were made by another encoder ({theirs.model}, digest "
            f"{theirs.digest[:8]}…) than {about.model}: name that one, or another folder"
        )


def _bring_up_to_date(
    listing: Listing,
    folder: Path,
    about: EncoderRecord,
    run: Run,
    shard_photos: int,
    retry: bool,
    progress: Progress | None,
) -> EmbedReport:
    kept, stale = _sort_out(list(shards_in(folder, about)), listing, retry)
    known = {(one.source, one.path) for shard in kept for one in shard.made_from}
    fresh = [one for one in listing.addresses if (one.source, one.path) not in known]
    del known
    work = _cut(fresh, shard_photos)
    report = EmbedReport(problems=listing.problems, passed_over=listing.passed_over)
    total = len(fresh)
    before = read_manifest(folder)
    records = {record.file: record for record in before.shards}
    whole = tuple(sorted({*before.whole, *listing.whole}))
    if work:
        write_manifest(folder, Manifest(about, complete=False, whole=before.whole))
        for made in run(work, about):
            record = write_shard(folder, made.work.made_from, made.table)
            records[record.file] = record
            total += len(made.table) - len(made.work.made_from)
            report.fresh += len(made.table)
            _note_problems(made.table, report)
            if progress:
                progress(report.fresh, total)
    places = {shard.path.name: shard.made_from[0] for shard in kept}
    places |= {shard_name(one.made_from): one.made_from[0] for one in work}
    for shard in stale:
        if shard.path.name not in places:
            shard.path.unlink()
    order = sorted(places, key=lambda name: (places[name].source, places[name].path))
    shards = tuple(records.get(name) or record_of(folder / name) for name in order)
    manifest = Manifest(about, True, whole, shards)
    write_manifest(folder, manifest)
    if not manifest.photos:
        first = report.problems[0] if report.problems else None
        why = f" ({first.path}: {first.reason})" if first else ""
        raise UsageError(f"none of {manifest.unreadable:,} files can be read as a photo{why}")
    report.photos, report.unreadable = manifest.photos, manifest.unreadable
    report.shards = len(shards)
    return report


def _sort_out(
    shards: list[Shard], listing: Listing, retry: bool
) -> tuple[list[Shard], list[Shard]]:
    """Tell shards that hold as they are from those in which something is of the past."""
    now = {(one.source, one.path): (one.size, one.mtime_ns) for one in listing.addresses}
    kept: list[Shard] = []
    stale: list[Shard] = []
    seen: set[tuple[str, str]] = set()

    def holds(one: Address) -> bool:
        place = (one.source, one.path)
        if place in seen:  # a run that was ended between a new shard and the end of the old one
            return False
        if place not in now:
            return one.is_archive or one.source not in listing.whole
        return now[place] == (one.size, one.mtime_ns)

    for shard in shards:
        if all(map(holds, shard.made_from)) and not (retry and shard.problems):
            kept.append(shard)
            seen.update((one.source, one.path) for one in shard.made_from)
        else:
            stale.append(shard)
    return kept, stale


def _cut(addresses: list[Address], shard_photos: int) -> list[Work]:
    """Cut photos into shards; each archive is one by itself."""
    work: list[Work] = [Work((one,)) for one in addresses if one.is_archive]
    photos = iter(one for one in addresses if not one.is_archive)
    while part := tuple(islice(photos, shard_photos)):
        work.append(Work(part))
    return work


def _note_problems(table: pa.Table, report: EmbedReport) -> None:
    problems = table.column("problem")
    if problems.null_count == len(table):
        return
    rows = table.select(["source", "path", "problem"]).filter(problems.is_valid()).to_pylist()
    for row in rows[: _NAMED_PROBLEMS - len(report.problems)]:
        where = Address(row["source"], row["path"]).whole if row["path"] else row["source"]
        report.problems.append(Problem(Path(where), row["problem"]))
