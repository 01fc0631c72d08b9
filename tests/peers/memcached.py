"""A real memcached."""

import getpass
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.peers.debian import program
from tests.peers.ports import free_port
from tests.peers.server import Server


class Memcached(Server):
    """A memcached on loopback. It forgets everything when stopped."""

    def __init__(self, directory: Path, *, memory_mib: int = 64) -> None:
        super().__init__("memcached", directory, stop_s=0.1)  # it has nothing to save
        self.host, self.port = "127.0.0.1", free_port()
        self._memory_mib = memory_mib
        self._items_before = 0  # stored before the last flush

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def command(self, line: bytes, *, until: bytes = b"\r\n") -> bytes:
        """The answer to one text command, up to and including `until`. Raises OSError."""
        with socket.create_connection((self.host, self.port), timeout=30) as connection:
            connection.sendall(line + b"\r\n")
            answer = b""
            while not answer.endswith(until):
                piece = connection.recv(65536)
                if not piece:
                    raise ConnectionError(f"memcached closed the connection after {len(answer)} bytes")
                answer += piece
            return answer

    def flush(self) -> None:
        """Nothing it holds is found from now on; `curr_items` counts it until its memory is wanted."""
        assert self.command(b"flush_all") == b"OK\r\n"
        self._items_before = self.stats()["total_items"]

    def stored(self) -> int:
        """How many values it was given since the last flush, whatever became of them."""
        return self.stats()["total_items"] - self._items_before

    def stats(self) -> dict[str, int]:
        """Its counters (`get_hits`, `cmd_set`, `curr_items`...); what is no whole number is left out."""
        lines = self.command(b"stats", until=b"END\r\n").decode().splitlines()
        pairs = [line.split(" ", 2)[1:] for line in lines if line.startswith("STAT ")]
        return {name: int(value) for name, value in pairs if value.isdecimal()}

    def _prepare(self) -> None:
        """It reads no file, and counts anew."""
        self._items_before = 0

    def _command(self) -> Sequence[str | Path]:
        user = getpass.getuser()
        return [program("memcached"), f"-p{self.port}", "-l", self.host, "-u", user, "-m", str(self._memory_mib)]

    def _answers(self) -> bool:
        return self.command(b"version").startswith(b"VERSION")
