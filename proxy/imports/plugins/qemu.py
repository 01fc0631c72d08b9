"""qemu-img on a stranger's file: in a process with limits, which ends with us, and is told the format."""

import asyncio
import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import structlog

from proxy.tasks import TaskFailed

log = structlog.get_logger(__name__)

_GIB = 1024**3
# Source: glance/async_/utils.py, QEMU_IMG_PROC_LIMITS. Converting has none there; here it has room and time enough.
_INFO_MEMORY_BYTES, _INFO_CPU_S = _GIB, 2
_CONVERT_MEMORY_BYTES, _CONVERT_CPU_S, _BYTES_PER_CPU_S = 2 * _GIB, 600, 8 * 1024 * 1024
_PACKAGES: Mapping[str, str] = {"qemu-img": "qemu-utils", "prlimit": "util-linux", "setpriv": "util-linux"}
_DRIVERS: Mapping[str, str] = {"vhd": "vpc"}  # where qemu-img has another name for a format than Glance


class ProgramMissing(Exception):
    """A plugin needs a program that is not installed."""

    def __init__(self, names: Collection[str]) -> None:
        packages = " ".join(sorted({_PACKAGES[name] for name in names}))
        super().__init__(
            f"api.import_plugins: image_conversion needs {', '.join(sorted(names))}; install Debian's {packages}"
        )


def check_programs(plugins: Collection[str]) -> None:
    """Raises ProgramMissing."""
    missing = [name for name in _PACKAGES if shutil.which(name) is None]
    if "image_conversion" in plugins and missing:
        raise ProgramMissing(missing)


def driver_of(disk_format: str) -> str:
    return _DRIVERS.get(disk_format, disk_format)


async def info(path: Path, disk_format: str) -> Mapping[str, Any]:
    """What qemu-img says of a file, without opening others that it names. Raises TaskFailed."""
    limits = _limits(_INFO_MEMORY_BYTES, _INFO_CPU_S, 0)
    output = await _run([*limits, "qemu-img", "info", "-f", driver_of(disk_format), "--output=json", str(path)])
    try:
        found = json.loads(output)
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != driver_of(disk_format):
        raise TaskFailed("Image metadata disagrees about format")
    return found


async def convert(
    source: Path, target: Path, *, source_format: str, target_format: str, virtual_size_bytes: int, limit_bytes: int
) -> None:
    """Raises TaskFailed."""
    cpu_s = _CONVERT_CPU_S + virtual_size_bytes // _BYTES_PER_CPU_S
    limits = _limits(_CONVERT_MEMORY_BYTES, cpu_s, limit_bytes)
    formats = ["-f", driver_of(source_format), "-O", driver_of(target_format)]
    await _run([*limits, "qemu-img", "convert", *formats, str(source), str(target)])


def _limits(memory_bytes: int, cpu_s: int, file_bytes: int) -> list[str]:
    """Also: no core dumps, no new privileges, and the end when we end, even by SIGKILL."""
    bounds = [f"--as={memory_bytes}", f"--cpu={cpu_s}", f"--fsize={file_bytes}", "--core=0"]
    return ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", "prlimit", *bounds, "--"]


async def _run(command: list[str]) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
    )
    try:
        output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        # It quotes paths of this host: those are for the log, not for the owner of the image.
        said = complaint.decode(errors="replace")[-500:].strip()
        log.warning("import.qemu_img_failed", status=process.returncode, said=said)
        raise TaskFailed("qemu-img could not read or convert the image.")
    return output
