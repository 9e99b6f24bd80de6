"""Run a change of an index again and again, and stop or hinder it at another write each time.

    python crash_points.py SCENARIO kill|ENOSPC|EIO PLACE

Counted are the writes, cuts and deletions that SQLite makes (by the table of system calls of its
own VFS), and the renames, syncs and deletions of the program and the saving of the graph (by
wrapping them, here and not in the program). At the N-th of them the process kills itself with
SIGKILL, or that call and all after it fail. Then another process looks at what is left. Each trial
is a fork of this process, which never opens an index itself.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import shutil
import signal
import sqlite3
import struct
import sys
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import onnxruntime  # noqa: F401 - before the forks
from imgsim_edge.infer.catalogue.database import APPLICATION_ID, Catalogue
from imgsim_edge.infer.catalogue.writer import Writer
from imgsim_edge.infer.encoder import embed
from imgsim_edge.infer.errors import ImgsimError, IndexMissingError
from imgsim_edge.infer.index import verify
from imgsim_edge.infer.index.image_index import ImageIndex
from imgsim_edge.infer.photos import scan  # noqa: F401
from imgsim_edge.infer.search.hnsw import Graph  # noqa: F401

# Where a scenario has more calls they are taken evenly, unless IMGSIM_EDGE_EVERY_POINT is set.
MOST_POINTS = {"kill": 60, "ENOSPC": 24, "EIO": 24}
WORKERS = 2
PHOTOS = 14
State = frozenset[tuple[str, bytes, int]]

# Batches of three photos, so that a few of them make many commits.
embed.BATCH, embed.LOOK_AHEAD = 3, 6


# --- counting and hindering -----------------------------------------------------------------------


class Calls:
    """Counts the calls that change the disk; at a chosen one it kills, or fails from then on."""

    def __init__(self, at: int = 0, how: str = "kill") -> None:
        self.count = 0
        self.at = at
        self.how = how

    def one_more(self) -> int:
        """Count a call: 0 where it may go on, else the number of the error that it gets."""
        self.count += 1
        if not self.at or self.count < self.at:
            return 0
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return getattr(errno, self.how)

    def install(self) -> None:
        self._hinder_sqlite()
        for module, name in ((os, "replace"), (os, "fsync"), (os, "unlink"), (os, "rename")):
            self._hinder(module, name)
        self._hinder_graph()

    def _hinder(self, module: Any, name: str) -> None:
        real = getattr(module, name)

        def hindered(*arguments: Any, **options: Any) -> Any:
            number = self.one_more()
            if number:
                raise OSError(number, os.strerror(number))
            return real(*arguments, **options)

        setattr(module, name, hindered)

    def _hinder_graph(self) -> None:
        calls = self

        class Index(hnswlib.Index):
            def save_index(self, path: str) -> None:
                if calls.at and calls.count + 1 >= calls.at:
                    # A real short write: the system allows no file of more than 1,000 bytes.
                    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
                    super().save_index(path)
                    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
                    calls.one_more()
                else:
                    calls.one_more()
                    super().save_index(path)

        hnswlib.Index = Index

    def _hinder_sqlite(self) -> None:
        """Put functions of our own into the table of system calls of SQLite's VFS."""
        import _sqlite3

        library = ctypes.CDLL(_sqlite3.__file__)  # it finds the SQLite that it is linked to
        if not hasattr(library, "sqlite3_vfs_find"):
            raise SystemExit("no access to SQLite's VFS")
        library.sqlite3_vfs_find.restype = ctypes.c_void_p
        vfs = library.sqlite3_vfs_find(None)
        pointer = ctypes.sizeof(ctypes.c_void_p)
        # sqlite3_vfs: three ints (padded), three pointers, thirteen methods, then these three.
        methods = vfs + 16 + 3 * pointer + 13 * pointer
        address = ctypes.c_void_p.from_address
        set_call = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
        )(address(methods).value)
        get_call = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
            address(methods + pointer).value
        )
        size, place = ctypes.c_size_t, ctypes.c_int64
        self._kept = []  # what C points to must not be collected
        for name, kinds in (
            (b"write", (ctypes.c_int, ctypes.c_void_p, size)),
            (b"pwrite", (ctypes.c_int, ctypes.c_void_p, size, place)),
            (b"pwrite64", (ctypes.c_int, ctypes.c_void_p, size, place)),
            (b"ftruncate", (ctypes.c_int, place)),
            (b"unlink", (ctypes.c_char_p,)),
        ):
            current = get_call(vfs, name)
            if not current:
                continue
            result = ctypes.c_ssize_t if b"write" in name else ctypes.c_int
            kind = ctypes.CFUNCTYPE(result, *kinds, use_errno=True)
            real = kind(current)

            def hindered(*arguments: Any, real: Callable[..., int] = real) -> int:
                number = self.one_more()
                if number:
                    ctypes.set_errno(number)
                    return -1
                return real(*arguments)

            replacement = kind(hindered)
            self._kept += [real, replacement]
            set_call(vfs, name, ctypes.cast(replacement, ctypes.c_void_p))


