"""A real HTTP proxy, which asks for a password."""

import http.client
from collections.abc import Sequence
from pathlib import Path

from tests.peers.debian import program
from tests.peers.ports import free_port
from tests.peers.server import Server


class Tinyproxy(Server):
    """A tinyproxy for user `glint`, password `pass.word`. CONNECT goes to `connect_ports` only; none: to all."""

    USER, PASSWORD = "glint", "pass.word"

    def __init__(self, directory: Path, *, connect_ports: Sequence[int] = ()) -> None:
        super().__init__("tinyproxy", directory, stop_s=1)
        self.port = free_port()
        self._connect_ports = tuple(connect_ports)

    @property
    def url(self) -> str:
        """With the credentials, as an operator writes them."""
        return f"http://{self.USER}:{self.PASSWORD}@127.0.0.1:{self.port}"

    def asked(self) -> list[str]:
        """The first lines of all requests that came."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return [line.partition("): ")[2] for line in lines if "Request (file descriptor" in line]

    def _prepare(self) -> None:
        lines = [
            f"Port {self.port}",
            "Listen 127.0.0.1",
            "Timeout 60",
            "MaxClients 50",
            "LogLevel Connect",
            f"BasicAuth {self.USER} {self.PASSWORD}",
            *(f"ConnectPort {port}" for port in self._connect_ports),
        ]
        (self.directory / "tinyproxy.conf").write_text("\n".join(lines) + "\n")

    def _command(self) -> Sequence[str | Path]:
        return [program("tinyproxy"), "-d", "-c", self.directory / "tinyproxy.conf"]

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status > 0
        except http.client.HTTPException:
            return False
        finally:
            connection.close()
