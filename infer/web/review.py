"""Looking through groups of duplicates, and deciding what may go.

Nothing here touches a photo: a decision ends up in a plan, which `imgsim-edge apply` carries out,
or in the index, which remembers that photos are no duplicates.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..cleanup.plan import Plan, plan_of, write_plan
from ..duplicates.groups import Copy, Group, find_groups
from ..errors import ImgsimError, UsageError
from ..index.image_index import ImageIndex, IndexedPhoto


@dataclass(frozen=True)
class Candidate:
    """A photo of a group.

    Attributes:
        photo: as the index knows it.
        copy: how it is a copy of the photo that was proposed to be kept; None for that one.
        stays: whether it is to be kept.
    """

    photo: IndexedPhoto
    copy: Copy | None
    stays: bool


@dataclass(frozen=True)
class Reviewed:
    """A group, and what was decided about it.

    Attributes:
        candidates: its photos, the one that was proposed to be kept first.
        not_duplicates: they are none, as someone has said.
    """

    candidates: tuple[Candidate, ...]
    not_duplicates: bool = False


@dataclass(frozen=True)
class Status:
    """How far the search for duplicates is.

    Attributes:
        search: a number that is another one for every search; 0 before the first.
        is_running: there is one in progress.
        done: steps done.
        total: steps to do; 0 while that is not known.
        error: why the last search failed, if it did.
        groups: how many were found.
        files: how many photos may go, by what is decided so far.
        bytes: how much they hold.
        passed_over: how many photos could not be looked at.
    """

    search: int = 0
    is_running: bool = False
    done: int = 0
    total: int = 0
    error: str | None = None
    groups: int = 0
    files: int = 0
    bytes: int = 0
    passed_over: int = 0


@dataclass
class Review:
    """The duplicates of an index, searched for in the background.

    Attributes:
        index: whose photos are searched.
        plan_file: where the plan goes.

    Safe to call from several threads.
    """

    index: ImageIndex
    plan_file: Path
    _status: Status = field(default_factory=Status)
    _groups: list[Reviewed] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, within: Path | None, any_orientation: bool) -> None:
        """Search for duplicates, unless that is going on; what was decided before is dropped."""
        with self._lock:
            if self._status.is_running:
                return
            self._groups = []
            self._status = Status(search=self._status.search + 1, is_running=True)
        # A daemon, since it has nothing to save and the server may stop at any time.
        threading.Thread(target=self._search, args=(within, any_orientation), daemon=True).start()

    def status(self) -> Status:
        """Tell how far it is, and what the plan would hold."""
        with self._lock:
            plan = self._plan()
            return replace(
                self._status, groups=len(self._groups), files=plan.files, bytes=plan.bytes
            )

    def groups(self, first: int, count: int) -> list[Reviewed]:
        """Give some of the groups that were found: first those with photos to be looked at."""
        with self._lock:
            return self._groups[first : first + count]

    def choose(self, search: int, number: int, stay: set[int]) -> Reviewed:
        """Decide which photos of a group stay, by their ids.

        Raises:
            UsageError: none would, or there is no such group (any more).
        """
        with self._lock:
            group = self._group(search, number)
            chosen = tuple(replace(c, stays=c.photo.id in stay) for c in group.candidates)
            if not any(c.stays for c in chosen):
                raise UsageError("one photo of a group has to stay")
            self._groups[number] = replace(group, candidates=chosen)
            return self._groups[number]

    def mark_not_duplicates(self, search: int, number: int, said: bool) -> Reviewed:
        """Remember that the photos of a group are no duplicates, or take that back.

        Raises:
            UsageError: there is no such group (any more).
            IndexBusyError: another process is writing to the index.
        """
        with self._lock:
            group = self._group(search, number)
            digests = {candidate.photo.digest for candidate in group.candidates}
            self.index.mark_not_duplicates(digests, forget=not said)
            self._groups[number] = replace(group, not_duplicates=said)
            return self._groups[number]

    def write(self) -> Plan:
        """Write the plan.

        Raises:
            UsageError: nothing may go.
            PlanError: the file cannot be written.
        """
        with self._lock:
            plan = self._plan()
            if not plan.files:
                raise UsageError("no photo is to go, so there is nothing to plan")
            write_plan(plan, self.plan_file)
            return plan

    def _group(self, search: int, number: int) -> Reviewed:
        if search != self._status.search or not 0 <= number < len(self._groups):
            raise UsageError("these groups were searched for again meanwhile: reload the page")
        return self._groups[number]

    def _plan(self) -> Plan:
        groups = []
        for group in self._groups:
            stay = [c.photo for c in group.candidates if c.stays]
            go = [c for c in group.candidates if not c.stays]
            if go and not group.not_duplicates:
                copies = (c.copy or Copy(c.photo, False, True, 1.0, "", "") for c in go)
                groups.append(Group(stay[0], tuple(copies)))
        return plan_of(groups, include_look=True)  # someone has looked

    def _search(self, within: Path | None, any_orientation: bool) -> None:
        def progress(done: int, total: int) -> None:
            with self._lock:
                self._status = replace(self._status, done=done, total=total)

        found, error = None, "the search has failed"
        try:
            found = find_groups(
                self.index, within=within, any_orientation=any_orientation, progress=progress
            )
        except ImgsimError as problem:
            error = str(problem)
        finally:
            with self._lock:
                self._status = replace(
                    self._status,
                    is_running=False,
                    error=None if found else error,
                    passed_over=len(found.passed_over) if found else 0,
                )
                groups = sorted(found.groups, key=_is_certain) if found else []
                self._groups = [_reviewed(group) for group in groups]


def _is_certain(group: Group) -> bool:
    return all(copy.certain for copy in group.copies)


def _reviewed(group: Group) -> Reviewed:
    kept = Candidate(group.keep, None, True)
    return Reviewed(
        (kept, *(Candidate(copy.photo, copy, not copy.certain) for copy in group.copies))
    )
