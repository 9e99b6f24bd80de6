"""A session from a few examples to an encoder of one's own, printed as a transcript.

    python tests/benchmarks/labels_session.py PHOTOS --recipe linear --weights FILE

PHOTOS has a folder of photos for each thing. Its name answers the questions in a person's place;
the program is told of some photos of each folder and asks about others. A sixth of the photos is
kept aside, to compare encoders on. Options that are not known here go to `imgsim-edge train`.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = 8  # of each label; a digit
SHOWN = 10  # suggestions that are looked at
ASIDE = 6  # one photo of so many
QUESTION = re.compile(r"[01]\.\d\d  (.*)$")  # a probability and a path; answers are indented
PROGRAM = (sys.executable, "-c", "from imgsim_edge.infer.cli import main; main()")
NO_NEWS = {"TF_CPP_MIN_LOG_LEVEL": "3"}


class Session:
    """Runs commands in a scratch folder and prints them with what they say."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def run(self, *words: str, quiet: bool = False) -> str:
        """Run a command, its patterns replaced by the files they name, as a shell does."""
        if not quiet:
            print(f"$ imgsim-edge {' '.join(map(_short, words))}", flush=True)
        child = subprocess.Popen(
            [*PROGRAM, *(file for word in words for file in self._named(word))],
            cwd=self.place,
            env={**os.environ, **NO_NEWS, "IMGSIM_EDGE_INDEX": "first.index"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert child.stdin is not None and child.stdout is not None
        lines = []
        for line in child.stdout:
            told = line.rstrip("\n").replace(f"{self.place}/", "")
            question = QUESTION.match(told) if "--ask" in words else None
            if question:  # does the folder have the label's name?
                answer = "y" if Path(question[1]).parent.name == words[1] else "n"
                child.stdin.write(f"{answer}\n")
                child.stdin.flush()
                told += f"   {answer}"
            lines.append(told)
            if not quiet:
                print(told, flush=True)
        if child.wait():
            raise SystemExit("\n".join([*lines, f"{shlex.join(words)} failed"]))
        if not quiet:
            print(flush=True)
        return "\n".join(lines)

    def _named(self, word: str) -> list[str]:
        if "[" not in word:
            return [word]
        return sorted(str(path.relative_to(self.place)) for path in self.place.glob(word))


def take(photos: Path, place: Path) -> list[str]:
    """Copy photos into ``photos`` and ``aside`` under short names; gives the names of folders."""
    names = sorted(path.name for path in photos.iterdir() if path.is_dir())
    for name in names:
        files = sorted(path for path in (photos / name).iterdir() if path.is_file())
        random.Random(0).shuffle(files)
        for number, file in enumerate(files, 1):
            part = "aside" if number > len(files) - len(files) // ASIDE else "photos"
            (place / part / name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place / part / name / f"{number:03}{file.suffix}")
    return names


def right(answers: str, name: str) -> int:
    """Count the suggestions that are in the folder of that name."""
    return sum(f"/{name}/" in line for line in answers.splitlines()[:SHOWN])


def _short(word: str) -> str:
    return shlex.quote(Path(word).name) if Path(word).is_absolute() else word


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    asked, train = parser.parse_known_args()
    train = [str(Path(word).resolve()) if Path(word).exists() else word for word in train]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        names = take(asked.photos.resolve(), place)
        first, *others = names
        examples = f"00[1-{EXAMPLES}].*"
        session = Session(place)
        session.run("index", "photos")
        session.run("teach", first, f"photos/{first}/{examples}")
        best = ("suggest", first, "-k", f"{SHOWN}")
        before = right(session.run(*best), first)
        session.run("suggest", first, "-k", "1", "--ask")
        answered = right(session.run(*best), first)
        for name in others:
            session.run("teach", name, f"photos/{name}/{examples}", quiet=True)
            told = session.run("suggest", name, "-k", "1", "--ask", quiet=True)
            print(f"(so for {name}: yes to {told.count('   y')}, no to {told.count('   n')})")
        print()
        session.run("labels")
        session.run("train", "--from-labels", "--out", "mine", *train)
        session.run("export", "mine", "--out", "mine.onnx", "--classify")
        session.run("evaluate", "aside", "--model", "default", "--model", "mine.onnx", "--no-graph")
        own_index = ("--index", "mine.index")
        session.run("index", "photos", "--model", "mine.onnx", *own_index)
        session.run("labels", "--import", "first.index", *own_index)
        own = right(session.run(*best, *own_index), first)
        session.run("classify", f"aside/{first}/[0-9]*", "--model", "mine.onnx")
    print(
        f"of {SHOWN} suggestions for {first} are right: {before} with {EXAMPLES} examples, "
        f"{answered} after ten answers, {own} with the own encoder"
    )


if __name__ == "__main__":
    main()