# --- what is changed ------------------------------------------------------------------------------


def photo(path: Path, colour: int) -> None:
    """Write a photo of 2 × 2 pixels, without Pillow: a BMP."""
    path.parent.mkdir(parents=True, exist_ok=True)
    red, green, blue = 1 + 37 * colour % 255, 1 + 91 * colour % 255, 1 + 11 * colour % 255
    row = bytes((blue, green, red, red, blue, green, 0, 0))
    header = struct.pack(
        "<2sIHHIIiiHHIIiiII", b"BM", 70, 0, 0, 54, 40, 2, 2, 1, 24, 0, 16, *[0] * 4
    )
    path.write_bytes(header + 2 * row)
    os.utime(path, ns=(0, 10**9 * (colour + 1)))


def prepare_nothing(place: Path) -> None:
    for number in range(PHOTOS):
        photo(place / "photos" / f"{number % 3}" / f"{number}.bmp", number)


def prepare_index(place: Path) -> None:
    prepare_nothing(place)
    for number in range(4):
        photo(place / "more" / f"{number}.bmp", 100 + number)
    add(place, place / "photos", place / "more")


def prepare_changes(place: Path) -> None:
    prepare_index(place)
    photos = place / "photos"
    (photos / "0" / "0.bmp").unlink()
    (photos / "1" / "1.bmp").rename(photos / "2" / "renamed.bmp")
    photo(photos / "0" / "3.bmp", 50)
    (photos / "1" / "4.bmp").write_bytes(b"no photo any more")
    for number in range(7):
        photo(photos / "new" / f"{number}.bmp", 60 + number)


def prepare_old_format(place: Path) -> None:
    prepare_index(place)
    to_format_1(place / "index")


def add(place: Path, *folders: Path) -> None:
    with ImageIndex.create(place / "index", place / "encoder.onnx") as opened:
        opened.add(folders or None, threads=1)


def change_first(place: Path) -> None:
    add(place, place / "photos")


def change_again(place: Path) -> None:
    add(place)


def change_forget(place: Path) -> None:
    with ImageIndex.open(place / "index") as opened:
        opened.forget(place / "photos")


def change_relocate(place: Path) -> None:
    with ImageIndex.open(place / "index") as opened:
        opened.relocate(place / "more", place / "elsewhere")


def prepare_relocate(place: Path) -> None:
    prepare_index(place)
    shutil.copytree(place / "more", place / "elsewhere")


def change_migrate(place: Path) -> None:
    ImageIndex.open(place / "index").close()


def prepare_repair(place: Path) -> None:
    prepare_index(place)
    path = place / "index" / "catalogue.sqlite"
    content = bytearray(path.read_bytes())
    at = content.index(b"3.bmp")
    content[at] ^= 1
    path.write_bytes(content)


def change_repair(place: Path) -> None:
    ImageIndex.repair(place / "index")


SCENARIOS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "first": (prepare_nothing, change_first),
    "again": (prepare_changes, change_again),
    "forget": (prepare_index, change_forget),
    "relocate": (prepare_relocate, change_relocate),
    "migrate": (prepare_old_format, change_migrate),
    "repair": (prepare_repair, change_repair),
}


