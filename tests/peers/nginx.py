"""A real nginx: as file server, as proxy, and as caching proxy."""

import getpass
import http.client
import sys
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.peers.debian import program
from tests.peers.ports import free_port
from tests.peers.server import Server

_LISTEN_AS = Path(__file__).with_name("listen_as.py")
TEMP_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What decides how fast large files leave. The defaults suit pages in memory; `aio="threads"` suits cold ones."""

    workers: int = 1
    sendfile: bool = True
    sendfile_max_chunk_kib: int = 2048  # per call; 0 is no limit, by which one fast client may hold a worker
    tcp_nopush: bool = True
    aio: Literal["off", "on", "threads"] = "off"
    directio_kib: int = 0  # files from this size on go past the page cache; 0 is none
    output_buffers_kib: int = 512  # only used without sendfile
    open_files: int = 1000
    congestion_control: str | None = None  # of the connections; None: the system's, which nginx itself leaves alone

    def lines(self) -> list[str]:
        return [
            f"sendfile {_on(self.sendfile)};",
            f"sendfile_max_chunk {self.sendfile_max_chunk_kib}k;",
            f"tcp_nopush {_on(self.tcp_nopush)};",
            "tcp_nodelay on;",
            f"aio {self.aio};",
            f"directio {f'{self.directio_kib}k' if self.directio_kib else 'off'};",
            f"output_buffers 2 {self.output_buffers_kib}k;",
            f"open_file_cache max={self.open_files} inactive=600s;",
            "open_file_cache_valid 600s;",
            "keepalive_timeout 600s;",
            "keepalive_requests 1000000;",
            "reset_timedout_connection on;",
        ]


class Nginx(Server):
    """An nginx with one server on loopback, without an access log."""

    def __init__(self, name: str, directory: Path, tuning: Tuning) -> None:
        super().__init__(name, directory, stop_s=1)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._tuning = tuning

    @abstractmethod
    def _locations(self) -> list[str]:
        """Lines of the server block."""

    def _shared(self) -> list[str]:
        """Lines of the http block."""
        return []

    def _prepare(self) -> None:
        temp = self.directory / "temp"
        temp.mkdir(exist_ok=True)
        # A socket that was given cannot be had once more for each worker.
        has_own = self._tuning.workers > 1 and self._tuning.congestion_control is None
        reuse = " reuseport" if has_own else ""
        lines = [
            *([f"user {getpass.getuser()};"] if getpass.getuser() == "root" else []),
            f"worker_processes {self._tuning.workers};",
            "worker_rlimit_nofile 8192;",
            f"pid {self.directory / 'nginx.pid'};",
            "daemon off;",
            "error_log stderr;",
            "events { worker_connections 4096; multi_accept on; }",
            "http {",
            "access_log off;",
            "default_type application/octet-stream;",
            *(f"{name}_temp_path {temp / name};" for name in TEMP_PATHS),
            *self._tuning.lines(),
            *self._shared(),
            "server {",
            f"listen 127.0.0.1:{self.port} backlog=1024{reuse};",
            *self._locations(),
            "} }",
        ]
        (self.directory / "nginx.conf").write_text("\n".join(lines) + "\n")

    def _command(self) -> Sequence[str | Path]:
        nginx: list[str | Path] = [
            program("nginx"),
            "-e",
            "stderr",
            "-p",
            self.directory,
            "-c",
            self.directory / "nginx.conf",
        ]
        if self._tuning.congestion_control is None:
            return nginx
        return [sys.executable, "-ISE", _LISTEN_AS, self._tuning.congestion_control, str(self.port), *nginx]

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("OPTIONS", "/")
            connection.getresponse().read()
        except http.client.HTTPException:
            return False
        finally:
            connection.close()
        return True


class StaticNginx(Nginx):
    """Serves the files below `root`."""

    def __init__(self, directory: Path, root: Path, *, tuning: Tuning | None = None) -> None:
        super().__init__("nginx-static", directory, tuning or Tuning())
        self.root = root

    def _locations(self) -> list[str]:
        return [f"root {self.root};"]


class ProxyNginx(Nginx):
    """Stands before `upstream` (`http://HOST:PORT`) as in a deployment of Glance: nothing is buffered or limited."""

    def __init__(self, directory: Path, upstream: str, *, tuning: Tuning | None = None) -> None:
        super().__init__("nginx-proxy", directory, tuning or Tuning())
        self._upstream = upstream

    def _locations(self) -> list[str]:
        return [
            "client_max_body_size 0;",
            "location / {",
            f"proxy_pass {self._upstream};",
            "proxy_http_version 1.1;",
            "proxy_set_header Host $http_host;",
            "proxy_request_buffering off;",
            "proxy_buffering off;",
            "proxy_read_timeout 600s;",
            "proxy_send_timeout 600s;",
            "}",
        ]


class CachingNginx(Nginx):
    """Caches what `upstream` answers to GET; clients that ask for the same at once wait for the first one's answer.

    A query makes another object of a path, so that one content can be cold again and again.
    """

    def __init__(
        self, directory: Path, upstream: str, *, size_max_mib: int = 10240, tuning: Tuning | None = None
    ) -> None:
        super().__init__("nginx-cache", directory, tuning or Tuning())
        self._upstream, self._size_max_mib = upstream, size_max_mib

    def _shared(self) -> list[str]:
        zone = f"keys_zone=all:64m max_size={self._size_max_mib}m inactive=1d"
        return [f"proxy_cache_path {self.directory / 'cache'} levels=1:2 use_temp_path=off {zone};"]

    def _locations(self) -> list[str]:
        return [
            "location / {",
            f"proxy_pass {self._upstream};",
            "proxy_http_version 1.1;",
            'proxy_set_header Connection "";',
            "proxy_cache all;",
            "proxy_cache_key $request_uri;",
            "proxy_cache_valid 200 1d;",
            "proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;",
            "proxy_cache_lock on;",
            "proxy_cache_lock_age 600s;",
            "proxy_cache_lock_timeout 600s;",
            "proxy_read_timeout 600s;",
            "proxy_max_temp_file_size 0;",
            # The defaults, 8 buffers of 4 KiB, are for pages: with them a large object takes many more turns.
            "proxy_buffer_size 64k;",
            "proxy_buffers 16 256k;",
            "proxy_busy_buffers_size 1m;",
            "add_header X-Cache-Status $upstream_cache_status;",
            "}",
        ]


def _on(value: bool) -> str:
    return "on" if value else "off"
