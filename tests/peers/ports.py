"""Ports for servers that are started, stopped and started again."""

import os
import random
import socket

# Below the range from which the kernel takes the ports of outgoing connections: a server that comes back to its port
# after a stop would otherwise now and then find a client's end of a connection there.
FIRST, LAST = 20000, 32000
# Processes of one test run draw from different parts: between finding a port free and listening on it there is time.
_PARTS = 4
_RANDOM = random.SystemRandom()  # hypothesis seeds the other one, in each process alike
_given: set[int] = set()  # a server that does not listen yet, or does not run just now, counts on its port


def free_port() -> int:
    """A loopback TCP port nobody listens on, each time another one. Should another process take it, the start fails."""
    part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
    size = (LAST - FIRST) // _PARTS
    for _ in range(200):
        port = FIRST + part * size + _RANDOM.randrange(size)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port on 127.0.0.1 between {FIRST} and {LAST}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are closing do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