def to_format_1(folder: Path) -> None:
    """Write an index anew in format 1, as FORMAT.md describes it."""
    with ImageIndex.open(folder) as opened:
        photos, (ids, vectors) = list(opened.photos()), opened.vectors()
        roots = opened.info().roots
        with opened._catalogue.snapshot() as snapshot:
            header = snapshot.header()
            unread = [(snapshot.folder_path(u.folder) / u.name, u) for u in snapshot.unreadable()]
    for file in folder.iterdir():
        file.unlink()
    connection = sqlite3.connect(folder / "catalogue.sqlite", isolation_level=None)
    connection.executescript(
        f"""PRAGMA journal_mode = WAL; PRAGMA application_id = {APPLICATION_ID};
        PRAGMA user_version = 1;
        CREATE TABLE header (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
        CREATE TABLE root (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);
        CREATE TABLE photo (id INTEGER PRIMARY KEY, root INTEGER NOT NULL REFERENCES root (id),
            path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest BLOB,
            width INTEGER, height INTEGER, problem TEXT, checksum INTEGER NOT NULL,
            UNIQUE (root, path));
        CREATE TABLE vectors (block INTEGER PRIMARY KEY, live BLOB NOT NULL, data BLOB NOT NULL,
            checksum INTEGER NOT NULL);"""
    )
    values = {
        **{"encoder_digest": header.encoder_digest, "model": header.model},
        **{"dimension": header.dimension, "metric": "cosine", "generation": header.generation},
        **{"created": "2026-11-23T00:00:00Z", "graph.file": "graph-1.hnsw"},
    }
    connection.executemany("INSERT INTO header VALUES (?, ?)", values.items())
    number_of = {root: number for number, root in enumerate(roots, 1)}
    connection.executemany(
        "INSERT INTO root VALUES (?, ?)", [(n, os.fsencode(r)) for r, n in number_of.items()]
    )

    def row(number: int, path: Path, *rest: Any) -> tuple[Any, ...]:
        root = next(root for root in roots if path.is_relative_to(root))
        row = (number, number_of[root], os.fsencode(path.relative_to(root).as_posix()), *rest)
        parts = [v if isinstance(v, bytes) else b"" if v is None else str(v).encode() for v in row]
        return (*row, zlib.crc32(b"\0".join(parts)))

    data, live = np.zeros((256, header.dimension), "<f4"), np.zeros(256, bool)
    data[ids], live[ids] = vectors, True
    rows = [
        row(p.id, p.path, p.size, p.mtime_ns, p.digest, p.width, p.height, None) for p in photos
    ]
    rows += [
        row(200 + n, path, u.size, u.mtime_ns, u.digest, None, None, u.reason)
        for n, (path, u) in enumerate(unread)
    ]
    connection.executemany(f"INSERT INTO photo VALUES ({', '.join('?' * 10)})", rows)
    packed = np.packbits(live).tobytes()
    written = zlib.crc32(data.tobytes(), zlib.crc32(packed, zlib.crc32(b"0")))
    connection.execute("INSERT INTO vectors VALUES (0, ?, ?, ?)", (packed, data.tobytes(), written))
    connection.close()


# --- one trial ------------------------------------------------------------------------------------


def state(folder: Path) -> State:
    """Read what an index holds: paths, content and vectors."""
    with ImageIndex.open(folder) as opened:
        ids, vectors = opened.vectors()
        by_id = {int(n): zlib.crc32(v.tobytes()) for n, v in zip(ids, vectors, strict=True)}
        photos = list(opened.photos())
        assert len(photos) == len(by_id) == len(opened)
        return frozenset((str(p.path), p.digest, by_id[p.id]) for p in photos)


def states(change: Callable[[Path], None], place: Path) -> list[State]:
    """Make a change undisturbed and note the state after every commit."""
    index_folder = place / "index"
    seen = [state(index_folder)] if index_folder.exists() else [frozenset()]
    real = Writer._transaction

    def noted(writer: Writer) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def transaction() -> Any:
            with real(writer):
                yield
            seen.append(state(index_folder))

        return transaction()

    Writer._transaction = noted  # type: ignore[method-assign]
    try:
        change(place)
    finally:
        Writer._transaction = real  # type: ignore[method-assign]
    seen.append(state(index_folder))
    return seen


