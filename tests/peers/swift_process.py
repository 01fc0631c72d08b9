"""Swift's processes, run by the Python of Swift's environment.

usage: swift_process.py DIRECTORY PROXY_PORT ACCOUNT_PORT CONTAINER_PORT OBJECT_PORT

Loading Swift takes longer than all else, so it is loaded once, by a process that then only looks after two forked
children: one is the proxy, account and container server, the other the object server, which writes its process id into
DIRECTORY/object.pid and ends alone. SIGUSR1 begins another object server. The configuration files lie in DIRECTORY.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

FRONT = ("account", "container", "proxy")
MODULES = [f"swift.{part}.server" for part in ("account", "container", "obj", "proxy")]


def main(directory: Path, ports: dict[str, int]) -> None:
    # The children's own handlers are the default ones: the guard outside kills what is left.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM})
    load(directory)
    make_rings(directory, ports)
    front = begin(directory, {name: ports[name] for name in FRONT})
    while True:
        object_server = begin(directory, {"object": ports["object"]})
        (directory / "object.pid.new").write_text(str(object_server))
        (directory / "object.pid.new").rename(directory / "object.pid")  # whole for whoever reads it
        while (got := signal.sigwait({signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM})) != signal.SIGUSR1:
            if got == signal.SIGTERM or os.waitpid(front, os.WNOHANG)[0]:
                return


def load(directory: Path) -> None:
    """In this order: the constraints are read once, on import, and copied by the servers' modules."""
    utils = import_module("swift.common.utils")
    utils.monkey_patch()
    utils.set_swift_dir(str(directory))
    import_module("swift.common.constraints").reload_constraints()
    for module in MODULES:
        import_module(module)


def make_rings(directory: Path, ports: dict[str, int]) -> None:
    """One replica on one device."""
    if (directory / "object.ring.gz").exists():
        return
    builder_of = import_module("swift.common.ring").RingBuilder
    for name in ("account", "container", "object"):
        builder = builder_of(2, 1, 0)
        device = {"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": ports[name], "device": "d0", "weight": 1}
        builder.add_dev({**device, "meta": ""})
        builder.rebalance(seed="1")
        builder.get_ring().save(str(directory / f"{name}.ring.gz"))


def begin(directory: Path, ports: dict[str, int]) -> int:
    """A child that serves what is named, each on its port."""
    child = os.fork()
    if child == 0:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, set())
            serve(directory, ports)
        except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on as a second parent
            sys.excepthook(*sys.exc_info())
        os._exit(1)
    return child


def serve(directory: Path, ports: dict[str, int]) -> None:
    eventlet = import_module("eventlet")
    eventlet.hubs.use_hub(import_module("swift.common.utils").get_hub())
    threads = [eventlet.spawn(serve_one, directory / f"{name}.conf", port) for name, port in ports.items()]
    for thread in threads:
        thread.wait()


def serve_one(config: Path, port: int) -> None:
    """As Swift's own `run_server` does, which takes its thread for itself."""
    eventlet, wsgi = import_module("eventlet"), import_module("swift.common.wsgi")
    options: dict[str, Any] = {
        "custom_pool": wsgi.RestrictedGreenPool(size=1024),
        "protocol": wsgi.SwiftHttpProtocol,
        "socket_timeout": 60.0,
        "capitalize_response_headers": False,  # S3's clients want ETag, not Etag
    }
    listener = eventlet.listen(("127.0.0.1", port), backlog=4096)
    application = wsgi.loadapp(str(config), global_conf={"log_name": f"{config.stem}-server"})
    eventlet.wsgi.server(listener, application, wsgi.NullLogger(), **options)


if __name__ == "__main__":
    names = ("proxy", "account", "container", "object")
    main(Path(sys.argv[1]), dict(zip(names, map(int, sys.argv[2:]), strict=True)))
