"""An HTTP origin on loopback with fixed bytes, for images whose data lies behind an http location."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOB = bytes(range(256)) * 256
"""What `/blob` serves: 64 KiB."""


_REDIRECTS = {"/redirect": "http://{host}/blob", "/redirect-path": "/blob", "/circle": "http://{host}/circle"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(with_body=True)

    def do_HEAD(self) -> None:
        self._serve(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing: a test's output is the comparison."""

    def _serve(self, *, with_body: bool) -> None:
        if self.path in _REDIRECTS:
            self.send_response(302)
            self.send_header("Location", _REDIRECTS[self.path].format(host=self.headers["Host"]))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path not in {"/blob", "/other"}:
            status = {"/denied": 403, "/broken": 500}.get(self.path, 404)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = BLOB if self.path == "/blob" else BLOB[::-1]
        start, stop = self._span(len(data))
        self.send_response(206 if "Range" in self.headers else 200)
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if with_body:
            self.wfile.write(data[start:stop])

    def _span(self, size: int) -> tuple[int, int]:
        """The part asked for; only `bytes=a-` and `bytes=a-b` are understood."""
        asked = self.headers.get("Range", "")
        if not asked.startswith("bytes="):
            return 0, size
        first, _, last = asked.removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last) + 1) if last else size


@contextmanager
def serve_origin() -> Iterator[str]:
    """Serve until left; gives the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
