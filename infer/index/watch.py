"""Following folders: the index is kept current while photos come, change, move and go.

The operating system says which paths have changed. A path waits until its file has stayed as it is
for a moment, so that a photo that is being copied is left alone and a burst of changes becomes one
batch. A file that even so is no whole photo is told of only when it stays that way: the next bytes
that are written to it bring it back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from watchfiles import watch

from ..errors import IndexBusyError, Problem, UsageError
from ..photos.formats import BY_SUFFIX
from ..photos.ignore import IGNORE_FILE
from .image_index import ImageIndex
from .report import AddReport

SETTLED = 0.5  # seconds that a file must have stayed as it is
TICK = 0.3  # seconds between two looks at what is waiting
QUIET = 0.05  # seconds without a change, after which those before are looked at together
PATIENCE = 20.0  # seconds before a file that cannot be read is told of
PAUSE = 1.0  # seconds between two tries while another process is writing, or no folder is there
FULL_SCAN = 3600.0  # seconds between two looks at everything: on network drives events get lost

Identity = tuple[int, int]  # device and number of a folder


@dataclass(frozen=True)
class _Seen:
    """What was last seen at a path.

    Attributes:
        state: size and time of the last change of its file; None where there is no file.
        since: when it was first seen like this, in seconds of the monotonic clock.
    """

    state: tuple[int, int] | None
    since: float


class Watcher:
    """Keeps an index current with some folders.

    Args:
        index: to be kept current.
        folders: to be followed, with everything below them.
        report: called with what was done, where anything was.
        say: called with a line for the user.
    """

    def __init__(
        self,
        index: ImageIndex,
        folders: Sequence[Path],
        report: Callable[[AddReport], None],
        say: Callable[[str], None],
    ) -> None:
        self._index = index
        self._own = Path(os.path.realpath(index.folder))  # what happens in there is our own doing
        self._folders = [Path(os.path.realpath(folder)) for folder in folders]
        self._report = report
        self._say = say
        self._waiting: dict[Path, _Seen] = {}
        self._problems: dict[Path, tuple[Problem, float]] = {}  # path → what to tell, and when
        self._scanned: dict[Path, float] = {}  # folder → when all of it was looked at
        self._is_busy = False  # the user was told that another process is writing

    def run(self) -> None:
        """Follow the folders for ever; only an exception (KeyboardInterrupt, as a rule) ends it.

        Raises:
            UsageError: the system cannot watch a folder.
            ImgsimError: what :meth:`ImageIndex.add` raises; but where another process is writing,
                its end is waited for.
        """
        missed: set[Path] = set()
        while True:
            there = self._there()
            for folder in set(self._folders) - there.keys() - missed:
                self._say(f"{folder} is not there: waiting for it")
            missed = set(self._folders) - there.keys()
            self._scanned.clear()
            if there:
                self._follow(there)
            else:
                time.sleep(PAUSE)

    def _there(self) -> dict[Path, Identity]:
        """Find the folders that are there now."""
        identities = {folder: _identity(folder) for folder in self._folders}
        return {folder: known for folder, known in identities.items() if known}

    def _follow(self, there: dict[Path, Identity]) -> None:
        """Follow folders until one of them goes, is replaced, or another one comes."""
        events = watch(
            *there,
            watch_filter=None,
            debounce=round(TICK * 1000),
            step=round(QUIET * 1000),
            rust_timeout=round(TICK * 1000),
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        with closing(events):
            while self._there() == there:
                try:
                    # The watching begins here, before the first look at everything.
                    changes = next(events)
                except (OSError, RuntimeError) as error:
                    if self._there() != there:
                        return
                    raise UsageError(
                        f"cannot watch {', '.join(map(str, there))}: {error} (where a limit of the "
                        "system is reached, raise fs.inotify.max_user_watches or set "
                        "WATCHFILES_FORCE_POLLING=1)"
                    ) from error
                for _, path in changes:
                    self._note(Path(path))
                self._take_in(there)

    def _note(self, path: Path) -> None:
        """Let a path wait, if it may be a photo or a folder with photos."""
        if path.name == IGNORE_FILE:
            path = path.parent  # other files count from now on
        inside = next((path.relative_to(f) for f in self._folders if path.is_relative_to(f)), path)
        if path.is_relative_to(self._own) or any(part.startswith(".") for part in inside.parts):
            return
        state = _state(path)
        # What is gone may have been a folder, whatever its name.
        if state is None or path.suffix.lower() in BY_SUFFIX or path.is_dir():
            before = self._waiting.get(path)
            if before is None or before.state != state:
                self._waiting[path] = _Seen(state, time.monotonic())

    def _take_in(self, there: Iterable[Path]) -> None:
        """Bring the index up to date with what has settled; with everything, when it is time."""
        now = time.monotonic()
        settled = [path for path in list(self._waiting) if self._has_settled(path, now)]
        overdue = [f for f in there if now >= self._scanned.get(f, -FULL_SCAN) + FULL_SCAN]
        if settled or overdue:
            try:
                done = self._index.add([*overdue, *_places(settled)], allow_empty=True)
            except IndexBusyError as error:
                if not self._is_busy:
                    self._say(f"waiting: {error}")
                self._is_busy = True
                time.sleep(PAUSE)
                return
            self._is_busy = False
            self._scanned |= dict.fromkeys(overdue, now)
            for path in settled:
                del self._waiting[path]
                self._problems.pop(path, None)
            self._problems |= {problem.path: (problem, now + PATIENCE) for problem in done.problems}
            if done.added or done.changed or done.moved or done.removed:
                self._report(done)
        for path, (problem, deadline) in list(self._problems.items()):
            if now >= deadline:
                self._say(f"cannot read {problem.path}: {problem.reason}")
                del self._problems[path]

    def _has_settled(self, path: Path, now: float) -> bool:
        state = _state(path)
        if state != self._waiting[path].state:
            self._waiting[path] = _Seen(state, now)
        return now >= self._waiting[path].since + SETTLED


def _places(paths: Iterable[Path]) -> Iterable[Path]:
    """Name what has to be looked at for paths: for a link, the folder that it lies in."""
    return dict.fromkeys(path.parent if path.is_symlink() else path for path in paths)


def _identity(folder: Path) -> Identity | None:
    """Tell a folder from another that takes its place; None where there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if folder.is_dir() else None


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
