"""Opens a listening socket by a congestion control of its own, and becomes the nginx that is given it.

usage: listen_as.py ALGORITHM PORT COMMAND [ARGUMENT...]

Connections inherit the algorithm of the socket that they came by. nginx has no setting for it, but takes over sockets
that its variable NGINX names: by them one nginx hands over to the next without a refused connection.
"""

import os
import socket
import sys

_WAITING_MAX = 1024


def main() -> None:
    algorithm, port, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, algorithm.encode())
    listening.bind(("127.0.0.1", port))
    listening.listen(_WAITING_MAX)
    listening.setblocking(False)  # nginx takes it as it is
    listening.set_inheritable(True)
    os.execvpe(command[0], command, os.environ | {"NGINX": f"{listening.fileno()};"})


if __name__ == "__main__":
    main()
