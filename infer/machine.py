"""What this machine lends to this process: cores and memory, within the limits set on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ASSUMED_MEMORY = 1 << 30  # bytes, where the platform does not tell
_LIBRARIES = ("onnxruntime", "hnswlib", "numpy", "pillow")  # that speed depends on
_CGROUPS = Path("/sys/fs/cgroup")  # https://docs.kernel.org/admin-guide/cgroup-v2.html


@dataclass(frozen=True)
class Machine:
    """What the measurements were made on and with.

    Attributes:
        cpu: its name, as the system gives it.
        architecture: such as ``x86_64`` or ``aarch64``.
        cores: that the process may use.
        memory: likewise, in bytes.
        system: name and release of the operating system.
        versions: of this package, Python and the libraries that the figures depend on.
    """

    cpu: str
    architecture: str
    cores: int
    memory: int
    system: str
    versions: dict[str, str]


def available_cores() -> int:
    """Count the cores that this process may use: affinity and a container's quota respected."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    for setting in _cgroup_settings("cpu", "cpu.max"):
        quota, _, period = setting.partition(" ")
        if quota.isdigit() and period.isdigit():
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def available_memory() -> int:
    """Tell how many bytes this process may use at most: RAM, a container's limit or `ulimit -v`."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        memory = _ASSUMED_MEMORY
    for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, version 1
        for setting in _cgroup_settings("memory", name):
            if setting.isdigit():  # version 2 says "max" where there is no limit
                memory = min(memory, int(setting))
    try:
        import resource
    except ImportError:  # Windows again
        return memory
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY:
            memory = min(memory, soft)
    return memory


def this_machine() -> Machine:
    """Describe the machine and the libraries."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"imgsim-edge": version("imgsim-edge"), "python": platform.python_version()}
    for library in _LIBRARIES:
        versions[library] = "none"
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return Machine(
        cpu=_cpu_name(),
        architecture=platform.machine(),
        cores=available_cores(),
        memory=available_memory(),
        system=f"{platform.system()} {platform.release()}",
        versions=versions,
    )


def peak_memory() -> int | None:
    """Tell the most memory that this process has had in RAM, in bytes; None where unknown."""
    try:  # getrusage() counts the parent's memory before exec() in, Linux's own figure does not
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if "VmHWM" in line)
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = dict(line.split(":", 1) for line in lines if ":" in line)
    for key, value in named.items():
        if key.strip() in ("model name", "Model"):  # x86; the board, on Arm
            return value.strip()
    return platform.processor() or platform.machine()


def _cgroup_settings(controller: str, name: str) -> Iterator[str]:
    """Read a setting of this process's control group and of every group around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:  # "0::/path" in version 2, "4:memory:/path" in version 1
        _, controllers, own = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = _CGROUPS / controllers
        group = top / own.lstrip("/")
        while group.is_relative_to(top):
            with suppress(OSError):  # the outermost group has no limits
                yield (group / name).read_text().strip()
            group = group.parent
