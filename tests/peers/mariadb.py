"""A private MariaDB on a Unix socket."""

import getpass
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.peers.debian import program
from tests.peers.server import Server
from tests.peers.templates import copy, ensure_template, sources

SOCKET_PATH_MAX_BYTES = 107  # sun_path, less its final zero; unix(7)


class MariaDB(Server):
    """A MariaDB with one database, for user root without a password. Made to be fast: a power cut costs its data."""

    def __init__(self, directory: Path, *, database: str, charset: str = "utf8mb4") -> None:
        super().__init__("mariadb", directory)
        self.database, self._charset = database, charset
        self.copied_from: Path | None = None  # a directory of data to begin with, of a server that was ended in order
        self.socket_path = directory / "sock"
        if len(bytes(self.socket_path)) > SOCKET_PATH_MAX_BYTES:
            raise ValueError(f"{self.socket_path} is too long for a socket, the limit is {SOCKET_PATH_MAX_BYTES} bytes")

    @property
    def url(self) -> str:
        """For SQLAlchemy with pymysql."""
        return f"mysql+pymysql://root@localhost/{self.database}?unix_socket={self.socket_path}&charset=utf8"

    def create_database(self, name: str) -> str:
        """One more database, and its URL."""
        self.query(f"create database {name} character set {self._charset}")
        return self.url.replace(f"/{self.database}?", f"/{name}?")

    def query(self, sql: str) -> list[list[str]]:
        """Rows of text, for a look into the database that goes past its server."""
        command = ["mariadb", "--no-defaults", "-u", "root", f"--socket={self.socket_path}", "-Nse", sql, self.database]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def stop_in_order(self) -> None:
        """So that its data can be begun with by another."""
        self.query("set global innodb_fast_shutdown = 0")
        self.stop()

    def _prepare(self) -> None:
        made = self.directory / "made"
        if made.exists():
            return
        copy(self.copied_from or ensure_mariadb() / "data", self.directory / "data")
        statement = f"create database if not exists `{self.database}` character set {self._charset};\n"
        (self.directory / "init.sql").write_text(statement)
        made.touch()

    def _command(self) -> Sequence[str | Path]:
        return [
            program("mariadbd"),
            *_options(self.directory),
            f"--socket={self.socket_path}",
            f"--pid-file={self.directory / 'pid'}",
            f"--init-file={self.directory / 'init.sql'}",
            "--skip-networking",
            "--skip-name-resolve",
            "--max-connections=400",
            "--innodb-buffer-pool-size=128M",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-fast-shutdown=2",
        ]

    def _answers(self) -> bool:
        # MariaDB speaks first, and not before its init file has been carried out.
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket_path))
            return b"MariaDB" in connection.recv(256)


def ensure_mariadb() -> Path:
    """What `mariadb-install-db` makes, in its `data`."""
    return ensure_template("mariadb", mariadb_version() + sources(__file__), _install)


def mariadb_version() -> bytes:
    return subprocess.run([program("mariadbd"), "--version"], check=True, capture_output=True, timeout=200).stdout


def _install(home: Path) -> None:
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    with (home / "log").open("ab") as log:
        subprocess.run(
            ["mariadb-install-db", *_options(home), *options], stdout=log, stderr=log, check=True, timeout=200
        )


def _options(directory: Path) -> list[str]:
    return [
        "--no-defaults",
        f"--user={getpass.getuser()}",
        f"--datadir={directory / 'data'}",
        f"--tmpdir={directory}",
        "--innodb-flush-method=nosync",
        "--innodb-log-file-size=16M",  # it is written whole when it is made, and copied
    ]
