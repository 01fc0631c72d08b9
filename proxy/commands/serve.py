"""`glint serve`: listen, answer, and on SIGTERM finish what runs before going."""

import asyncio
import contextlib
import resource
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler

from cache import CacheError
from metrics import build_metrics_app
from proxy.app import build_app
from proxy.config import Config, ServerConfig
from proxy.policy import PolicyFileBroken
from proxy.services import Services, open_services
from proxy.transfer import NoSuchAlgorithm
from upstream.errors import UpstreamError
from upstream.registry import RegistryMisconfigured

log = structlog.get_logger(__name__)

_BACKLOG = 4096
_UPLOAD_BUFFER_BYTES = 1024 * 1024
_KEEPALIVE_S = 75.0  # also for the first head of a connection, however slowly it comes
_CLEANUP_S = 10.0  # for what requests that were cut have to undo


class CannotListen(Exception):
    """The address is taken or not ours; the message says which and what to do."""


# What an operator can mend; anything else deserves its traceback.
STARTUP_ERRORS = (
    CannotListen,
    NoSuchAlgorithm,
    PolicyFileBroken,
    RegistryMisconfigured,
    CacheError,
    UpstreamError,
    OSError,
)


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises what keeps Glint from starting."""
    _raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(config))
    except BaseExceptionGroup as group:
        raise _cause(group) from None


def _cause(error: BaseException) -> BaseException:
    """What happened, without the task groups it came through. Several causes at once stay a group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _serve(config: Config) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with open_services(config) as services, listening(services) as (host, port):
        if config.auth.kind == "none":
            log.warning("auth.none", reason="everyone who reaches this address is admin; set auth.kind for production")
        log.info("server.listening", url=f"{_scheme(config.server)}://{host}:{port}", metrics_port=config.metrics.port)
        await stopping.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second one ends the process at once, which is safe at any moment
        log.info("server.draining", drain_s=config.server.drain_s)
    log.info("server.stopped")


@asynccontextmanager
async def listening(services: Services) -> AsyncIterator[tuple[str, int]]:
    """Both servers, API and metrics, and the address that the API got. Raises CannotListen.

    On leaving, no new connection is taken; requests under way have `server.drain_s` to end, then they are cut.
    Metrics are served until the last of them has ended.
    """
    config = services.config
    async with AsyncExitStack() as stack:
        metrics_app = build_metrics_app(services.instruments)
        await _listen(stack, metrics_app, config.metrics.host, config.metrics.port, "metrics", drain_s=0)
        address = await _listen(
            stack,
            build_app(services),
            config.server.host,
            config.server.port,
            "server",
            drain_s=config.server.drain_s,
            tls=_tls(config.server),
        )
        yield address


async def _listen(
    stack: AsyncExitStack,
    app: web.Application,
    host: str,
    port: int,
    section: str,
    *,
    drain_s: float,
    tls: ssl.SSLContext | None = None,
) -> tuple[str, int]:
    requests = _Requests(app)
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,  # image data are kept as they come, whatever their Content-Encoding
        shutdown_timeout=0.1,  # for what is left of connections: requests were waited for before
        keepalive_timeout=_KEEPALIVE_S,
        read_bufsize=_UPLOAD_BUFFER_BYTES,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=_BACKLOG)
    stack.push_async_callback(requests.drain, runner, drain_s)
    try:
        await site.start()
    except OSError as error:
        raise CannotListen(
            f"{section}.host, {section}.port: cannot listen on {host}:{port}: {error.strerror}; "
            f"choose another with --set {section}.port=…",
        ) from error
    address = runner.addresses[0]
    return str(address[0]), int(address[1])


class _Requests:
    """The requests under way. aiohttp's own draining takes `drain_s` twice, 0 for ever, and leaves cut ones alone."""

    def __init__(self, app: web.Application) -> None:
        self._running: set[asyncio.Task[Any]] = set()

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)  # until it has ended: a small answer leaves after its handler
            task.add_done_callback(self._running.discard)
            return await handler(request)

        app.middlewares.insert(0, watch)

    async def drain(self, runner: web.AppRunner, drain_s: float) -> None:
        """Take no more, wait for what runs, and in the end cut it: the services close when all has been undone."""
        for site in runner.sites:
            await site.stop()
        await asyncio.sleep(0)  # what was received before starts now
        if runner.server is not None:
            runner.server.pre_shutdown()  # idle connections close at once, the others after their answer
        for timeout_s in (drain_s, _CLEANUP_S):
            if self._running:
                await asyncio.wait(self._running, timeout=timeout_s)
            for task in self._running:
                task.cancel()


def _tls(config: ServerConfig) -> ssl.SSLContext | None:
    if config.tls.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.tls.certificate, config.tls.key)
    return context


def _scheme(config: ServerConfig) -> str:
    return "https" if config.tls.certificate else "http"


def _raise_file_limit() -> None:
    """Each client and each entry being read is a descriptor; the soft limit of 1024 is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
