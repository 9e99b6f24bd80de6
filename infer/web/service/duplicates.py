"""Duplicates: searched for in the background, looked at group by group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ...index.image_index import ImageIndex
from ..review import Candidate, Review, Reviewed
from .answers import (
    CopyOfPhoto,
    Done,
    GroupOfDuplicates,
    Groups,
    SearchForDuplicates,
    photo_answer,
)
from .endpoint import Asked, Endpoint, Message, Nothing, Wishes
from .photos import photo_numbered

MOST_GROUPS = 1000  # in one answer
MOST_IN_JUDGEMENT = 100  # photos in one judgement


class DuplicateWishes(Wishes):
    """Where to search, and for what."""

    within: Annotated[str | None, Field(description="only photos below this folder")] = None
    any_orientation: Annotated[bool, Field(description="find rotated and mirrored copies, too")] = (
        False
    )


class GroupWishes(Wishes):
    """Which part of the groups."""

    first: Annotated[int, Field(description="how many to leave out", ge=0)] = 0
    count: Annotated[int, Field(description="how many", ge=0, le=MOST_GROUPS)] = 100


class NotDuplicatesMessage(Message):
    """Photos that are no duplicates of one another."""

    ids: Annotated[list[int], Field(min_length=2, max_length=MOST_IN_JUDGEMENT)]
    undo: Annotated[bool, Field(description="take the judgement back")] = False


class DuplicateEndpoints:
    """Answers about duplicates. Nothing here touches a photo."""

    def __init__(self, index: ImageIndex, review: Review) -> None:
        self._index = index
        self._review = review

    def endpoints(self) -> list[Endpoint]:
        """List them."""
        return [
            Endpoint("GET", "/duplicates", self.status, SearchForDuplicates),
            Endpoint("POST", "/duplicates", self.start, SearchForDuplicates, DuplicateWishes),
            Endpoint("GET", "/duplicates/groups", self.groups, Groups, GroupWishes),
            Endpoint(
                "POST",
                "/not-duplicates",
                self.mark_not_duplicates,
                Done,
                takes=NotDuplicatesMessage,
                changes=True,
            ),
        ]

    def status(self, asked: Asked[Nothing, None]) -> SearchForDuplicates:
        """Tell how far the search for duplicates is."""
        return self._status()

    def start(self, asked: Asked[DuplicateWishes, None]) -> SearchForDuplicates:
        """Start a search for duplicates, unless one is going on."""
        within = asked.wishes.within
        self._review.start(None if within is None else Path(within), asked.wishes.any_orientation)
        return self._status()

    def groups(self, asked: Asked[GroupWishes, None]) -> Groups:
        """Give groups that the last search has found, a part at a time."""
        found = self._review.groups(asked.wishes.first, asked.wishes.count)
        return Groups(search=self._review.status().search, groups=[_group(one) for one in found])

    def mark_not_duplicates(self, asked: Asked[Nothing, NotDuplicatesMessage]) -> Done:
        """Remember that photos are no duplicates of one another, or take that back."""
        digests = {photo_numbered(self._index, number).digest for number in asked.body.ids}
        self._index.mark_not_duplicates(digests, forget=asked.body.undo)
        return Done(count=len(digests))

    def _status(self) -> SearchForDuplicates:
        status = self._review.status()
        return SearchForDuplicates(
            search=status.search,
            is_running=status.is_running,
            done=status.done,
            total=status.total,
            error=status.error,
            groups=status.groups,
            passed_over=status.passed_over,
        )


def _group(group: Reviewed) -> GroupOfDuplicates:
    kept, *copies = group.candidates
    return GroupOfDuplicates(
        keep=photo_answer(kept.photo),
        copies=[_copy(one) for one in copies],
        not_duplicates=group.not_duplicates,
    )


def _copy(candidate: Candidate) -> CopyOfPhoto:
    copy = candidate.copy
    assert copy is not None
    return CopyOfPhoto(
        photo=photo_answer(copy.photo),
        exact=copy.exact,
        certain=copy.certain,
        score=copy.score,
        turn=copy.turn,
        reason=copy.reason,
    )
