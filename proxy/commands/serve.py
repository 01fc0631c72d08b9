"""`glint serve` and `glint registry serve`: listen, answer, and on SIGTERM finish what runs before going."""

import asyncio
import contextlib
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvloop

from metrics import Supervision, build_metrics_app
from proxy.config import Config
from proxy.departure import unhindered
from proxy.fronts import Front, Opened
from proxy.listening import address_of, bind, serving, tls_context
from proxy.startup import cause_of, spare_the_collector
from proxy.workers import announce, supervise, workers_of

log = structlog.get_logger(__name__)


def run(front: Front, config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises what keeps Glint from starting."""
    _raise_file_limit()
    workers = workers_of(front.listening(config))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(front, config) if workers == 1 else supervise(front, config, workers))
    except BaseExceptionGroup as group:
        raise cause_of(group) from None


async def _serve(front: Front, config: Config) -> None:
    """All in this process."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with (
        front.open(config, None) as opened,
        unhindered(opened.stuck_s),
        listening(front, config, opened) as (host, port),
    ):
        announce(front, config, host, port)
        await stopping.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second one ends the process at once, which is safe at any moment
        await opened.give_notice()
        opened.begin_drain()
        log.info("server.draining", drain_s=front.listening(config).drain_s)
    log.info("server.stopped")


@asynccontextmanager
async def listening(front: Front, config: Config, opened: Opened) -> AsyncIterator[tuple[str, int]]:
    """Both servers, that of `opened` and metrics, and the address that the first one got. Raises CannotListen.

    On leaving, no new connection is taken; requests under way have `drain_s` to end, then they are cut. Metrics are
    served until the last of them has ended.
    """
    metrics, server = front.metrics(config), front.listening(config)
    Supervision(opened.numbers).workers.set(1)
    metrics_listeners = await bind(metrics.host, metrics.port, front.metrics_section)
    async with serving(build_metrics_app(opened.numbers), metrics_listeners, drain_s=0):
        tls = tls_context(server.tls)
        spare_the_collector()
        listeners = await bind(server.host, server.port, front.section)
        front.tune(config, listeners)
        address = address_of(listeners)
        async with serving(opened.app, listeners, drain_s=server.drain_s, tls=tls):
            yield address


def _raise_file_limit() -> None:
    """Each client and each entry being read is a descriptor; the soft limit of 1024 is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
