"""Runs one server and ends it together with whoever wanted it.

usage: guard.py GRACE_S COMMAND [ARGUMENT...]

Standard input is a pipe held open by the process that wants the server. When it closes, by intention or because its
holder was killed, the server gets SIGTERM, then its whole process group SIGKILL. A signal bound to the parent's death
alone would not do: the kernel ties it to the parent's thread, and drops it when the server changes its user.
The server's process id is written to standard output, and when it has ended its exit code, as subprocess has it. Its
own output goes to standard error.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None)


def main() -> None:
    grace_s, command = float(sys.argv[1]), sys.argv[2:]
    guard(grace_s, lambda: _executed(command))


def guard(grace_s: float, start: Callable[[], int]) -> None:
    """`start` gives the process id of a child that leads a process group and has gone through `begin_server`."""
    # Processes that the server leaves behind become children of this one, so that none is missed at the end.
    _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    pid = start()
    os.write(1, b"%d\n" % pid)
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(ended, select.POLLIN)
    poll.poll()
    os.write(1, b"%d\n" % end(pid, ended, grace_s))


def begin_server() -> None:
    """In the child, before it becomes the server."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _executed(command: list[str]) -> int:
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        process_group=0,
        preexec_fn=begin_server,  # noqa: PLW1509 - no threads here
    )
    server.returncode = 0  # `end` waits for it
    return server.pid


def end(pid: int, ended: int, grace_s: float) -> int:
    """The server's exit code; minus the signal that killed it."""
    over = select.poll()
    over.register(ended, select.POLLIN)
    if not over.poll(0):
        os.kill(pid, signal.SIGTERM)
        os.killpg(pid, signal.SIGCONT)  # a frozen server sees SIGTERM only once it runs again
        over.poll(grace_s * 1000)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    reap()
    return code


def reap() -> None:
    """Kill and collect all that is left, also what had made a process group of its own."""
    me = os.getpid()
    while True:
        for child in Path(f"/proc/{me}/task/{me}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


if __name__ == "__main__":
    main()
