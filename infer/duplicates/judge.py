"""From what differs to a verdict: a copy for certain, probably one, or another picture."""

from __future__ import annotations

from dataclasses import dataclass

from ..index.results import IndexedPhoto
from .align import TURNS
from .compare import Compared
from .frames import WHOLE, Box
from .residual import Overlap, Residual

# Chosen on photos of seven training sets and on drawn text (README).
_LEAST_BLOCKS = 36  # with detail: other shots in 64 × 64 pixels are as alike as copies
_FEW_BLOCKS = 100  # of which each has to agree better, as in a picture of 100 × 150 pixels
_FEW_LEFT = 0.06
_CERTAIN_UNLIKE = 0.012  # of the blocks of a photo; a graphic or a page may have none
_CERTAIN_CLUSTER = 5  # unlike blocks that touch
_CERTAIN_LEFT = 0.10  # of the detail: what the strongest compression leaves is 0.074
_CERTAIN_TONE = 100.0  # grey levels
_CERTAIN_COLOUR = 25.0  # levels
_LOOK_UNLIKE = 0.15
_LOOK_LEFT = 0.18
_LOOK_UNLIKE_ON_PAGES = 0.01
_FLAT = 0.5  # of the blocks without detail: from here on it is a graphic or a page
_FRAMED = 0.85  # of an image's area: what its picture takes up at most if the rest is a frame
_SMALL = 0.62  # of the image: less than any usual crop leaves
_MARGIN = 1.1  # of the picture in the frame, from which on the other shows its surroundings
_STRIPS = 0.72  # of an image, that a picture between two plain strips takes up at most
_WHOLE_SIDE = 0.98  # of the image's width or height: it goes from edge to edge
_FILLED = 0.9  # of what is in the frame, that the other picture shows
_CROPPED = 0.96  # of the other's picture that is there at most
_GREYER, _BRIGHTER = "in grey", "in another tone"
_TONE = 12.0  # grey levels that people see
_MOST_APART = 1000  # milliseconds between the dates of two files of one shot


@dataclass(frozen=True)
class Verdict:
    """What one photo is to another.

    Attributes:
        certain: a copy without doubt; otherwise it has to be looked at.
        score: share of the detail that both have in common, in [0, 1].
        reason: in words.
    """

    certain: bool
    score: float
    reason: str


@dataclass(frozen=True)
class Extent:
    """How much of two images their common picture takes up.

    Attributes:
        framed: whether each has a frame around it.
        shown: how much of each one's picture is common, in [0, 1].
    """

    framed: tuple[bool, bool]
    shown: tuple[float, float]


def extent_of(found: Residual) -> Extent:
    """Tell frames from crops: what is around the common part is plain, or it is picture."""
    overlap = found.overlap
    common = overlap.boxes()
    whole = Overlap(overlap.offset, overlap.scale).boxes()
    framed, shown = [], []
    for n, view in enumerate((overlap.first, overlap.second)):
        picture, inside = _area(view), _area(common[n]) if common else 0.0
        share = min(1.0, _area(whole[n]) if whole else 0.0)
        # Where the other shows more than what is in the frame, it is no frame: the margin of a
        # drawing belongs to it. A screenshot's picture may end in the frame's own colour, though.
        is_plain_around = share < _FRAMED and (share < _SMALL or share < _MARGIN * picture)
        is_framed = view != WHOLE and is_plain_around and inside > _FILLED * picture
        # A picture in the frame's own colour has no edges by which it is found alone.
        is_between = found.plain_around[n] and share < _STRIPS and _is_from_edge_to_edge(whole, n)
        framed.append(is_framed or is_between)
        if is_framed:
            share = min(1.0, inside / picture)
        shown.append(1.0 if is_between and not is_framed else share)
    return Extent((framed[0], framed[1]), (shown[0], shown[1]))


