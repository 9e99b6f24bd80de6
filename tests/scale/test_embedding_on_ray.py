"""`embed --ray`: the same shards, made by processes on the nodes of a cluster, whatever dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import PROGRAM, Run, fails
from imgsim_edge.infer.scale.embedding import embed_here, embed_sources
from imgsim_edge.infer.scale.shards import read_manifest
from tiny import tiny_encoder

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
    pytest.mark.skipif(find_spec("ray") is None, reason="needs ray"),
]

CLUSTER = """
import os, sys, warnings
warnings.simplefilter("ignore")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of two nodes with one core each."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin and process.stdout
    lines = iter(process.stdout.readline, "")
    yield next(line.strip() for line in lines if line.startswith(("127.", "10.", "172.", "192.")))
    process.stdin.close()
    process.wait(timeout=60)
    process.stdout.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_encoder(details=16))
    return path


@pytest.fixture(scope="module")
def photos(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(200):
        name = ("coffee", "rocket", "china")[number % 3]
        shutil.copy(collection / f"{name}.jpg", folder / f"{number:03d}.jpg")
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def undisturbed(photos: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Sums of the shards that one machine makes of the photos."""
    folder = tmp_path_factory.mktemp("undisturbed")
    embed_sources([str(photos)], folder, model, embed_here(model), shard_photos=8)
    return sums(folder)


def sums(folder: Path) -> set[str]:
    return {shard.digest for shard in read_manifest(folder).shards}


def started(photos: Path, out: Path, model: Path, cluster: str) -> subprocess.Popen[bytes]:
    """Start the program and wait until some shards are there."""
    program = [sys.executable, "-c", PROGRAM, "embed", photos, "--out", out, "--model", model]
    program += ["--shard-photos", "8", "--ray", cluster]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while len(list(out.glob("shard-*"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def workers() -> list[int]:
    """Processes that embed right now."""
    found = []
    for about in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if about.read_bytes().startswith(b"ray::_embed_in_worker"):
                found.append(int(about.parent.name))
    return found


def test_a_cluster_makes_the_shards_that_one_machine_makes(
    run: Run, photos: Path, model: Path, cluster: str, undisturbed: set[str], tmp_path: Path
) -> None:
    program = ["embed", photos, "--out", "shards", "--model", model, "--shard-photos", "8"]
    done = run(*program, "--ray", cluster)
    assert done.stdout.startswith("200 photos in 26 shards in shards (201 looked into"), done
    assert sums(tmp_path / "shards") == undisturbed
    assert "(0 looked into" in run(*program, "--ray", cluster).stdout


def test_a_worker_that_is_killed_costs_nothing(
    photos: Path, model: Path, cluster: str, undisturbed: set[str], tmp_path: Path
) -> None:
    process = started(photos, tmp_path / "shards", model, cluster)
    while not (victims := workers()):
        assert process.poll() is None
    os.kill(victims[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert sums(tmp_path / "shards") == undisturbed


def test_a_driver_that_is_killed_goes_on_where_it_was(
    photos: Path, model: Path, cluster: str, undisturbed: set[str], run: Run, tmp_path: Path
) -> None:
    process = started(photos, tmp_path / "shards", model, cluster)
    process.kill()
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").glob("shard-*")}
    assert 2 <= len(kept) < 26
    program = ["embed", photos, "--out", "shards", "--model", model, "--shard-photos", "8"]
    assert run(*program, "--ray", cluster).status == 0
    assert sums(tmp_path / "shards") == undisturbed
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())


def test_a_photo_that_kills_its_process_again_and_again_is_a_row_with_a_reason(
    photos: Path, model: Path, cluster: str, tmp_path: Path
) -> None:
    script = tmp_path / "poison.py"
    script.write_text(
        textwrap.dedent(
            f"""
            # A fake: the process ends by itself where a photo of that name comes.
            import os, sys
            from pathlib import Path
            from imgsim_edge.infer.scale import embedding, on_ray

            whole = on_ray._embed_in_worker

            def dies(work, about, model):
                if any(one.name == "007.jpg" for one in work.made_from):
                    os._exit(1)
                return whole(work, about, model)

            on_ray._embed_in_worker, on_ray.RESTARTS = dies, 0
            run = on_ray.embed_on_ray({str(model)!r}, {cluster!r})
            report = embedding.embed_sources(
                [{str(photos)!r}], Path("shards"), {str(model)!r}, run, shard_photos=64
            )
            print(report.photos, [(p.path.name, p.reason) for p in report.problems])
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()[-1]
    assert told.startswith("199 "), told
    assert "('007.jpg', 'the process that read it died, several times')" in told


def test_a_cluster_that_is_not_there_is_one_line(run: Run, photos: Path) -> None:
    program = ["embed", photos, "--out", "shards", "--ray"]
    fails(run(*program, "127.0.0.1:1"), "no Ray cluster at 127.0.0.1:1", "--ray local")
