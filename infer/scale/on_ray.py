"""Shards made on Ray: one process for each core, each with one thread, on every node of a cluster.

Ray (https://docs.ray.io) hands the work out, starts it again where a process or a node dies, and
brings the tables back; the driver writes them, so that the workers need to reach the photos and
nothing else. What a worker runs is ``embed_shard``, as a single machine does.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..encoder.onnx_encoder import Encoder, model_path
from ..errors import ImgsimError, UsageError
from ..machine import available_cores
from .addresses import Lost
from .embedding import Made, Run, Work, embed_shard
from .shards import EncoderRecord, table_of

LOCAL = "local"  # the address that starts a Ray on this machine, for this run
IN_WORK_FOR_A_CORE = 2  # shards that are handed out: one is worked on, one waits
_PATIENCE = 10.0  # seconds that a cluster may take to answer
RESTARTS = 3  # of a shard whose process dies, before it is taken apart

_loaded: dict[str, Encoder] = {}  # of this worker process, by digest


def embed_on_ray(model: Path | str, address: str) -> Run:
    """Embed on a Ray cluster.

    Args:
        model: the encoder, by name or path; it is sent to the workers.
        address: ``local``, ``auto`` (the cluster that this machine belongs to), ``HOST:PORT`` or
            ``ray://HOST:PORT``.

    Raises:
        UsageError: Ray is not installed.
    """
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise UsageError("Ray is not installed: pip install 'imgsim-edge[ray]'") from error

    def run(work: Sequence[Work], about: EncoderRecord) -> Iterator[Made]:
        return _run(work, about, model_path(model).read_bytes(), address)

    return run


def _run(work: Sequence[Work], about: EncoderRecord, model: bytes, address: str) -> Iterator[Made]:
    import ray

    _join(address)
    try:
        sent = ray.put(model)
        task = ray.remote(num_cpus=1, max_retries=RESTARTS)(_embed_in_worker)
        waiting = deque(work)
        running: dict[Any, Work] = {}
        while waiting or running:
            most = IN_WORK_FOR_A_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while waiting and len(running) < most:
                one = waiting.popleft()
                running[task.remote(one, about, sent)] = one
            done, _ = ray.wait(list(running), timeout=1.0)
            for reference in done:
                one = running.pop(reference)
                yield Made(one, _table(reference, one, about, task, sent))
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    """Connect to a cluster, or start one."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to anybody
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        host, _, port = address.rpartition("://")[2].rpartition(":")
        if port.isdigit():  # Ray itself would go on trying for minutes
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
        if address == LOCAL:
            ray.init(num_cpus=available_cores(), include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise UsageError(
            f"no Ray cluster at {address} ({reason}): start one with `ray start --head`, "
            f"or say `--ray {LOCAL}`"
        ) from error


def _table(reference: Any, work: Work, about: EncoderRecord, task: Any, model: Any) -> Any:
    """Fetch what a worker made; where it died again and again, find out over which photo."""
    import pyarrow as pa
    import ray
    from ray.exceptions import RayTaskError, WorkerCrashedError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, ImgsimError):
            raise error.cause from error
        raise
    except (WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        if len(work.made_from) == 1:
            return table_of(_lost(work), work.made_from, about)
        middle = len(work.made_from) // 2
        halves = [Work(work.made_from[:middle]), Work(work.made_from[middle:])]
        begun = [(task.remote(half, about, model), half) for half in halves]
        tables = [_table(one, half, about, task, model) for one, half in begun]
        whole = table_of([], work.made_from, about)
        return pa.concat_tables([table.cast(whole.schema) for table in tables])


def _lost(work: Work) -> Any:
    from ..encoder.embed import EmbeddedFile

    (one,) = work.made_from
    reason = "the process that read it died, several times"
    return [EmbeddedFile(Lost(one.source, one.path, one.size, one.mtime_ns), None, problem=reason)]


def _embed_in_worker(work: Work, about: EncoderRecord, model: bytes) -> Any:
    """Embed one shard in a process of its own, with one thread."""
    if about.digest not in _loaded:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encoder.onnx"
            path.write_bytes(model)
            _loaded[about.digest] = Encoder(path, threads=1)
    (made,) = embed_shard([work], _loaded[about.digest], about, threads=1)
    return made.table
