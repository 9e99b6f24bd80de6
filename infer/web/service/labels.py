"""Labels: examples of what photos show, and which others may show it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...index.image_index import ImageIndex
from ...labels.suggest import Suggestion, suggest
from .answers import (
    Done,
    LabelOfPhotos,
    Labels,
    LabelsOfPhoto,
    Suggested,
    SuggestedPhotos,
    photo_answer,
)
from .endpoint import Asked, Endpoint, Message, Nothing, Wishes
from .photos import photo_numbered

MOST_EXAMPLES = 1000  # in one request
MOST_SUGGESTED = 1000

Ids = Annotated[tuple[int, ...], Field(max_length=MOST_EXAMPLES, description="numbers of photos")]


class ExamplesMessage(Message):
    """What shows a label's thing, and what does not."""

    yes: Ids = ()
    no: Ids = ()
    undo: Annotated[Ids, Field(description="take back what was said of these")] = ()


class RenameWishes(Wishes):
    """Another name."""

    to: str


class SuggestWishes(Wishes):
    """How suggestions are wanted."""

    k: Annotated[int, Field(description="how many", ge=1, le=MOST_SUGGESTED)] = 50
    within: Annotated[str | None, Field(description="only photos below this folder")] = None


class LabelEndpoints:
    """Teaching by example."""

    def __init__(self, index: ImageIndex) -> None:
        self._index = index

    def endpoints(self) -> list[Endpoint]:
        """List them."""
        label = "/labels/{name:path}"  # a name may hold a slash
        return [
            Endpoint("GET", "/labels", self.labels, Labels),
            Endpoint(
                "POST",
                f"{label}/examples",
                self.teach,
                Labels,
                takes=ExamplesMessage,
                changes=True,
            ),
            Endpoint(
                "GET", f"{label}/suggestions", self.suggestions, SuggestedPhotos, SuggestWishes
            ),
            Endpoint("POST", f"{label}/rename", self.rename, Labels, RenameWishes, changes=True),
            Endpoint("DELETE", label, self.forget, Done, changes=True),
            Endpoint("GET", "/photos/{id:int}/labels", self.of_photo, LabelsOfPhoto),
        ]

    def labels(self, asked: Asked[Nothing, None]) -> Labels:
        """List the labels, and how much was said about each."""
        return self._labels()

    def teach(self, asked: Asked[Nothing, ExamplesMessage]) -> Labels:
        """Remember examples of a label, which is made where there is none of that name."""
        name, told = asked.place["name"], asked.body
        if told.yes or told.no:
            self._index.teach(name, yes=self._digests(told.yes), no=self._digests(told.no))
        if told.undo:
            self._index.unteach(name, self._digests(told.undo))
        return self._labels()

    def suggestions(self, asked: Asked[SuggestWishes, None]) -> SuggestedPhotos:
        """Suggest photos that show what a label says, each with a probability."""
        found = suggest(
            self._index, asked.place["name"], asked.wishes.k, within=asked.wishes.within
        )
        return SuggestedPhotos(
            expected=found.expected,
            quality=found.quality,
            suggestions=[_suggested(one) for one in found.answers],
            questions=[_suggested(one) for one in found.questions],
        )

    def rename(self, asked: Asked[RenameWishes, None]) -> Labels:
        """Give a label another name."""
        self._index.rename_label(asked.place["name"], asked.wishes.to)
        return self._labels()

    def forget(self, asked: Asked[Nothing, None]) -> Done:
        """Forget a label with all its examples; gives how many they were."""
        return Done(count=self._index.forget_label(asked.place["name"]))

    def of_photo(self, asked: Asked[Nothing, None]) -> LabelsOfPhoto:
        """Tell what a photo was said to show, and what not."""
        digest = photo_numbered(self._index, asked.place["id"]).digest
        said = self._index.labels_of(digest)
        return LabelsOfPhoto(
            yes=[name for name, shows in said.items() if shows],
            no=[name for name, shows in said.items() if not shows],
        )

    def _labels(self) -> Labels:
        return Labels(
            labels=[
                LabelOfPhotos(name=label.name, yes=label.yes, no=label.no)
                for label in self._index.labels()
            ]
        )

    def _digests(self, ids: tuple[int, ...]) -> list[bytes]:
        return [photo_numbered(self._index, number).digest for number in ids]


def _suggested(one: Suggestion) -> Suggested:
    return Suggested(
        rank=one.rank,
        probability=one.probability,
        band=one.band,
        ask=one.ask,
        photo=photo_answer(one.photo),
    )
