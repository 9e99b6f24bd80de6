"""How much more CPU time a one-shot `imgsim-edge similar` takes than what no program can avoid.

Child processes take turns, so that other load on the machine meets all of them alike:

    imports   python -c "import numpy, onnxruntime"
    bare      the same, then load the encoder, decode one photo and encode it: nothing else
    similar   imgsim-edge similar PHOTO, with an index of COUNT vectors

    python tests/benchmarks/one_shot_query.py [--count 10000] [--rounds 15] [--model default]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from common import child_cpu_seconds, report
from imgsim_edge.infer.benchmark.synthetic import make_index, make_photos
from imgsim_edge.infer.encoder.onnx_encoder import Encoder, model_path

IMPORTS = "import numpy, onnxruntime"
BARE = """
import sys, time
import numpy as np, onnxruntime
from PIL import Image
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
began = time.process_time()
image = Image.open(sys.argv[2], formats=["JPEG"])
image.draft(None, (448, 448))
pixels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.LANCZOS))
session.run(None, {"images": pixels[None]})
print(time.process_time() - began, file=sys.stderr)
"""
PROGRAM = "from imgsim_edge.infer.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="vectors in the index")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()

    model = str(model_path(options.model).absolute())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photo = str(make_photos(folder / "photos", 1, (1024, 768))[0])
        index = make_index(folder / "index", Encoder(model), model, options.count)
        similar = [sys.executable, "-c", PROGRAM, "similar", photo, "--index", str(index)]
        commands = {
            "imports": [sys.executable, "-c", IMPORTS],
            "bare": [sys.executable, "-c", BARE, model, photo],
            "similar": similar,
        }
        # As installed: with compiled modules, whatever the environment says about them.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        spent: dict[str, list[float]] = {name: [] for name in [*commands, "photo", "aim"]}
        for number in range(options.rounds + 1):
            for name, command in commands.items():
                seconds, errors = child_cpu_seconds(command, environment)
                if number:  # the first round warms the disk's cache
                    spent[name].append(seconds)
                    if name == "bare":
                        spent["photo"].append(float(errors.split()[-1]))
            if number:
                spent["aim"].append(spent["imports"][-1] + spent["photo"][-1])
    print(f"CPU seconds of a process, {options.count:,} vectors, model {options.model}")
    for name, label in (
        ("imports", "import numpy, onnxruntime"),
        ("photo", "decode and encode one photo"),
        ("bare", "imports + loading the encoder + photo"),
        ("similar", "imgsim-edge similar"),
    ):
        report(label, spent[name], "ms", 1000)
    report(
        "similar / (imports + photo)",
        [s / a for s, a in zip(spent["similar"], spent["aim"], strict=True)],
        "×",
    )
    report(
        "similar / bare", [s / b for s, b in zip(spent["similar"], spent["bare"], strict=True)], "×"
    )


if __name__ == "__main__":
    main()
