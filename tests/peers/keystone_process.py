"""Keystone's process, run by the Python of Keystone's environment.

usage: keystone_process.py CONFIG PORT ACCESS_LOG [prepare]

`prepare` first makes the tables and the first administrator, in forked children: loading Keystone takes longer than
doing both, so it is loaded once.
"""

import os
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

URL = "http://127.0.0.1:{port}/v3"


def main(config: str, port: str, access_log: str, *, prepare: bool) -> None:
    sys.argv = ["keystone"]  # Keystone reads the process's arguments
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = config
    if prepare:
        url = URL.format(port=port)
        manage(config, "db_sync")
        urls = [f"--bootstrap-{interface}-url={url}" for interface in ("admin", "internal", "public")]
        manage(config, "bootstrap", "--bootstrap-password=secret", "--bootstrap-region-id=RegionOne", *urls)
    application = import_module("keystone.wsgi.api").application
    log = os.open(access_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    import_module("waitress").serve(recorded(application, log), listen=f"127.0.0.1:{port}", threads=8)


def manage(config: str, *arguments: str) -> None:
    """`keystone-manage`, in a child, since it can be configured once in a process."""
    cli = import_module("keystone.cmd.cli")
    child = os.fork()
    if child == 0:
        try:
            cli.main(["keystone-manage", "--config-file", config, *arguments])
        except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on as a second parent
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(f"keystone-manage {arguments[0]} failed")


def recorded(application: Callable[..., Iterable[bytes]], log: int) -> Callable[..., Iterable[bytes]]:
    """Writes one line per answer: method, path, status. Tokens travel in headers, so none gets there."""

    def record(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, *more: Any) -> Any:
            line = f"{environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']}{environ['PATH_INFO']} {status[:3]}\n"
            os.write(log, line.encode())
            return start_response(status, *more)

        return application(environ, start)

    return record


if __name__ == "__main__":
    main(*sys.argv[1:4], prepare=sys.argv[4:] == ["prepare"])
