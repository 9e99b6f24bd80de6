"""Something that fails in every way that has to be noticed: the proof that the attack sees it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from target import Target


class Misbehaving(Target):
    """Files whose content chooses what goes wrong; with the last one, nothing does."""

    name = "what misbehaves"
    are_hostile = True
    originals = tuple(bytes([way]) for way in range(8))

    def judge(self, content: bytes, folder: Path) -> None:
        way = content[0]
        if way == 0:
            raise ValueError("an exception")
        if way == 1:
            os.write(2, b"a line of its own")
        if way == 2:
            os.abort()
        if way == 3:
            time.sleep(3600)
        if way == 4:
            (folder.parent / "outside" / "more").touch()
        if way == 5:
            self.one_line("two\nlines")
        if way == 6:
            bytearray(self.limit << 20).find(b"1")
