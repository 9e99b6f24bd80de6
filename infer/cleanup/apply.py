"""Carrying out a plan, and taking that back.

Before each step both files are read again: the one that stays has to be there as it was planned,
and so has the one that goes. What is about to be done is on the disk, in a :mod:`.journal`, before
it is done; taking it back looks at what is really there and does only what that proves.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..encoder.embed import content_digest
from ..errors import CleanupError, JournalError, Problem
from ..progress import Progress
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
    top = _shared_folder(plan)
    number = 0
    with Journal.begin(journals, action) as journal:
        report = CleanupReport(journal.path)
        for group in plan.groups:
            for file in group.remove:
                try:
                    status = _checked(file)
                    _check_kept(group.keep, file)
                    place = None
                    if action == HARDLINK and file.digest != group.keep.digest:
                        raise _NotSoError("not the same bytes as the file that stays")
                    if action == MOVE and target is not None:
                        place = _free_place(target / file.path.relative_to(top))
                    mode = stat.S_IMODE(status.st_mode)
                    step = Step(number, file.path, place, file.digest, status.st_mtime_ns, mode)
                    journal.will_do(step)
                    _take(step, action, group.keep.path)
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
                report.bytes += step.path.stat().st_size
            except (_NotSoError, OSError) as error:
                report.refused.append(Problem(step.path, _reason(error)))
            if progress:
                progress(number, len(record.open_steps))
    return report


# --- before a step -------------------------------------------------------------------------------


def _prepare(target: Path | None) -> None:
    if target is None:
        raise CleanupError("moving needs a folder to move to")
    try:
        target.mkdir(parents=True, exist_ok=True)
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


def _checked(file: PlannedFile) -> os.stat_result:
    """Make sure that a file is the planned one."""
    status = file.path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise _NotSoError("a link, not a file of its own")
    if status.st_size != file.size or _digest(file.path) != file.digest:
        raise _NotSoError("changed since the plan was made")
    return status


def _check_kept(keep: PlannedFile, file: PlannedFile) -> None:
    try:
        _checked(keep)
        if keep.path.samefile(file.path):
            raise _NotSoError(f"the same file as {keep.path}, which stays")
    except OSError as error:
        raise _NotSoError(f"{keep.path}, which should stay: {_reason(error)}") from error
    except _NotSoError as error:
        if str(error).startswith("the same file"):
            raise
        raise _NotSoError(f"{keep.path}, which should stay, is {error}") from error


def _digest(path: Path) -> bytes:
    return content_digest(path.read_bytes())


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


def _take(step: Step, action: str, keep: Path) -> None:
    if action == TRASH:
        send_to_trash(step.path)
    elif action == HARDLINK:
        temporary = _beside(step.path)
        try:
            os.link(keep, temporary)
            temporary.replace(step.path)
        finally:
            temporary.unlink(missing_ok=True)
    elif step.target is not None:
        step.target.parent.mkdir(parents=True, exist_ok=True)
        _move(step.path, step.target)


def _move(path: Path, target: Path) -> None:
    """Move a file without ever overwriting one, so that it is whole at one of the two places."""
    try:
        os.link(path, target)  # unlike a rename, this fails where the target exists
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without links
        temporary = _beside(target)
        try:
            shutil.copy2(path, temporary)
            _sync(temporary)
            if _digest(temporary) != _digest(path):
                raise _NotSoError(f"its copy in {target.parent} was not faithful") from None
            if os.path.lexists(target):
                raise _NotSoError(f"there is a file at {target}") from None
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
    path.unlink()


def _beside(path: Path) -> Path:
    """Name a temporary file that is on the same file system, and hidden from indexing."""
    return path.with_name(f".imgsim-edge-{os.getpid()}-{path.name}")


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


# --- and back ------------------------------------------------------------------------------------


def _way_back(record: Record) -> Callable[[Step], None]:
    if record.action == MOVE:
        return _move_back
    if record.action == HARDLINK:
        return _unlink_from_twin
    if record.action == TRASH:
        trashes = Trashes(step.path for step in record.open_steps)
        return lambda step: _out_of_trash(step, trashes)
    raise JournalError(f"{record.path}: unknown action {record.action!r}")


def _move_back(step: Step) -> None:
    if step.target is None:
        raise _NotSoError("the journal does not say where it went")
    moved = os.path.lexists(step.target)
    if os.path.lexists(step.path):
        if _is(step.path, step):
            if moved and _is(step.target, step):
                step.target.unlink()  # stopped between the two halves of moving
            return
        raise _NotSoError("another file has its place now")
    if not moved:
        raise _NotSoError(f"gone from {step.target}")
    if not _is(step.target, step):
        raise _NotSoError(f"changed in {step.target}")
    step.path.parent.mkdir(parents=True, exist_ok=True)
    _move(step.target, step.path)


def _unlink_from_twin(step: Step) -> None:
    """Give a file bytes of its own again, with its former time and permissions."""
    if not os.path.lexists(step.path):
        raise _NotSoError("gone")
    if not _is(step.path, step):
        raise _NotSoError("changed since it became a link")
    status = step.path.stat()
    if status.st_nlink == 1 and status.st_mtime_ns == step.mtime_ns:
        return  # the step was not taken
    temporary = _beside(step.path)
    try:
        shutil.copyfile(step.path, temporary)
        temporary.chmod(step.mode)
        os.utime(temporary, ns=(step.mtime_ns, step.mtime_ns))
        _sync(temporary)
        temporary.replace(step.path)
    finally:
        temporary.unlink(missing_ok=True)


def _out_of_trash(step: Step, trashes: Trashes) -> None:
    if os.path.lexists(step.path):
        if _is(step.path, step):
            return  # never went, or came back already
        raise _NotSoError("another file has its place now")
    for file, note in reversed(trashes.find(step.path)):
        if file.is_file() and _is(file, step):
            step.path.parent.mkdir(parents=True, exist_ok=True)
            _move(file, step.path)
            note.unlink(missing_ok=True)
            return
    raise _NotSoError("not found in the trash: look there yourself, it may be under another name")


def _is(path: Path, step: Step) -> bool:
    """Tell whether a file is the one of a step."""
    return stat.S_ISREG(path.lstat().st_mode) and _digest(path) == step.digest
