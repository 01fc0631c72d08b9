"""The origin: accepts, looks up what was asked for, answers by script."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import unquote, urlsplit

from tests.content import Content
from tests.origin.answer import Answer, Floor, PeerGone, head, read_request, send
from tests.origin.script import POLL_S, Counts, Entry, Fault

_C = TypeVar("_C", bound=Content)


class Origin:
    """See the package's text. Everything may be called from any thread, also while it serves."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server((host, port), backlog=1024)
        self._silent = socket.socket()
        self._silent.bind((host, 0))  # bound, never listening: who connects is refused
        self._tls = tls
        self._entries: dict[str, Entry] = {}
        self._floor = Floor()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self.connections = 0  # accepted so far
        self._acceptor = threading.Thread(target=self._accept, name="origin", daemon=True)
        self.host, self.port = host, int(self._listener.getsockname()[1])
        self.refused_url = f"http://{host}:{self._silent.getsockname()[1]}/nobody"

    def add(self, name: str, content: _C) -> _C:
        """Serve `content` at `/name`, in the place of what was there; counts and script start anew."""
        self._entries[name] = Entry(content)
        return content

    def url(self, name: str, *, user_info: str = "", query: str = "") -> str:
        """Where `name` is served; `user_info` is "user:password". A name that was not added is a 404."""
        scheme = "https" if self._tls else "http"
        at = f"{user_info}@" if user_info else ""
        return f"{scheme}://{at}{self.host}:{self.port}/{name}" + (f"?{query}" if query else "")

    def counts(self, name: str) -> Counts:
        return self._entries[name].counts

    async def until(self, name: str, seen: Callable[[Counts], bool], timeout_s: float = 30) -> None:
        """Wait until the counts of `name` are as `seen` wants them."""
        async with asyncio.timeout(timeout_s):
            while not seen(self.counts(name)):  # noqa: ASYNC110 - set from another thread
                await asyncio.sleep(POLL_S)

    def script(self, name: str, *faults: Fault) -> None:
        """Queue faults, one for each coming request. `Fault()` is a right answer."""
        self._entries[name].script.extend(faults)

    def always(self, name: str, fault: Fault | None) -> None:
        """The answer to all requests beyond the script; None for right ones again."""
        self._entries[name].always = fault

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, also held ones, and wait for their threads."""
        self._floor.closing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        with self._floor.lock:
            left = list(self._connections.items())
        for connection, thread in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
        self._listener.close()
        self._silent.close()

    def _accept(self) -> None:
        while not self._floor.closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name="origin-connection", daemon=True)
            with self._floor.lock:
                self.connections += 1
                self._connections[connection] = thread
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        connection: socket.socket = plain
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                with self._floor.lock:  # `plain` is an empty shell now: `close` must find the other
                    self._connections[connection] = self._connections.pop(plain)
                connection.do_handshake()
            while self._answer(connection):
                pass
        except (OSError, PeerGone):
            pass  # the client's side sees what it is meant to see
        finally:
            with self._floor.lock:
                del self._connections[connection]
            connection.close()

    def _answer(self, connection: socket.socket) -> bool:
        """One request; whether the connection may carry another."""
        request = read_request(connection)
        if request is None:
            return False
        entry = self._entries.get(unquote(urlsplit(request.target).path).removeprefix("/"))
        if entry is None:
            send(connection, head(404, {"Content-Length": "0"}))
            return True
        with self._floor.counted(entry.counts, request) as turn:
            fault = entry.next_fault(request.method)
            return Answer(connection, request, entry, fault, self._floor, turn).send()
