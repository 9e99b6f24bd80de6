"""Carrying out a plan, and taking that back.

Before each step both files are read again: the one that stays has to be there as it was planned,
and so has the one that goes. What is about to be done is on the disk, in a :mod:`.journal`, before
it is done; taking it back looks at what is really there and does only what that proves. A plan may
have been edited by anyone: only files below given folders are touched, each through a
:class:`.Folder` that no link can be put in the place of.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CleanupError, JournalError, Problem
from ..files import make_folder
from ..progress import Progress
from .folder import Folder, root_of, same_file
from .journal import Journal, Record, Step, last_journal, read_journal
from .plan import Plan, PlannedFile
from .trash import Trashes, require_trash, send_to_trash

TRASH, HARDLINK, MOVE = "trash", "hardlink", "move"


@dataclass
class CleanupReport:
    """What :func:`apply` or :func:`undo` did.

    Attributes:
        done: files that were dealt with.
        bytes: that they hold.
        refused: files that were left as they are.
        journal: of the steps.
    """

    journal: Path
    done: list[Path] = field(default_factory=list)
    bytes: int = 0
    refused: list[Problem] = field(default_factory=list)


class _NotSoError(Exception):
    """A step that cannot be taken, with the reason as its text."""


def apply(
    plan: Plan,
    action: str,
    journals: Path,
    *,
    roots: Iterable[Path],
    target: Path | None = None,
    progress: Progress | None = None,
) -> CleanupReport:
    """Let the files go that a plan says may go.

    A file that is not as it was planned, or whose kept twin is not, is refused; the rest goes on.

    Args:
        plan: of what stays and goes.
        action: ``TRASH``; ``HARDLINK`` (exact copies become links to the file that stays, others
            are refused); or ``MOVE`` to ``target``, where they lie as they did below the folder
            that all of them share.
        journals: folder of the journals, made where needed.
        roots: folders, such as those of an index; files outside them are refused, and so are
            those that only a symbolic link below them leads to.
        target: a folder, made where needed.
        progress: called with (files done, files to do).

    Raises:
        CleanupError: the action is not possible here.
        JournalError: the journal cannot be written; no further file was touched.
    """
    if action == TRASH:
        require_trash()
    if action == MOVE:
        _prepare(target)
    top, roots = _shared_folder(plan), tuple(roots)
    kept = set(_identities(group.keep.path for group in plan.groups))
    number = 0
    with Journal.begin(journals, action, roots) as journal:
        report = CleanupReport(journal.path)
        for group in plan.groups:
            for file in group.remove:
                try:
                    if action == HARDLINK and file.digest != group.keep.digest:
                        raise _NotSoError("not the same bytes as the file that stays")
                    with _planned(file, roots) as going, _kept(group.keep, roots) as staying:
                        if going.identity in kept:
                            raise _NotSoError(f"the same file as {_twin(going, plan)}, which stays")
                        place = None
                        if action == MOVE and target is not None:
                            place = _free_place(target / file.path.relative_to(top))
                        step = Step(
                            number, file.path, place, file.digest, going.mtime_ns, going.mode
                        )
                        journal.will_do(step)
                        _take(step, action, going, staying, target)
                        journal.was_done(step)
                    report.done.append(file.path)
                    report.bytes += file.size
                except (_NotSoError, OSError) as error:
                    report.refused.append(Problem(file.path, _reason(error)))
                number += 1
                if progress:
                    progress(number, plan.files)
    return report


def undo(
    journals: Path, journal: Path | None = None, *, progress: Progress | None = None
) -> CleanupReport:
    """Take a cleanup back, the last step first.

    Every file is put back that can be proved to be the one that went; what cannot, is refused and
    stays in the journal, so that it can be tried again.

    Args:
        journals: folder of the journals.
        journal: the one to take back; the newest with anything left where None.
        progress: called with (files done, files to do).

    Raises:
        JournalError: there is none, or it cannot be read or written.
    """
    record = read_journal(journal) if journal else last_journal(journals)
    if record is None:
        raise JournalError(f"nothing to undo in {journals}")
    report = CleanupReport(record.path)
    take_back = _way_back(record)
    with Journal(record.path) as continued:
        for number, step in enumerate(reversed(record.open_steps), start=1):
            try:
                take_back(step)
                continued.is_over(step)
                report.done.append(step.path)
                report.bytes += step.path.lstat().st_size
            except (_NotSoError, OSError) as error:
                report.refused.append(Problem(step.path, _reason(error)))
            if progress:
                progress(number, len(record.open_steps))
    return report


# --- before a step -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _File:
    """A file in a folder that is held, as it was when it was read."""

    folder: Folder
    name: str
    digest: bytes
    status: os.stat_result

    @property
    def identity(self) -> tuple[int, int]:
        return self.status.st_dev, self.status.st_ino

    @property
    def mtime_ns(self) -> int:
        return self.status.st_mtime_ns

    @property
    def mode(self) -> int:
        return stat.S_IMODE(self.status.st_mode)

    def check(self) -> None:
        """Make sure that its name still means it: the last thing before it is touched."""
        if not same_file(self.folder.status(self.name), self.status):
            raise _NotSoError("another file took its place meanwhile")


def _prepare(target: Path | None) -> None:
    if target is None:
        raise CleanupError("moving needs a folder to move to")
    try:
        make_folder(target)
    except OSError as error:
        raise CleanupError(f"cannot move to {target}: {error.strerror}") from error
    if not os.access(target, os.W_OK | os.X_OK):
        raise CleanupError(f"cannot move to {target}: permission denied")


def _shared_folder(plan: Plan) -> Path:
    folders = [str(file.path.parent) for group in plan.groups for file in group.remove]
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:
        raise CleanupError("the plan names no file to remove") from error


def _identities(paths: Iterable[Path]) -> Iterator[tuple[int, int]]:
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue  # which is said when its turn comes
        yield status.st_dev, status.st_ino


def _twin(going: _File, plan: Plan) -> Path:
    paths = [group.keep.path for group in plan.groups]
    return next(path for path in paths if [going.identity] == list(_identities([path])))


@contextmanager
def _planned(file: PlannedFile, roots: tuple[Path, ...]) -> Iterator[_File]:
    """Hold the folder of a file, and make sure that the file is the planned one."""
    root = root_of(file.path, roots)
    if root is None:
        raise _NotSoError("outside the folders that were indexed")
    with Folder.held(root, file.path.parent) as folder:
        found = _found(folder, file.path.name)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if (found.status.st_size, found.digest) != (file.size, file.digest):
            raise _NotSoError("changed since the plan was made")
        yield found


@contextmanager
def _kept(keep: PlannedFile, roots: tuple[Path, ...]) -> Iterator[_File]:
    with ExitStack() as held:
        try:
            file = held.enter_context(_planned(keep, roots))
        except (OSError, _NotSoError) as error:
            is_so = "is " if isinstance(error, _NotSoError) else ""
            wrong = f", {is_so}" if is_so else ": "
            raise _NotSoError(f"{keep.path}, which should stay{wrong}{_reason(error)}") from error
        yield file


def _found(folder: Folder, name: str) -> _File | None:
    """Read a file; None where there is none."""
    status = folder.status(name)
    if status is None:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise _NotSoError("a link, not a file of its own")
    digest, read = folder.digest(name)
    return _File(folder, name, digest, read)


def _free_place(wanted: Path) -> Path:
    """Find a name that no file has."""
    place, number = wanted, 1
    while os.path.lexists(place):
        place = wanted.with_name(f"{wanted.stem} ({number}){wanted.suffix}")
        number += 1
    return place


def _reason(error: Exception) -> str:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return reason[:1].lower() + reason[1:]


# --- the steps -----------------------------------------------------------------------------------


def _take(step: Step, action: str, going: _File, staying: _File, target: Path | None) -> None:
    if action == TRASH:
        going.check()
        send_to_trash(step.path)
        if going.folder.status(going.name) is not None:
            raise _NotSoError(
                "its folder was exchanged meanwhile: look at what is in the trash now"
            )
    elif action == HARDLINK:
        _link(going, staying)
    elif step.target is not None and target is not None:
        with Folder.held(target, step.target.parent, make=True) as folder:
            _move(going, folder, step.target.name)


def _link(going: _File, staying: _File) -> None:
    """Put a link to the file that stays in the place of the one that goes."""
    temporary = _temporary(going.name)
    try:
        staying.folder.link(staying.name, going.folder, temporary)
        if not same_file(going.folder.status(temporary), staying.status):
            raise _NotSoError("the file that stays was exchanged meanwhile")
        going.check()
        going.folder.replace(temporary, going.name)
        going.folder.sync()
    finally:
        going.folder.remove(temporary)


def _move(file: _File, folder: Folder, name: str) -> None:
    """Move a file without ever overwriting one, so that it is whole at one of the two places."""
    temporary = _temporary(name)
    try:
        try:
            # Unlike a rename, this fails where the name is taken.
            file.folder.link(file.name, folder, name)
            if not same_file(folder.status(name), file.status):
                folder.remove(name)
                raise _NotSoError("another file took its place meanwhile")
        except FileExistsError:
            raise
        except OSError:  # another file system, or one without links
            if file.folder.copy(file.name, folder, temporary) != file.digest:
                raise _NotSoError(f"its copy in {folder.path} was not faithful") from None
            if folder.status(name) is not None:
                raise _NotSoError(f"there is a file at {folder.path / name}") from None
            folder.replace(temporary, name)
    finally:
        folder.remove(temporary)
    folder.sync()  # before the first name goes, so that a power cut cannot take both
    file.check()
    file.folder.remove(file.name)
    file.folder.sync()


def _temporary(name: str) -> str:
    """Name a file that is hidden from indexing."""
    return f".imgsim-edge-{os.getpid()}-{name}"


# --- and back ------------------------------------------------------------------------------------


def _way_back(record: Record) -> Callable[[Step], None]:
    if record.action == MOVE:
        return lambda step: _move_back(step, record)
    if record.action == HARDLINK:
        return lambda step: _unlink_from_twin(step, record)
    if record.action == TRASH:
        trashes = Trashes(step.path for step in record.open_steps)
        return lambda step: _out_of_trash(step, record, trashes)
    raise JournalError(f"{record.path}: unknown action {record.action!r}")


@contextmanager
def _home(step: Step, record: Record, *, make: bool = False) -> Iterator[Folder]:
    """Hold the folder that a file belongs in."""
    folder = step.path.parent
    root = root_of(step.path, record.roots)
    # Journals of earlier versions name no roots.
    with Folder.held(root or folder, folder, make=make) as held:
        yield held


def _is_back(step: Step, home: Folder) -> bool:
    """Tell whether a file is in its place; raises where another one is."""
    try:
        there = _found(home, step.path.name)
    except _NotSoError:
        raise _NotSoError("another file has its place now") from None
    if there is not None and there.digest != step.digest:
        raise _NotSoError("another file has its place now")
    return there is not None


def _move_back(step: Step, record: Record) -> None:
    target = step.target
    if target is None:
        raise _NotSoError("the journal does not say where it went")
    with _home(step, record, make=True) as home:
        is_back = _is_back(step, home)
        if not is_back and not os.path.lexists(target):
            raise _NotSoError(f"gone from {target}")
        if is_back and not target.parent.is_dir():
            return
        with Folder.held(target.parent, target.parent) as away:
            moved = _found(away, target.name)
            same = moved is not None and moved.digest == step.digest
            if is_back:
                # Stopped between the two halves of moving, unless both names mean one place.
                if same and moved is not None and not _is_only_name(moved, home, step.path.name):
                    away.remove(target.name)
                return
            if moved is None or not same:
                raise _NotSoError(f"changed in {target}")
            _move(moved, home, step.path.name)


def _is_only_name(file: _File, home: Folder, name: str) -> bool:
    """Tell whether a file is the one at a place and has no second name."""
    return file.status.st_nlink == 1 and same_file(home.status(name), file.status)


def _unlink_from_twin(step: Step, record: Record) -> None:
    """Give a file bytes of its own again, with its former time and permissions."""
    with _home(step, record) as home:
        name = step.path.name
        file = _found(home, name)
        if file is None:
            raise _NotSoError("gone")
        if file.digest != step.digest:
            raise _NotSoError("changed since it became a link")
        if file.status.st_nlink == 1 and file.mtime_ns == step.mtime_ns:
            return  # the step was not taken
        temporary = _temporary(name)
        try:
            if home.copy(name, home, temporary) != step.digest:
                raise _NotSoError("changed since it became a link")
            home.set_status(temporary, step.mode, step.mtime_ns)
            file.check()
            home.replace(temporary, name)
            home.sync()
        finally:
            home.remove(temporary)


def _out_of_trash(step: Step, record: Record, trashes: Trashes) -> None:
    with _home(step, record, make=True) as home:
        if _is_back(step, home):
            return  # never went, or came back already
        for path, note in reversed(trashes.find(step.path)):
            with Folder.held(path.parent, path.parent) as trash:
                file = _found(trash, path.name)
                if file is not None and file.digest == step.digest:
                    _move(file, home, step.path.name)
                    note.unlink(missing_ok=True)
                    return
    raise _NotSoError("not found in the trash: look there yourself, it may be under another name")
