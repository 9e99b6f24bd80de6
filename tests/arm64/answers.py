"""Ask imgsim-edge for everything and write down what it answers, to compare machines by.

python answers.py PHOTOS OUT
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.executable).parent / "imgsim-edge")
PACKAGES = (
    "numpy",
    "onnxruntime",
    "hnswlib",
    "pillow",
    "pi-heif",
    "starlette",
    "uvicorn",
    "pydantic",
)
ANSWERS = 10


def run(*arguments: object) -> str:
    """Run the program and give what it printed; its own words go to the terminal."""
    print("$ imgsim-edge", *arguments, file=sys.stderr)
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def browsed() -> dict[str, Any]:
    """Open the page and ask it for its state, a list of photos and a picture."""
    print("$ imgsim-edge browse --no-open", file=sys.stderr)
    command = [PROGRAM, "browse", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        host, secret = server.stdout.readline().strip().strip("/").rsplit("/", 1)

        def asked(path: str) -> bytes:
            bearer = {"Authorization": f"Bearer {secret}"}
            request = urllib.request.Request(f"{host}/{path}", headers=bearer)
            with urllib.request.urlopen(request, timeout=120) as answer:
                content: bytes = answer.read()
            return content

        state = json.loads(asked("api/state"))
        listed = json.loads(asked("api/photos?order=path"))["photos"]
        first = listed[0]
        picture = asked(f"thumbnail/{first['id']}/{first['version']}")
        like = json.loads(asked(f"api/similar?like={first['id']}&count={ANSWERS}"))["matches"]
        server.terminate()
    return {
        "photos": state["photos"],
        "names": [photo["name"] for photo in listed],
        "picture": picture[:3].hex(),
        "like": [match["name"] for match in like],
    }


def installed(package: str) -> str:
    """Give a package's version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def main() -> None:
    """Ask everything."""
    photos, out = Path(sys.argv[1]), Path(sys.argv[2])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.environ["IMGSIM_EDGE_INDEX"] = str(out / "index")
    names = sorted(file.name for file in photos.iterdir())
    run("index", photos)
    print(run("info"), file=sys.stderr)
    similar = run("similar", "--json", "-k", ANSWERS, *(photos / name for name in names))
    duplicates = run("duplicates", "--json")
    for model in ("default", "fp32"):
        run("embed", photos, "--model", model, "--out", out / f"{model}.npz")
    answers = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {package: installed(package) for package in PACKAGES},
        "similar": [json.loads(line) for line in similar.splitlines()],
        "duplicates": [json.loads(line) for line in duplicates.splitlines()],
        "browse": browsed(),
    }
    (out / "answers.json").write_text(json.dumps(answers, indent=1))


if __name__ == "__main__":
    main()
