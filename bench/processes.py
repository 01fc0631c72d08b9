"""What server processes cost: processor seconds and memory of a process group, on named cores."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_FILES = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Of a whole group. `rss_bytes` counts what processes share once for each, `pss_bytes` once in all."""

    rss_bytes: int
    rss_peak_bytes: int  # since `forget_peak`
    pss_bytes: int


def members(group: int) -> list[int]:
    """The processes of a group, as every server from `tests.peers` leads one."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[2]) == group:
                found.append(int(entry.name))
    return found


def cpu_s(group: int) -> float:
    """User and system seconds of all threads since they began, to the nanosecond.

    By the processes' own CPU clocks (the id is built as clock_getcpuclockid does): /proc/PID/stat counts in 10 ms.
    A process that ends takes its share with it; the servers under test keep theirs.
    """
    total = 0.0
    for pid in members(group):
        with suppress(OSError):
            total += time.clock_gettime((~pid << 3) | 2)
    return total


def forget_peak(group: int) -> None:
    for pid in members(group):
        with suppress(OSError):
            (PROC / str(pid) / "clear_refs").write_text("5")


def memory(group: int) -> Memory:
    rss = peak = pss = 0
    for pid in members(group):
        with suppress(OSError):
            status = _fields(PROC / str(pid) / "status")
            rss += status.get("VmRSS", 0)
            peak += status.get("VmHWM", 0)
            pss += _fields(PROC / str(pid) / "smaps_rollup").get("Pss", 0)
    return Memory(rss_bytes=rss, rss_peak_bytes=peak, pss_bytes=pss)


def pin(group: int, cores: Sequence[int]) -> None:
    """Keep all threads that a group has now, and those that they start, on `cores`."""
    for pid in members(group):
        for task in (PROC / str(pid) / "task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cores)


def _fields(path: Path) -> dict[str, int]:
    """Lines such as `VmRSS:   123 kB`, in bytes."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found


def allow_many_files() -> None:
    """A thousand clients take a thousand descriptors, here and in the servers that are started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES if hard == resource.RLIM_INFINITY else hard, hard))


def machine() -> dict[str, object]:
    """What a number depends on besides the code."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in (PROC / "cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_bytes": _fields(PROC / "meminfo")["MemTotal"],
        "kernel": os.uname().release,
        "congestion_control": (PROC / "sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "python": sys.version.split()[0],
        "load": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """Of the project, with a mark if files differ from it; "none" outside a repository."""
    root = Path(__file__).parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "none"
