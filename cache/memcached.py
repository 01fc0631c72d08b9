"""memcached as a place to look first: quick to give up, and never a reason for an error."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from pymemcache.client.base import PooledClient
from pymemcache.client.rendezvous import RendezvousHash

from metrics import Instruments

log = structlog.get_logger(__name__)

_THREADS_MAX = 4
_TIMEOUT_S = 0.3
_ANSWER_MAX_BYTES = 2 * 1024 * 1024  # memcached's own limit is 1 MiB
_PAUSE_FIRST_S = 1.0
_PAUSE_MAX_S = 60.0


class _Skipped(Exception):
    """The server failed a moment ago and is left alone."""


class _BoundedSocket(socket.socket):
    """A call's answers together end in time and within a size, also from a server that sends byte by byte.

    A call runs in one thread from start to end, so the thread holds its bounds.
    """

    _bounds = threading.local()

    @classmethod
    def begin(cls, answer_max_s: float) -> None:
        cls._bounds.deadline_s = time.monotonic() + answer_max_s
        cls._bounds.left_bytes = _ANSWER_MAX_BYTES

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        bounds = self._bounds
        if time.monotonic() > bounds.deadline_s:
            raise TimeoutError("the answer takes too long")
        if bounds.left_bytes <= 0:
            raise OSError("the answer is too long")
        data = super().recv(min(bufsize, bounds.left_bytes), flags)
        bounds.left_bytes -= len(data)
        return data


class _BoundedSockets:
    """The socket module as pymemcache takes it, with another class of sockets."""

    socket = _BoundedSocket

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)


class _Server:
    """One memcached and whether it is worth asking. Threads call it, hence the lock."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self.address = address
        self._client = PooledClient(
            address,
            connect_timeout=timeout_s,
            timeout=timeout_s,
            no_delay=True,
            max_pool_size=_THREADS_MAX,
            default_noreply=False,
            socket_module=_BoundedSockets(),
        )
        self._answer_max_s = timeout_s
        self._lock = threading.Lock()
        self._pause_s = 0.0  # 0: it is well
        self._failed_until_s = 0.0  # end of the pause that the last failure began
        self._skipped_until_s = 0.0  # that, or the time in which one thread tries whether it is well again

    @property
    def is_skipped(self) -> bool:
        return time.monotonic() < self._skipped_until_s

    def call(self, question: Callable[[Any], Any]) -> Any:
        """Ask, unless the server is skipped. After a pause one thread tries; the others go on skipping it."""
        with self._lock:
            if self.is_skipped:
                raise _Skipped
            if self._pause_s:
                self._skipped_until_s = time.monotonic() + self._pause_s
        _BoundedSocket.begin(self._answer_max_s)
        try:
            answer = question(self._client)
        except Exception as error:
            self.fail(error)
            raise
        with self._lock:
            self._pause_s = self._skipped_until_s = 0.0
        return answer

    def fail(self, error: Exception) -> None:
        """Skip it for a while, twice as long as the last time. Failures of calls that ran together count once."""
        with self._lock:
            now_s = time.monotonic()
            is_news = now_s >= self._failed_until_s
            if is_news:
                self._pause_s = min(self._pause_s * 2 or _PAUSE_FIRST_S, _PAUSE_MAX_S)
                self._failed_until_s = now_s + self._pause_s
            self._skipped_until_s = self._failed_until_s
        if is_news:
            log.warning("memcached.failed", server=self.address, error=type(error).__name__, skipped_s=self._pause_s)

    def close(self) -> None:
        self._client.close()


class Memcached:
    """Several servers, each name on one of them. A server that fails is skipped for a while, its names go to others.

    No method raises for what a server does or says, and none takes longer than twice `_TIMEOUT_S`. pymemcache blocks,
    so it lives in threads of its own.
    """

    def __init__(self, servers: Sequence[str], instruments: Instruments) -> None:
        self._servers = {address: _Server(address, _TIMEOUT_S) for address in servers}
        self._threads = ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="memcached")
        self._wait_s = 2 * _TIMEOUT_S
        self._errors = instruments.memcached_errors

    async def get(self, name: str) -> bytes | None:
        value = await self._ask("get", name, lambda client: client.get(name))
        return value if isinstance(value, bytes) else None

    async def set(self, name: str, value: bytes, expire_s: int) -> None:
        await self._ask("set", name, lambda client: client.set(name, value, expire=expire_s))

    async def delete(self, name: str) -> None:
        await self._ask("delete", name, lambda client: client.delete(name))

    async def close(self) -> None:
        """Waits for calls that still run, which is not long: closed under a thread, a socket could become another's."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        for server in self._servers.values():
            server.close()

    async def _ask(self, operation: str, name: str, question: Callable[[Any], Any]) -> Any:
        server = self._responsible(name)
        if server is None:
            return None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._wait_s):
                return await loop.run_in_executor(self._threads, server.call, question)
        except _Skipped:
            return None
        except Exception as error:  # noqa: BLE001 - a server that talks nonsense makes the client fail in any way
            server.fail(error)
            self._errors.labels(operation).inc()
            return None

    def _responsible(self, name: str) -> _Server | None:
        """The same server for the same name in every process, as long as the same servers are well."""
        able = [address for address, server in self._servers.items() if not server.is_skipped]
        if len(able) <= 1:
            return self._servers[able[0]] if able else None
        return self._servers[RendezvousHash(able).get_node(name)]
