"""The table of formats: which suffix is read by what, and what that needs.

This is the only place that knows. Nothing is imported to fill it: whether a library is installed is
asked when a file of its format is met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

VIDEO = "video"
_OF_LIVE_PHOTOS = " of live photos"


@dataclass(frozen=True)
class Format:
    """A kind of file that lies among photos.

    Attributes:
        name: what people call it.
        suffixes: in small letters, with the dot.
        pillow: Pillow's name of it; None where Pillow alone does not read it.
        module: what reads it beside Pillow, as it is imported; None where nothing else is needed,
            or nothing reads it.
        install: what to tell pip where that module is missing.
        left_out: why it is not read by anything; empty for all that can be.
    """

    name: str
    suffixes: tuple[str, ...]
    pillow: str | None = None
    module: str | None = None
    install: str = ""
    left_out: str = ""

    @property
    def reader(self) -> str:
        """The library that reads it; empty where none does."""
        if self.left_out:
            return ""
        return "Pillow" if self.module is None else _DISTRIBUTIONS[self.module]

    @property
    def is_readable(self) -> bool:
        """Whether files of it can be read with what is installed here."""
        return not self.left_out and (self.module is None or _is_installed(self.module))

    @property
    def remedy(self) -> str:
        """What to type so that it can be read; empty where nothing helps or nothing is missing."""
        return "" if self.left_out or self.is_readable else f"pip install {self.install}"


_DISTRIBUTIONS = {"pi_heif": "pi-heif", "rawpy": "rawpy", "pillow_jxl": "pillow-jxl-plugin"}
_VIDEOS = ".mp4 .mov .m4v .mp .3gp .avi .mkv .webm .mts .m2ts .wmv .mpg .mpeg"

FORMATS = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".mpo"), "JPEG"),  # Pillow calls some of them MPO
    Format("PNG", (".png",), "PNG"),
    Format("WebP", (".webp",), "WEBP"),
    Format("GIF", (".gif",), "GIF"),
    Format("BMP", (".bmp",), "BMP"),
    Format("TIFF", (".tif", ".tiff"), "TIFF"),
    Format("AVIF", (".avif",), "AVIF"),
    Format("HEIC", (".heic", ".heif", ".hif"), None, "pi_heif", "pi-heif"),
    Format(
        "RAW",
        (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef"),
        None,
        "rawpy",
        '"imgsim-edge[raw]"',
    ),
    Format("JPEG XL", (".jxl",), None, "pillow_jxl", '"imgsim-edge[jxl]"'),
    Format(
        VIDEO,
        tuple(_VIDEOS.split()),
        left_out="an index has one vector for one file",
    ),
    Format("layered image", (".psd", ".psb", ".xcf"), left_out="drawings are not photos"),
    Format("vector graphics", (".svg", ".eps"), left_out="drawings are not photos"),
    Format("JPEG 2000", (".jp2", ".j2k"), left_out="no phone or camera writes it"),
)
BY_SUFFIX: Mapping[str, Format] = {suffix: kind for kind in FORMATS for suffix in kind.suffixes}
PILLOW_FORMATS = tuple(kind.pillow for kind in FORMATS if kind.pillow)


def format_of(name: str) -> Format | None:
    """Tell the format of a file by its name; None where the table has no such suffix."""
    return BY_SUFFIX.get(name[name.rfind(".") :].lower()) if "." in name else None


@lru_cache(maxsize=1)
def readable_suffixes() -> frozenset[str]:
    """Name the suffixes of files that can be read with what is installed here."""
    return frozenset(suffix for suffix, kind in BY_SUFFIX.items() if kind.is_readable)


@lru_cache(maxsize=1)
def passed_over_suffixes() -> frozenset[str]:
    """Name the suffixes of files that are known and cannot be read here."""
    return frozenset(BY_SUFFIX) - readable_suffixes()


@dataclass(frozen=True)
class PassedOver:
    """Files of one kind that were seen and not taken.

    Attributes:
        kind: their suffix in capitals, such as ``"HEIC"``; ``"MOV of live photos"`` for the videos
            that a phone took along with still pictures.
        count: how many.
        remedy: what to type so that they can be read; empty where nothing helps.
    """

    kind: str
    count: int
    remedy: str

    def __str__(self) -> str:
        return f"{self.count:,} {self.kind}" + (f" ({self.remedy})" if self.remedy else "")


def kinds_passed_over(names: list[str], photos: list[str]) -> Counter[str]:
    """Count files of one folder that are no photos, kind by kind.

    A video that belongs to a still picture is told apart: an iPhone writes ``IMG_1.MOV`` beside
    ``IMG_1.HEIC``, and Google's exports have ``PXL_1.MP`` beside ``PXL_1.MP.jpg``.

    Args:
        names: of the files, all with suffixes of the table.
        photos: names of the photos that lie beside them.
    """
    if not names:
        return Counter()
    stills = [*photos, *(name for name in names if BY_SUFFIX[_suffix(name)].name != VIDEO)]
    stems = {_stem(name) for name in stills}
    kinds: Counter[str] = Counter()
    for name in names:
        kind = _suffix(name)[1:].upper()
        is_video = BY_SUFFIX[_suffix(name)].name == VIDEO
        live = is_video and not stems.isdisjoint((name.lower(), _stem(name)))
        kinds[kind + _OF_LIVE_PHOTOS if live else kind] += 1
    return kinds


def passed_over(kinds: Counter[str]) -> list[PassedOver]:
    """Say of kinds of files what would make them readable, the most frequent kind first."""
    return [
        PassedOver(kind, count, BY_SUFFIX[f".{kind.split()[0].lower()}"].remedy)
        for kind, count in kinds.most_common()
    ]


def _suffix(name: str) -> str:
    return name[name.rfind(".") :].lower()


def _stem(name: str) -> str:
    return name[: name.rfind(".")].lower()


@lru_cache(maxsize=8)
def _is_installed(module: str) -> bool:
    return find_spec(module) is not None