def look(place: Path, change: Callable[[Path], None], possible: list[State]) -> None:
    """Look at what was left, and go on from there to where an undisturbed run ends."""
    folder = place / "index"
    try:
        Catalogue(folder).close()
    except IndexMissingError:
        assert frozenset() in possible, "the index is gone"
    else:
        if change is not change_repair:
            found = verify.verify(Catalogue(folder))
            assert not [f for f in found if f.part == "catalogue"], found
            left = state(folder)
            assert left in possible, f"a state that never was: {sorted(left)}"
            with ImageIndex.open(folder) as opened:
                for vector in opened.vectors()[1][:5]:
                    exact = opened.similar(vector, 5, exact=True)
                    assert opened.similar(vector, 5) == exact
                    assert opened.similar(vector, 5) == exact
            if found:
                ImageIndex.repair(folder)
                assert verify.verify(Catalogue(folder)) == []
    change(place)
    if change is not change_repair:
        assert state(folder) == possible[-1], "the next run does not end where it should"
    assert verify.verify(Catalogue(folder)) == []


def forked(work: Callable[[], object]) -> int:
    """Do work in a process of its own: its exit status, negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
    except BaseException:  # noqa: BLE001 - nothing may get out of the fork
        traceback.print_exc()
        os._exit(3)
    os._exit(0)


def hindered(change: Callable[[Path], None], place: Path, calls: Calls) -> None:
    calls.install()
    try:
        change(place)
    except ImgsimError as error:
        assert "\n" not in str(error)
    (place / "calls").write_text(str(calls.count))


def trial(scenario: str, start: Path, place: Path, at: int, how: str, possible: list[State]) -> int:
    """Hinder a change at one call and look at what is left: 0 where all is well."""
    _, change = SCENARIOS[scenario]
    shutil.rmtree(place / "index", ignore_errors=True)
    if (start / "index").exists():
        shutil.copytree(start / "index", place / "index")
    status = forked(lambda: hindered(change, place, Calls(at, how)))
    if status not in (0, -signal.SIGKILL):
        print(f"{scenario} {how} at {at}: the program failed with {status}", file=sys.stderr)
        return 1
    if forked(lambda: look(place, again_of(scenario), possible)):
        print(f"{scenario} {how} at {at}: what was left is wrong", file=sys.stderr)
        return 1
    return 0


def again_of(scenario: str) -> Callable[[Path], None]:
    """What a user does next: the same again, as far as it is still to be done."""
    change = SCENARIOS[scenario][1]
    if scenario not in ("forget", "relocate"):
        return change

    def once_more(place: Path) -> None:
        try:
            change(place)
        except ImgsimError as error:
            assert "was indexed" in str(error)  # it had been done

    return once_more


def main(scenario: str, how: str, place: Path) -> None:
    import pickle

    prepare, change = SCENARIOS[scenario]
    assert forked(lambda: prepare(place)) == 0
    start = place / "start"
    start.mkdir()
    if (place / "index").exists():
        shutil.copytree(place / "index", start / "index")
    noted = place / "states"
    dump = lambda: noted.write_bytes(pickle.dumps(states(change, place)))  # noqa: E731
    if scenario == "repair":
        noted.write_bytes(pickle.dumps([]))
    else:
        assert forked(dump) == 0
    possible = pickle.loads(noted.read_bytes())
    shutil.rmtree(place / "index")
    if (start / "index").exists():
        shutil.copytree(start / "index", place / "index")
    assert forked(lambda: hindered(change, place, Calls())) == 0
    total = int((place / "calls").read_text())
    most = total if os.environ.get("IMGSIM_EDGE_EVERY_POINT") else min(total, MOST_POINTS[how])
    points = sorted({round(n) for n in np.linspace(1, total, most)})

    def work(worker: int) -> None:
        own = place / f"worker{worker}"
        own.mkdir()
        for shared in ("photos", "more", "elsewhere", "encoder.onnx"):
            (own / shared).symlink_to(place / shared)
        failed = sum(
            trial(scenario, start, own, at, how, possible) for at in points[worker::WORKERS]
        )
        (own / "failed").write_text(str(failed))

    children = []
    for worker in range(WORKERS):
        child = os.fork()
        if not child:
            os._exit(forked(lambda worker=worker: work(worker)))  # type: ignore[misc]
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    failed = sum(int((place / f"worker{n}" / "failed").read_text()) for n in range(WORKERS))
    print(json.dumps({"calls": total, "points": len(points), "failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
