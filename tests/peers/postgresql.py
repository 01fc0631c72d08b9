"""A private PostgreSQL on loopback."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.peers.debian import program
from tests.peers.ports import free_port
from tests.peers.server import Server
from tests.peers.templates import copy, ensure_template, sources

_STARTUP = struct.pack("!I", 0x0003_0000) + b"user\0glance\0database\0glance\0\0"  # protocol 3.0
_READY = b"Z\0\0\0\x05I"


class PostgreSQL(Server):
    """A PostgreSQL with the database `glance` for user `glance`, whom it trusts. A power cut costs its data.

    It refuses to run as root: then it runs as user postgres, with its data where that user may go.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__("postgresql", directory)
        self.port = free_port()
        self._home: Path | None = None

    @property
    def url(self) -> str:
        return f"postgresql://glance@127.0.0.1:{self.port}/glance"

    def create_database(self, name: str) -> str:
        """One more database, and its URL."""
        self.query(f"CREATE DATABASE {name}", database="postgres")
        return self.url.removesuffix("glance") + name

    def query(self, sql: str, database: str = "glance") -> list[list[str]]:
        """Rows of text, for a look into the database that goes past its clients."""
        command = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "glance", "-d", database, "-XtAc", sql]
        command[0] = str(program("postgres").with_name("psql"))
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
        return [line.split("|") for line in done.stdout.splitlines()]

    def close(self) -> None:
        super().close()
        if self._home is not None and self._home.parent != self.directory:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def freeze(self) -> None:
        """Each of its connections has a process, and a process group, of its own."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        for pid in (self.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _prepare(self) -> None:
        if self._home is not None:
            return
        if os.geteuid() == 0:
            self._home = _folder_of_postgres()
        else:
            self._home = self.directory / "home"
            self._home.mkdir()
        copy(ensure_postgresql() / "data", self._home / "data")

    def _command(self) -> Sequence[str | Path]:
        assert self._home is not None
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "fsync": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*_as_postgres(), program("postgres"), "-D", self._home / "data", "-p", str(self.port), *options]

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(struct.pack("!I", len(_STARTUP) + 4) + _STARTUP)
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
                if answer.endswith(_READY):
                    return True
            return False


def _as_postgres() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["env", "--chdir=/", "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]


def _folder_of_postgres() -> Path:
    """It refuses to run as root, and its user cannot go everywhere."""
    folder = Path(tempfile.mkdtemp(prefix="glint-postgresql-"))
    shutil.chown(folder, "postgres", "postgres")
    return folder


def ensure_postgresql() -> Path:
    """What `initdb` makes, and the database `glance` in it, in its `data`."""
    version = subprocess.run([program("postgres"), "--version"], check=True, capture_output=True, timeout=200).stdout
    return ensure_template("postgresql", version + sources(__file__), _install)


def _install(home: Path) -> None:
    folder = _folder_of_postgres() if os.geteuid() == 0 else home
    data, postgres = folder / "data", program("postgres")
    options = ["-U", "glance", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
    _once([postgres.with_name("initdb"), "-D", data, *options])
    _once([postgres, "--single", "-D", data, "postgres"], b"CREATE DATABASE glance\n")
    if folder != home:
        copy(data, home / "data")
        shutil.rmtree(folder, ignore_errors=True)


def _once(command: Sequence[str | Path], stdin: bytes = b"") -> None:
    subprocess.run([*_as_postgres(), *command], input=stdin, capture_output=True, check=True, timeout=200)
