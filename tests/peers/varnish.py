"""A real Varnish before an origin, set for a few large objects."""

import http.client
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tests.peers.debian import program
from tests.peers.ports import free_port
from tests.peers.server import Server

# What an origin says about its answers counts for nothing: they are images, which never change. Streaming is on by
# default, so that clients who come while an object is fetched get what is there.
VCL = """\
vcl 4.1;
backend default {{
    .host = "{host}"; .port = "{port}";
    .connect_timeout = 5s; .first_byte_timeout = 600s; .between_bytes_timeout = 600s; .max_connections = 4096;
}}
sub vcl_recv {{ if (req.method == "GET") {{ unset req.http.Cookie; return (hash); }} }}
sub vcl_backend_response {{
    unset beresp.http.Cache-Control; unset beresp.http.Set-Cookie; unset beresp.http.Vary;
    set beresp.ttl = 1d; set beresp.grace = 0s; set beresp.keep = 0s; set beresp.do_stream = true;
}}
sub vcl_deliver {{ if (obj.hits > 0) {{ set resp.http.X-Cache-Status = "HIT"; }} }}
"""


class Varnish(Server):
    """Caches what `upstream` (`http://HOST:PORT`) answers to GET, in memory or in a file of `size_max_mib`.

    It runs as whoever starts it, without a jail, in its own directory. A query makes another object of a path.
    """

    def __init__(
        self,
        directory: Path,
        upstream: str,
        *,
        size_max_mib: int = 1024,
        storage: Literal["malloc", "file"] = "malloc",
        threads_max: int = 1500,
    ) -> None:
        super().__init__("varnish", directory, stop_s=2)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._upstream, self._size_max_mib, self._storage = upstream, size_max_mib, storage
        self._threads_max = threads_max  # of each of two pools; one thread serves one client

    def _prepare(self) -> None:
        origin = urlsplit(self._upstream)
        (self.directory / "bench.vcl").write_text(VCL.format(host=origin.hostname, port=origin.port))
        (self.directory / "state").mkdir(exist_ok=True)

    def _command(self) -> Sequence[str | Path]:
        place = f"{self.directory / 'objects'}," if self._storage == "file" else ""
        parameters = {
            "thread_pools": 2,
            "thread_pool_max": self._threads_max,
            "timeout_idle": 600,
            "idle_send_timeout": 600,
            "send_timeout": 3600,
            "listen_depth": 4096,
            "nuke_limit": 10000,
        }
        return [
            program("varnishd"),
            "-F",
            *("-j", "none"),
            *("-n", self.directory / "state"),
            *("-a", f"127.0.0.1:{self.port}"),
            *("-T", "none"),
            *("-f", self.directory / "bench.vcl"),
            *("-s", f"{self._storage},{place}{self._size_max_mib}M"),
            *(word for name, value in parameters.items() for word in ("-p", f"{name}={value}")),
        ]

    def _answers(self) -> bool:
        """The child listens before it has its configuration; any answer by HTTP is one by VCL."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("OPTIONS", "/")
            connection.getresponse().read()
        except http.client.HTTPException:
            return False
        finally:
            connection.close()
        return True
