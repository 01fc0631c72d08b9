"""Runs a program under strace and tells what it did to one folder: its own calls, its libraries' and its children's.

The program is slowed down but not changed. A call that changes files and is not understood here raises NotUnderstood,
so that nothing is left out in silence. Memory-mapped writing is not seen; only SQLite's -shm, which need not survive
anything, may be mapped.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.peers.debian import program
from tests.power.calls import Call
from tests.power.trace import UMASK, parse

# "?": not on every kind of processor.
_TRACED = (
    "?open,?creat,openat,?openat2,close,dup,?dup2,dup3,fcntl,lseek,write,writev,pwrite64,pwritev,?pwritev2,"
    "ftruncate,truncate,fallocate,fsync,fdatasync,syncfs,?rename,renameat,renameat2,?unlink,unlinkat,?rmdir,?mkdir,"
    "mkdirat,?chmod,fchmod,fchmodat,?link,linkat,?symlink,symlinkat,mknodat,setxattr,fsetxattr,copy_file_range,sendfile,"
    "splice,mmap,?fork,?vfork,clone,clone3,execve,chdir,?io_uring_setup"
)


def record(
    command: Sequence[str | Path],
    folder: Path,
    *,
    marks: Path,
    scratch: Path,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 240,
) -> list[Call]:
    """What `command` did below `folder`, which must not exist yet. What it writes to `marks` becomes Mark.

    The trace is kept in `scratch`. Raises PackagesMissing where there is no strace, AssertionError if it fails.
    """
    assert not folder.exists()
    trace = scratch / "trace"
    arguments = ["-f", "-xx", "-qq", "-s", "33554432", "--seccomp-bpf", "-e", f"trace={_TRACED}", "-e", "signal=none"]
    done = subprocess.run(
        [program("strace"), *arguments, "-o", trace, "--", *command],
        env=dict(environment) if environment is not None else None,
        cwd=scratch,
        umask=UMASK,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-4000:]}"
    with trace.open(encoding="ascii", errors="replace") as lines:
        return list(parse(lines, str(folder), str(marks), str(scratch)))
