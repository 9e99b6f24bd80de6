"""What people say of photos: which are no duplicates of one another, and what they show.

A judgement is about contents: it stays when files are moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

from ..catalogue.database import Catalogue
from ..catalogue.rows import ExampleRow, LabelRow
from ..errors import UsageError
from .answers import label_named
from .results import Label as Label


class Judgements:
    """What an index remembers of its photos' contents. Its threads are those of the index."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def mark_not_duplicates(self, digests: Iterable[bytes], *, forget: bool = False) -> None:
        """Remember that photos are no copies of one another, whatever their pictures look like.

        It goes when the files change.

        Args:
            digests: content digests of the photos; every pair of them is meant.
            forget: take the judgement back.

        Raises:
            IndexBusyError: another process is writing.
        """
        pairs = list(combinations(sorted(set(digests)), 2))
        with self._catalogue.writer() as writer:
            if forget:
                writer.remove_not_duplicates(pairs)
            else:
                writer.add_not_duplicates(pairs)

    def not_duplicates(self) -> set[tuple[bytes, bytes]]:
        """Read the pairs of content digests, the lower first, that were marked as distinct."""
        with self._catalogue.snapshot() as snapshot:
            return snapshot.not_duplicates()

    def teach(self, name: str, yes: Iterable[bytes] = (), no: Iterable[bytes] = ()) -> None:
        """Remember what shows the thing of a label and what does not, in place of earlier words.

        A label of a new name is made.

        Args:
            name: of the label.
            yes: content digests of photos that show it.
            no: of photos that do not; one that is in both does not.

        Raises:
            UsageError: the name is empty or holds a line break.
            IndexBusyError: another process is writing.
        """
        _check_label_name(name)
        verdicts = {**dict.fromkeys(yes, True), **dict.fromkeys(no, False)}
        with self._catalogue.writer() as writer:
            label = writer.labels().get(name) or writer.add_label(name)
            writer.set_examples(
                ExampleRow(label.id, digest, verdict) for digest, verdict in verdicts.items()
            )

    def unteach(self, name: str, digests: Iterable[bytes]) -> int:
        """Take back what was said of some contents; gives how many judgements went.

        Raises:
            UsageError: there is no such label.
            IndexBusyError: another process is writing.
        """
        with self._catalogue.writer() as writer:
            label = label_named(name, writer)
            known = {row.digest for row in writer.examples(label)}
            gone = known.intersection(digests)
            writer.remove_examples(label, gone)
        return len(gone)

    def rename_label(self, old: str, new: str) -> None:
        """Give a label another name.

        Raises:
            UsageError: there is no such label, or there is one of the new name, or it is no name.
            IndexBusyError: another process is writing.
        """
        _check_label_name(new)
        with self._catalogue.writer() as writer:
            label = label_named(old, writer)
            if new in writer.labels() and new != old:
                raise UsageError(f"there is a label {new!r} already: choose another name")
            writer.set_label(LabelRow(label, new))

    def forget_label(self, name: str) -> int:
        """Forget a label with all its examples; gives how many they were.

        Raises:
            UsageError: there is no such label.
            IndexBusyError: another process is writing.
        """
        with self._catalogue.writer() as writer:
            label = label_named(name, writer)
            count = sum(1 for _ in writer.examples(label))
            writer.remove_label(label)
        return count

    def labels(self) -> list[Label]:
        """List the labels in the order of their names."""
        with self._catalogue.snapshot() as snapshot:
            counts = Counter((row.label, row.verdict) for row in snapshot.examples())
            return [
                Label(name, counts[row.id, True], counts[row.id, False])
                for name, row in snapshot.labels().items()
            ]

    def examples(self, name: str) -> dict[bytes, bool]:
        """Tell what was said: content digest → whether it shows the label's thing.

        Raises:
            UsageError: there is no such label.
        """
        with self._catalogue.snapshot() as snapshot:
            label = label_named(name, snapshot)
            return {row.digest: row.verdict for row in snapshot.examples(label)}

    def labels_of(self, digest: bytes) -> dict[str, bool]:
        """Tell what was said of a content: name of a label → whether it shows its thing."""
        with self._catalogue.snapshot() as snapshot:
            said = {row.label: row.verdict for row in snapshot.examples() if row.digest == digest}
            return {name: said[row.id] for name, row in snapshot.labels().items() if row.id in said}


def _check_label_name(name: str) -> None:
    if not name.strip() or name != name.strip() or not name.isprintable():
        raise UsageError(f"{name!r} is no name for a label: give one line of text")
