"""Time and memory of the network: by model, photos in one run, and threads.

Each row is a process of its own, for its peak memory; the processes take turns. CPU time counts,
since other load on the machine disturbs it least; beside it the photos a second by the clock.

    python tests/benchmarks/encoder_batches.py [--models fp32 default] [--batches 1 8 32]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

ROW = """
import json, sys, time
import numpy as np, onnxruntime
from imgsim_edge.infer.machine import peak_memory
model, batch, threads, photos = sys.argv[1], *map(int, sys.argv[2:])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
images = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), np.uint8)
session.run(None, {"images": images})
runs = max(1, photos // batch)
began, cpu = time.perf_counter(), time.process_time()
for _ in range(runs):
    session.run(None, {"images": images})
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps([cpu / runs / batch, runs * batch / seconds, peak_memory()]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["default"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--photos", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    from imgsim_edge.infer.encoder.onnx_encoder import model_path

    rows: dict[tuple[str, int, int], list[list[float]]] = {
        (model, threads, batch): []
        for model in options.models
        for threads in options.threads
        for batch in options.batches
    }
    for _ in range(options.rounds):
        for (model, threads, batch), results in rows.items():
            arguments = [str(model_path(model)), *map(str, (batch, threads, options.photos))]
            output = subprocess.check_output([sys.executable, "-c", ROW, *arguments], text=True)
            results.append(json.loads(output))
    print(f"best of {options.rounds} rounds")
    print(
        f"{'model':<24}{'threads':>8}{'batch':>7}{'CPU ms/photo':>14}{'photos/s':>10}{'peak MB':>9}"
    )
    for (model, threads, batch), results in rows.items():
        cpu, rate = min(r[0] for r in results), max(r[1] for r in results)
        memory = max(r[2] for r in results)
        print(
            f"{model[-23:]:<24}{threads:>8}{batch:>7}"
            f"{cpu * 1000:>14.2f}{rate:>10.1f}{memory / 1e6:>9.0f}"
        )


if __name__ == "__main__":
    main()
