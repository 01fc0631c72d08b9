"""`glint serve`: listen, answer, and on SIGTERM finish what runs before going."""

import asyncio
import contextlib
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvloop

from metrics import Supervision, build_metrics_app
from proxy.composition import app_for, open_for
from proxy.config import Config
from proxy.listening import address_of, bind, serving, tls_context
from proxy.services import Delivery
from proxy.startup import cause_of
from proxy.workers import announce, supervise, workers_of

log = structlog.get_logger(__name__)


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises what keeps Glint from starting."""
    _raise_file_limit()
    workers = workers_of(config.server)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(config) if workers == 1 else supervise(config, workers))
    except BaseExceptionGroup as group:
        raise cause_of(group) from None


async def _serve(config: Config) -> None:
    """All in this process."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with open_for(config) as services, listening(services) as (host, port):
        announce(config, host, port)
        await stopping.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second one ends the process at once, which is safe at any moment
        await services.departure.announce(config.server.drain_notice_s)
        services.begin_drain()
        log.info("server.draining", drain_s=config.server.drain_s)
    log.info("server.stopped")


@asynccontextmanager
async def listening(services: Delivery) -> AsyncIterator[tuple[str, int]]:
    """Both servers, API and metrics, and the address that the API got. Raises CannotListen.

    On leaving, no new connection is taken; requests under way have `server.drain_s` to end, then they are cut.
    Metrics are served until the last of them has ended.
    """
    config, registry = services.config, services.instruments.registry
    Supervision(registry).workers.set(1)
    metrics_listeners = await bind(config.metrics.host, config.metrics.port, "metrics")
    async with serving(build_metrics_app(registry), metrics_listeners, drain_s=0):
        app, tls = app_for(services), tls_context(config.server)
        listeners = await bind(config.server.host, config.server.port, "server")
        address = address_of(listeners)
        async with serving(app, listeners, drain_s=config.server.drain_s, tls=tls):
            yield address


def _raise_file_limit() -> None:
    """Each client and each entry being read is a descriptor; the soft limit of 1024 is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
