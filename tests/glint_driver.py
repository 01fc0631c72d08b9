"""Becomes `glint` commands many times: `python -P glint_driver.py DESCRIPTOR`.

Loading Glint takes ten times as long as starting it. Here it is loaded once; each command is a fork of it under a guard
(tests/peers/guard.py), with its own environment, folder and files, and sees nothing of those before it.

The descriptor is a Unix socket. A request on it is JSON, `{"arguments", "environment", "directory", "grace_s",
"forks_workers", "program"}`, with four descriptors: the guard's standard input and output, and the command's output and
errors. The answer is a byte. A `program` is Python's source, to be run instead of Glint's.
"""

import atexit
import gc
import json
import os
import signal
import socket
import sys
import threading
from importlib import import_module
from typing import Any, NoReturn

from tests.forked_workers import fork_workers
from tests.peers import guard

_PRELOADED = ("proxy.cli", "proxy.commands.serve", "proxy.commands.cache", "proxy.commands.prewarm")
_REQUEST_MAX_BYTES = 256 * 1024
_FILES = 4


def main() -> None:
    """Until nobody can ask any more."""
    gc.disable()
    for name in _PRELOADED:
        import_module(name)
    gc.freeze()
    gc.enable()
    assert threading.active_count() == 1, "a fork would lack the other threads"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for the guards
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        while True:
            data, files, _, _ = socket.recv_fds(asked, _REQUEST_MAX_BYTES, _FILES)
            if not data:
                return
            if os.fork() == 0:
                _guard(json.loads(data), *files)
            for file in files:
                os.close(file)
            asked.send(b"\n")


def _guard(request: dict[str, Any], stdin: int, stdout: int, out: int, err: int) -> NoReturn:
    code = 1
    try:
        os.setsid()  # Ctrl-C is for the tests, which then end the command in order
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate((stdin, stdout, err, out)):
            os.dup2(file, number)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        guard.guard(request["grace_s"], lambda: _forked(request))
        code = 0
    finally:
        os._exit(code)


def _forked(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        _become(request)
    return pid


def _become(request: dict[str, Any]) -> NoReturn:
    """The command itself, as its own program starts it."""
    os.setpgid(0, 0)
    guard.begin_server()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what shells start in their background ignores Ctrl-C
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(3, 1)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["glint", *request["arguments"]]
    if request["forks_workers"]:
        fork_workers(_exit)
    code: Any = 1
    try:
        if request["program"] is None:
            import_module("proxy.cli").main()
        else:
            exec(request["program"], {"__name__": "__main__"})
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on as a second parent
        sys.excepthook(*sys.exc_info())
    finally:
        _exit(code)


def _exit(code: object) -> NoReturn:
    """As Python ends: threads, then what asked to be called, then what was printed."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing's children do
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
