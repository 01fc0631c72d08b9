"""What Glint can serve: the Images API, or a registry for other Glints. Ports, workers and drains are alike."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from metrics import MetricsConfig, RegistryInstruments, watch_loop_lag
from proxy.composition import app_for, open_for
from proxy.config import Config
from proxy.listening import Application, Listening
from proxy.services import Delivery
from proxy.shared import Shared
from proxy.transfer import begin_with
from upstream.http import is_loopback
from upstream.registry import open_service

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An application that can answer. When it is to stop, `give_notice` is awaited, then `begin_drain` called.

    `stuck_s`: for how many seconds a disk has kept a thread of it.
    """

    app: Application
    numbers: CollectorRegistry
    give_notice: Callable[[], Awaitable[None]]
    begin_drain: Callable[[], None]
    stuck_s: Callable[[], float] = lambda: 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """`name` is what a worker is told, `section` where the keys of `listening` stand.

    `tune` is called once with its listening sockets, before the first connection is taken.
    `open` takes what workers share; None for who is alone.
    """

    name: str
    section: str
    metrics_section: str
    listening: Callable[[Config], Listening]
    metrics: Callable[[Config], MetricsConfig]
    notice_s: Callable[[Config], float]
    tune: Callable[[Config, Sequence[socket.socket]], None]
    open: Callable[[Config, Shared | None], AbstractAsyncContextManager[Opened]]
    warn: Callable[[Config], None]


def opened_api(services: Delivery) -> Opened:
    return Opened(
        app=app_for(services),
        numbers=services.instruments.registry,
        give_notice=partial(services.departure.announce, services.config.server.drain_notice_s),
        begin_drain=services.begin_drain,
        stuck_s=services.cache.stuck_s,
    )


@asynccontextmanager
async def _open_api(config: Config, shared: Shared | None) -> AsyncIterator[Opened]:
    async with open_for(config, shared) as services:
        yield opened_api(services)


def _tune_api(config: Config, listeners: Sequence[socket.socket]) -> None:
    for listener in listeners:
        begin_with(listener, config.server.tcp_congestion_control)


def _warn_of_api(config: Config) -> None:
    if config.auth.kind == "none" and config.registry.kind != "glance":
        log.warning("auth.none", reason="everyone who reaches this address is admin; set auth.kind for production")


@asynccontextmanager
async def _open_registry(config: Config, _shared: Shared | None) -> AsyncIterator[Opened]:
    instruments = RegistryInstruments()
    async with open_service(config.registry, instruments) as app, asyncio.TaskGroup() as watchers:
        watching = watchers.create_task(watch_loop_lag(instruments))
        try:
            yield Opened(app=app, numbers=instruments.registry, give_notice=_no_notice, begin_drain=lambda: None)
        finally:
            watching.cancel()


async def _no_notice() -> None:
    """Its clients are Glints: they go on when it is back."""


def _warn_of_registry(config: Config) -> None:
    service = config.registry.service
    if service.tls.certificate is None and not is_loopback(service.host):
        log.warning("registry.plain", reason="what the registry says can be read on the network: keep it private")


API = Front(
    name="api",
    section="server",
    metrics_section="metrics",
    listening=lambda config: config.server,
    metrics=lambda config: config.metrics,
    notice_s=lambda config: config.server.drain_notice_s,
    tune=_tune_api,
    open=_open_api,
    warn=_warn_of_api,
)
REGISTRY = Front(
    name="registry",
    section="registry.service",
    metrics_section="registry.service.metrics",
    listening=lambda config: config.registry.service,
    metrics=lambda config: config.registry.service.metrics,
    notice_s=lambda _: 0.0,
    tune=lambda _, __: None,
    open=_open_registry,
    warn=_warn_of_registry,
)
FRONTS = {front.name: front for front in (API, REGISTRY)}