def _is_from_edge_to_edge(boxes: tuple[Box, Box] | None, n: int) -> bool:
    return boxes is not None and max(boxes[n][1], boxes[n][3]) >= _WHOLE_SIDE


def _area(box: Box) -> float:
    return box[1] * box[3]


def verdict(
    kept: IndexedPhoto, copy: IndexedPhoto, compared: Compared, kept_is_first: bool, turn: int
) -> Verdict | None:
    """Judge a pair; None where they show different things.

    Args:
        kept: one of the photos.
        copy: the other.
        compared: what is known of the pair.
        kept_is_first: of the pair.
        turn: how the copy has to be turned to lie on the other: an index into ``TURNS``.
    """
    found = compared.residual
    if found is None or not found.blocks:
        return None
    unlike = found.unlike / found.blocks
    is_page = found.flat > _FLAT
    if found.left_over > _LOOK_LEFT or unlike > (
        _LOOK_UNLIKE_ON_PAGES if is_page else _LOOK_UNLIKE
    ):
        return None
    score = (1 - found.left_over) * (1 - unlike)
    doubt = _doubt(kept, copy, found, unlike, is_page)
    if doubt:
        return Verdict(False, score, doubt)
    return Verdict(True, score, "same photo" + _changes(kept, copy, found, kept_is_first, turn))


def _doubt(
    kept: IndexedPhoto, copy: IndexedPhoto, found: Residual, unlike: float, is_page: bool
) -> str | None:
    apart = _milliseconds_apart(kept, copy)
    if apart is not None and apart >= _MOST_APART:
        return f"alike, but taken {_duration(apart)} apart"
    if found.blocks < _LEAST_BLOCKS:
        return "probably the same: too little detail to be certain"
    if found.unlike > (0 if is_page else _CERTAIN_UNLIKE * found.blocks):
        return f"probably the same: {max(unlike, 0.001):.1%} of the picture differs"
    if found.cluster > _CERTAIN_CLUSTER:
        return "probably the same: one spot differs"
    if found.left_over > (_CERTAIN_LEFT if found.blocks >= _FEW_BLOCKS else _FEW_LEFT):
        return "probably the same: the detail differs a little everywhere"
    if found.tone > _CERTAIN_TONE or found.colour > _CERTAIN_COLOUR:
        return "probably the same: in other colours"
    return None


def _milliseconds_apart(one: IndexedPhoto, other: IndexedPhoto) -> int | None:
    if one.metadata is None or other.metadata is None:
        return None
    first, second = one.metadata.taken_ms, other.metadata.taken_ms
    return None if first is None or second is None else abs(first - second)


def _duration(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    for length, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"


def _changes(
    kept: IndexedPhoto, copy: IndexedPhoto, found: Residual, kept_is_first: bool, turn: int
) -> str:
    """Say in which way the copy is another version of the one that is kept."""
    extent = extent_of(found)
    mine = 1 if kept_is_first else 0
    words = []
    if extent.framed[mine] and not extent.framed[1 - mine]:
        tall = max(copy.width, copy.height) > 1.5 * min(copy.width, copy.height)
        words.append("in a screenshot" if tall else "in a frame")
    if extent.shown[1 - mine] < _CROPPED <= extent.shown[mine]:
        words.append(f"cropped to {extent.shown[1 - mine]:.0%}")
    elif extent.shown[1 - mine] < _CROPPED:
        words.append("another crop")
    if found.grey[mine] and not found.grey[1 - mine]:
        words.append(_GREYER)
    if found.tone > _TONE:
        words.append(_BRIGHTER)
    if turn:
        words.append(TURNS[turn])
    ratio = copy.width / max(kept.width, 1)
    if not words:
        if ratio < 0.95:
            words.append("half the size" if 0.45 < ratio < 0.55 else f"{ratio:.0%} of the size")
        elif ratio > 1.05:
            words.append("enlarged without more detail")
        else:
            words.append("saved again")
    return ", " + ", ".join(words)
