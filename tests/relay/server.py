"""The relay: accepts, connects to the server, and passes on what the rules leave alone."""

import re
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.origin.answer import Floor, PeerGone
from tests.origin.script import BEFORE_HEAD
from tests.relay.exchange import Exchange, answered_here, end
from tests.relay.framing import Head, Stream
from tests.relay.script import Fault, Rule, Seen

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Relay:
    """See the package's text. Everything may be called from any thread, also while it serves.

    `latency_s` is added to each new connection and to each answer; `rate_bytes_s` is what one connection's answers get.
    Both may be changed at any time. While it `is_down`, whoever connects is reset, and whoever is connected was.
    `busy_s` is what all exchanges took together, those that are over.
    """

    def __init__(
        self,
        server_port: int,
        *,
        port: int = 0,
        latency_s: float = 0.0,
        rate_bytes_s: int | None = None,
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._server_port = server_port
        self.latency_s, self.rate_bytes_s = latency_s, rate_bytes_s
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.seen: list[Seen] = []
        self.at_once = 0
        self.at_once_max = 0
        self.busy_s = 0.0
        self._is_down = False
        self._rules: list[Rule] = []
        self._floor = Floor()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept, name="relay", daemon=True)

    def on(self, method: str, pattern: str, fault: Fault, *, skip: int = 0, times: int | None = 1) -> Rule:
        """Make `fault` of such requests; see `Rule`. Of several rules the first that is to fail a request counts."""
        rule = Rule(method, re.compile(pattern), fault, skip, times)
        with self._floor.lock:
            self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """All goes well from here on, also what is held."""
        with self._floor.lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            if rule.fault.gate is not None:
                rule.fault.gate.open()
        self.is_down = False

    def forget(self) -> None:
        """What was seen and counted so far."""
        with self._floor.lock:
            self.seen, self.at_once_max, self.busy_s = [], self.at_once, 0.0

    def targets(self, method: str) -> list[str]:
        """Of all requests by this method that were seen."""
        return [seen.target for seen in self.seen if seen.method == method]

    @property
    def is_down(self) -> bool:
        return self._is_down

    @is_down.setter
    def is_down(self, is_down: bool) -> None:
        self._is_down = is_down
        if is_down:
            self._end_all()

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, also held ones, and wait for their threads."""
        self._floor.closing = True
        end(self._listener)
        self._acceptor.join()
        for thread in self._end_all():
            thread.join()
        self._listener.close()

    def _end_all(self) -> list[threading.Thread]:
        with self._floor.lock:
            left = dict(self._connections)
        for connection in left:
            end(connection)
        return list(left.values())

    def _accept(self) -> None:
        while not self._floor.closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_down:
                _reset(client)
                continue
            thread = threading.Thread(target=self._serve, args=(client,), name="relay-connection", daemon=True)
            with self._floor.lock:
                self._connections[client] = thread
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        try:
            time.sleep(self.latency_s)
            server = socket.create_connection(("127.0.0.1", self._server_port))
            for connection in (client, server):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._floor.lock:
                self._connections[server] = threading.current_thread()
            here, there = Stream(client), Stream(server)
            while self._one(here, there):
                _wait_for_either(client, server)
        except (OSError, PeerGone):
            pass  # each side sees what became of the other
        finally:
            for connection in (client,) if server is None else (server, client):
                with self._floor.lock:
                    self._connections.pop(connection, None)
                connection.close()

    def _one(self, client: Stream, server: Stream) -> bool:
        """One exchange; whether the connections may carry another."""
        request = client.head()
        if request is None:
            return False
        began_s = time.monotonic()
        answer_at_s = began_s + self.latency_s
        seen = self._noted(request)
        fault = seen.fault
        try:
            if fault.gate is not None and not fault.is_passed_on:
                self._floor.pass_gate(client.socket, fault.gate, BEFORE_HEAD)
            if fault.refuse:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                return False
            if not fault.is_passed_on:
                seen.status = fault.status or 302
                return answered_here(client, request, fault)
            return Exchange(client, server, request, seen, self._floor).run(answer_at_s, self.rate_bytes_s)
        finally:
            with self._floor.lock:
                self.at_once -= 1
                self.busy_s += time.monotonic() - began_s

    def _noted(self, request: Head) -> Seen:
        method, target = request.words[0], request.words[1]
        with self._floor.lock:
            met = [rule for rule in self._rules if rule.meets(method, target)]
            fault = Fault()
            if met:
                met[0].made += 1
                fault = met[0].fault
            seen = Seen(method, target, request.headers, fault)
            self.seen.append(seen)
            self.at_once += 1
            self.at_once_max = max(self.at_once_max, self.at_once)
        return seen


def _wait_for_either(client: socket.socket, server: socket.socket) -> None:
    """Raises PeerGone if the server ends the connection between two requests, as the client is to see that."""
    watch = select.poll()
    watch.register(client, select.POLLIN)
    watch.register(server, select.POLLIN | select.POLLRDHUP)
    for descriptor, _ in watch.poll():
        if descriptor == server.fileno():
            raise PeerGone


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()
