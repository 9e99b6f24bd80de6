"""Photos → vectors → neighbours: the light runtime of imgsim-edge.

Everything public can be imported from here; each name is loaded when it is first used, so that
importing this package costs next to nothing. The command line uses these names, and beside them
only what lays out answers (``output``, ``web``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cleanup.apply import CleanupReport as CleanupReport
    from .cleanup.apply import apply as apply
    from .cleanup.apply import undo as undo
    from .cleanup.journal import default_journals as default_journals
    from .cleanup.plan import Plan as Plan
    from .cleanup.plan import PlannedFile as PlannedFile
    from .cleanup.plan import PlannedGroup as PlannedGroup
    from .cleanup.plan import plan_of as plan_of
    from .cleanup.plan import read_plan as read_plan
    from .cleanup.plan import write_plan as write_plan
    from .duplicates.bursts import Burst as Burst
    from .duplicates.bursts import Bursts as Bursts
    from .duplicates.bursts import Frame as Frame
    from .duplicates.bursts import find_bursts as find_bursts
    from .duplicates.groups import Copy as Copy
    from .duplicates.groups import Duplicates as Duplicates
    from .duplicates.groups import Group as Group
    from .duplicates.groups import find_groups as find_groups
    from .duplicates.keep import keep_rule as keep_rule
    from .encoder.classes import ClassChance as ClassChance
    from .encoder.classes import Classification as Classification
    from .encoder.classes import PhotoClassifier as PhotoClassifier
    from .encoder.embed import EmbeddedFile as EmbeddedFile
    from .encoder.embed import embed_files as embed_files
    from .encoder.onnx_encoder import Encoder as Encoder
    from .encoder.shipped import SHIPPED as SHIPPED
    from .encoder.shipped import ShippedEncoder as ShippedEncoder
    from .errors import CleanupError as CleanupError
    from .errors import EncoderError as EncoderError
    from .errors import ImgsimError as ImgsimError
    from .errors import IndexBusyError as IndexBusyError
    from .errors import IndexDamagedError as IndexDamagedError
    from .errors import IndexMismatchError as IndexMismatchError
    from .errors import IndexMissingError as IndexMissingError
    from .errors import JournalError as JournalError
    from .errors import PhotoError as PhotoError
    from .errors import PlanError as PlanError
    from .errors import Problem as Problem
    from .errors import UsageError as UsageError
    from .evaluation.labelled import LabelledPhotos as LabelledPhotos
    from .evaluation.labelled import labelled_photos as labelled_photos
    from .evaluation.retrieval import Evaluation as Evaluation
    from .evaluation.retrieval import evaluate as evaluate
    from .evaluation.retrieval import evaluate_together as evaluate_together
    from .index.image_index import ImageIndex as ImageIndex
    from .index.image_index import default_index as default_index
    from .index.items import Item as Item
    from .index.periods import Period as Period
    from .index.periods import period_of as period_of
    from .index.query import Query as Query
    from .index.report import AddReport as AddReport
    from .index.results import IndexedPhoto as IndexedPhoto
    from .index.results import IndexInfo as IndexInfo
    from .index.results import Label as Label
    from .index.results import Match as Match
    from .index.results import Neighbours as Neighbours
    from .index.verify import Finding as Finding
    from .index.watch import Watcher as Watcher
    from .labels.exchange import LabelExchange as LabelExchange
    from .labels.exchange import export_for_training as export_for_training
    from .labels.exchange import export_labels as export_labels
    from .labels.exchange import export_sidecars as export_sidecars
    from .labels.exchange import import_labels as import_labels
    from .labels.exchange import import_sidecars as import_sidecars
    from .labels.suggest import Suggestion as Suggestion
    from .labels.suggest import Suggestions as Suggestions
    from .labels.suggest import suggest as suggest
    from .labels.suggest import suggest_among_new as suggest_among_new
    from .photos.decode import Photo as Photo
    from .photos.decode import load_photo as load_photo
    from .photos.formats import FORMATS as FORMATS
    from .photos.formats import Format as Format
    from .photos.metadata import PhotoMetadata as PhotoMetadata
    from .photos.scan import FoundFile as FoundFile
    from .photos.scan import scan_files as scan_files
    from .progress import Progress as Progress
    from .scale.embedding import EmbedReport as EmbedReport
    from .scale.embedding import embed_here as embed_here
    from .scale.embedding import embed_sources as embed_sources
    from .scale.on_ray import embed_on_ray as embed_on_ray
    from .search.rarity import Rarity as Rarity

_HOMES = {
    "cleanup.apply": ("CleanupReport", "apply", "undo"),
    "cleanup.journal": ("default_journals",),
    "cleanup.plan": (
        *("Plan", "PlannedFile", "PlannedGroup"),
        *("plan_of", "read_plan", "write_plan"),
    ),
    "duplicates.bursts": ("Burst", "Bursts", "Frame", "find_bursts"),
    "duplicates.groups": ("Copy", "Duplicates", "Group", "find_groups"),
    "duplicates.keep": ("keep_rule",),
    "encoder.classes": ("ClassChance", "Classification", "PhotoClassifier"),
    "encoder.embed": ("EmbeddedFile", "embed_files"),
    "encoder.onnx_encoder": ("Encoder",),
    "encoder.shipped": ("SHIPPED", "ShippedEncoder"),
    "errors": (
        *("CleanupError", "EncoderError", "ImgsimError", "IndexBusyError", "IndexDamagedError"),
        *("IndexMismatchError", "IndexMissingError", "JournalError", "PhotoError", "PlanError"),
        *("Problem", "UsageError"),
    ),
    "evaluation.labelled": ("LabelledPhotos", "labelled_photos"),
    "evaluation.retrieval": ("Evaluation", "evaluate", "evaluate_together"),
    "index.image_index": ("ImageIndex", "default_index"),
    "index.items": ("Item",),
    "index.periods": ("Period", "period_of"),
    "index.query": ("Query",),
    "index.results": ("IndexedPhoto", "IndexInfo", "Label", "Match", "Neighbours"),
    "index.report": ("AddReport",),
    "index.verify": ("Finding",),
    "index.watch": ("Watcher",),
    "labels.exchange": (
        *("LabelExchange", "export_for_training", "export_labels", "export_sidecars"),
        *("import_labels", "import_sidecars"),
    ),
    "labels.suggest": ("Suggestion", "Suggestions", "suggest", "suggest_among_new"),
    "photos.formats": ("FORMATS", "Format"),
    "photos.decode": ("Photo", "load_photo"),
    "photos.scan": ("FoundFile", "scan_files"),
    "photos.metadata": ("PhotoMetadata",),
    "progress": ("Progress",),
    "scale.embedding": ("EmbedReport", "embed_here", "embed_sources"),
    "scale.on_ray": ("embed_on_ray",),
    "search.rarity": ("Rarity",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
