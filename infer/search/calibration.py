"""What an index knows of its own collection: the means taken off, and how rare a score is.

Both are taken from a sample of the stored vectors and kept as notes, so that answers do not change
by themselves while photos come and go.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Ids, Vectors
from ..catalogue.reader import Snapshot
from ..catalogue.rows import BLOCK_SLOTS
from ..catalogue.writer import Writer
from ..encoder.details import details_of
from .exact import Stored, sample
from .rarity import SAMPLE, Rarity
from .scores import Means, centred

LEAST_FOR_A_MEAN = 8  # photos; of fewer, each is a large part of the mean itself
RENEWED_AT = 1.5  # times as many photos as when they were taken, or as few

_MEAN, _DETAILS_MEAN, _SAMPLED = "mean", "details mean", "mean photos"
_RARITY, _EMBEDDING_RARITY = "rarity", "embedding rarity"


def means(snapshot: Snapshot) -> Means:
    """Read the means of a committed state."""
    header = snapshot.header()

    def stored(key: str, length: int) -> Vectors:
        found = np.frombuffer(snapshot.note(key) or b"", dtype="<f4")
        return found if len(found) == length else np.zeros(length, np.float32)

    return Means(stored(_MEAN, header.dimension), stored(_DETAILS_MEAN, header.details))


def rarity(snapshot: Snapshot, by_embedding: bool = False) -> Rarity | None:
    """Read how the scores of random pairs are distributed; None with fewer than two photos.

    Args:
        snapshot: of the index.
        by_embedding: of the embeddings alone, though there are details.
    """
    text = (by_embedding and snapshot.note(_EMBEDDING_RARITY)) or snapshot.note(_RARITY)
    return Rarity.from_text(text.decode()) if text else None


def is_missing(snapshot: Snapshot) -> bool:
    """Tell whether a collection has never been looked at.

    Its format was an older one, or who filled it was ended before its first run was over.
    """
    return snapshot.header().photos >= 2 and snapshot.note(_SAMPLED) is None


def renew(writer: Writer) -> None:
    """Take means and rarities anew when the collection has become another in size.

    They are taken when the second photo comes (the means with the eighth), and again whenever there
    are half as many more photos, or fewer, than then. In between they stay, so that answers do not
    change by themselves; a graph that was built with other means is not used.
    """
    header = writer.header()
    count, sampled = header.photos, int(writer.note(_SAMPLED) or 0)
    if sampled <= count * RENEWED_AT <= sampled * RENEWED_AT**2 or (count < 2 and not sampled):
        return
    ids, vectors = sample(Stored.of(writer), SAMPLE)
    details = _details(writer, ids)
    mean, of_embeddings = _measured(vectors, count)
    details_mean, of_details = _measured(details, count)
    writer.set_notes(
        {
            _SAMPLED: str(count).encode(),
            _MEAN: mean.tobytes(),
            _DETAILS_MEAN: details_mean.tobytes(),
            _EMBEDDING_RARITY: of_embeddings,
            _RARITY: of_details or of_embeddings,
        }
    )


def mean_of(rows: Vectors, count: int) -> Vectors:
    """Give the mean to take off: of a sample, float32, shape = (n, m), of so many photos.

    Returns:
        float32, shape = (m,); zeros where the collection is too small.
    """
    if count < LEAST_FOR_A_MEAN or not len(rows):
        return np.zeros(rows.shape[1], dtype="<f4")
    return np.asarray(rows.mean(axis=0, dtype=np.float64), dtype="<f4")


def _measured(rows: Vectors, count: int) -> tuple[Vectors, bytes]:
    """Give the mean of a sample of so many photos, and the rarity of scores with it taken off."""
    mean = mean_of(rows, count)
    if len(rows) < 2:
        return mean, b""
    return mean, Rarity.of(centred(rows, mean)).to_text().encode()


def _details(snapshot: Snapshot, ids: Ids) -> Vectors:
    """Read the details of photos at unit length, those that have some."""
    found = [np.empty((0, snapshot.header().details), np.float32)]
    if snapshot.header().details:
        for number in np.unique(ids // BLOCK_SLOTS).tolist():
            for block in snapshot.details_blocks(first=number, count=1):
                slots = ids[ids // BLOCK_SLOTS == number] - block.first
                found.append(details_of(block.codes[slots]))
    rows = np.concatenate(found)
    return rows[rows.any(axis=1)] if rows.shape[1] else rows
