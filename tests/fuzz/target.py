"""What is attacked: some good files of a kind, and a judge of what happens with damaged ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from imgsim_edge.infer.errors import ImgsimError


class Target:
    """A kind of files.

    Attributes:
        name: of the kind.
        originals: the bytes of good files.
        are_hostile: the originals do harm as they are, and are not changed.
        is_text: whether it helps to put in tokens of text.
        may_print: a library of another language may write to stderr.
        limit: the most memory that the process may need, in MiB.
    """

    name: str
    originals: Sequence[bytes]
    are_hostile = False
    is_text = False
    may_print = False
    limit = 700

    def prepare(self, folder: Path) -> None:
        """Make what the judge needs, once in a process, in an empty folder of its own."""

    def judge(self, content: bytes, folder: Path) -> None:
        """Use a file and raise where anything but the right answer or one named error comes."""
        raise NotImplementedError

    def answers(self, use: Callable[[], object]) -> bool:
        """Tell whether something answers; what it may do else is to raise an error of one line."""
        try:
            use()
        except ImgsimError as error:
            self.one_line(str(error))
            return False
        return True

    @staticmethod
    def one_line(message: str) -> None:
        """Assert that a message is one line that a terminal shows as it is."""
        assert message, "an error without words"
        assert len(message.splitlines()) == 1, f"several lines: {message!r}"
