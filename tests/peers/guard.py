"""Runs one server and ends it together with whoever wanted it.

usage: guard.py GRACE_S COMMAND [ARGUMENT...]

Standard input is a pipe held open by the process that wants the server. When it closes, by intention or because its
holder was killed, the server gets SIGTERM, then its whole process group SIGKILL. A signal bound to the parent's death
alone would not do: the kernel ties it to the parent's thread, and drops it when the server changes its user.
The server's process id is written to standard output, its own output goes to standard error.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> int:
    libc = ctypes.CDLL(None)
    # Processes that the server leaves behind become children of this one, so that none is missed at the end.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = subprocess.Popen(
        sys.argv[2:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        process_group=0,
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),  # noqa: PLW1509 - no threads here
    )
    os.write(sys.stdout.fileno(), b"%d\n" % server.pid)
    poll = select.poll()
    poll.register(sys.stdin.fileno(), select.POLLIN)
    poll.register(os.pidfd_open(server.pid), select.POLLIN)
    poll.poll()
    end(server, float(sys.argv[1]))
    return server.returncode


def end(server: subprocess.Popen[bytes], grace_s: float) -> None:
    if server.poll() is None:
        server.terminate()
        os.killpg(server.pid, signal.SIGCONT)  # a frozen server sees SIGTERM only once it runs again
        with suppress(subprocess.TimeoutExpired):
            server.wait(grace_s)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    reap()


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
    sys.exit(main())
