"""The floor of a machine: a thread for each client that does nothing but `sendfile`. No server can be cheaper.

python bench/floor.py PORT FILE
"""

import os
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.peers import Server, free_port

_PIECE_BYTES = 4 * 1024 * 1024


class Floor(Server):
    """Answers every request with one file."""

    def __init__(self, directory: Path, file: Path) -> None:
        super().__init__("floor", directory, start_s=10, stop_s=0.1)
        self.host, self.port, self._file = "127.0.0.1", free_port(), file

    def _prepare(self) -> None:
        """Nothing: it reads no configuration."""

    def _command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "bench.floor", str(self.port), self._file]

    def _environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(Path(__file__).parents[1])}

    def _answers(self) -> bool:
        socket.create_connection((self.host, self.port), timeout=5).close()
        return True


def _serve(connection: socket.socket, file: int, size_bytes: int) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size_bytes}\r\n\r\n".encode()
    with connection, suppress(ConnectionError):
        while connection.recv(65536):
            connection.sendall(head)
            at = 0
            while at < size_bytes:
                at += os.sendfile(connection.fileno(), file, at, min(_PIECE_BYTES, size_bytes - at))


def main() -> None:
    with open(sys.argv[2], "rb") as file:  # noqa: PTH123 - read by descriptor only
        size_bytes = os.fstat(file.fileno()).st_size
        listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, file.fileno(), size_bytes), daemon=True).start()


if __name__ == "__main__":
    main()
