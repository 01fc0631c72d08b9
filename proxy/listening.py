"""Sockets to listen on, and an application served on them until it is told to stop, then drained."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.direct import DirectApp

Application = web.Application | DirectApp

CLEANUP_S = 10.0  # for what requests that were cut have to undo
_BACKLOG = 4096
_SHUTDOWN_S = 0.1  # for what is left of connections: requests were waited for before
_CONNECTIONS: Mapping[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # image data are kept as they come, whatever their Content-Encoding
    "keepalive_timeout": 75.0,  # also for the first head of a connection, however slowly it comes
    "read_bufsize": 1024 * 1024,  # of uploads
}
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Tls(Protocol):
    """Both or neither."""

    @property
    def certificate(self) -> Path | None: ...

    @property
    def key(self) -> Path | None: ...


class Listening(Protocol):
    """What a section of the configuration says of a server."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def workers(self) -> int: ...

    @property
    def drain_s(self) -> float: ...

    @property
    def tls(self) -> Tls: ...


class CannotListen(Exception):
    """The address is taken or not ours; the message says which and what to do."""


async def bind(host: str, port: int, section: str) -> Sequence[socket.socket]:
    """Listening sockets, one for each address of `host`, all on one port. The caller closes them.

    `section` names the keys of the configuration in a message. Raises CannotListen.
    """
    bound: list[socket.socket] = []
    absent: OSError | None = None  # localhost often has an IPv6 address where the machine has none
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                bound.append(_listener(family, kind, protocol, _on_port_of(bound, address)))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                absent = error
        if absent and not bound:
            raise absent
    except OSError as error:
        for listener in bound:
            listener.close()
        raise CannotListen(
            f"{section}.host, {section}.port: cannot listen on {host}:{port}: {error.strerror}; "
            f"choose another with --set {section}.port=…",
        ) from error
    return bound


def _on_port_of(bound: Sequence[socket.socket], address: Sequence[Any]) -> tuple[Any, ...]:
    """Port 0 is any port, but the same one for all addresses."""
    port = bound[0].getsockname()[1] if bound else address[1]
    return (address[0], port, *address[2:])


def _listener(family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.settimeout(0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def address_of(listeners: Sequence[socket.socket]) -> tuple[str, int]:
    host, port = listeners[0].getsockname()[:2]
    return str(host), int(port)


@asynccontextmanager
async def serving(
    app: Application, listeners: Sequence[socket.socket], *, drain_s: float, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Answer what comes in on `listeners`, which are closed in the end.

    On leaving, no new connection is taken; requests under way have `drain_s` to end, then they are cut.
    """
    async with AsyncExitStack() as stack:
        for listener in listeners:
            stack.callback(listener.close)
        requests = _Requests()
        runner = requests.runner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(requests.drain, runner, drain_s)
        for listener in listeners:
            await web.SockSite(runner, listener, ssl_context=tls, backlog=_BACKLOG).start()
        yield


class _Requests:
    """The requests under way. aiohttp's own draining takes `drain_s` twice, 0 for ever, and leaves cut ones alone."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def runner(self, app: Application) -> web.BaseRunner:
        if isinstance(app, DirectApp):
            return web.ServerRunner(app.server(self._watch, **_CONNECTIONS), shutdown_timeout=_SHUTDOWN_S)

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._watch()
            return await handler(request)

        app.middlewares.insert(0, watch)
        return web.AppRunner(app, shutdown_timeout=_SHUTDOWN_S, **_CONNECTIONS)

    def _watch(self) -> None:
        """Keep this task until it has ended: a small answer leaves after its handler."""
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def drain(self, runner: web.BaseRunner, drain_s: float) -> None:
        """Take no more, wait for what runs, and in the end cut it: the services close when all has been undone."""
        await asyncio.sleep(0)  # who waits in the sockets' queues is accepted: closing them would cut him
        for site in runner.sites:
            await site.stop()
        await asyncio.sleep(0)  # what was received before starts now
        if runner.server is not None:
            runner.server.pre_shutdown()  # idle connections close at once, the others after their answer
        for timeout_s in (drain_s, CLEANUP_S):
            if self._running:
                await asyncio.wait(self._running, timeout=timeout_s)
            for task in self._running:
                task.cancel()


def tls_context(tls: Tls) -> ssl.SSLContext | None:
    """Raises OSError."""
    if tls.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    return context
