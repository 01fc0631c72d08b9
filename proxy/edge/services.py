"""What Glint consists of before an existing Glance: no registry, no policy and no uploads of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from cache import ImageCache, Prewarmer, Queue
from metrics import Instruments, watch_loop_lag
from proxy.authentication import NoAuthentication
from proxy.config import Config
from proxy.edge.images import Digests, resolve
from proxy.policy import Policy
from proxy.services import Delivery, open_sender
from proxy.shared import Shared
from upstream.registry.glance import Bearers, Glance, open_glance
from upstream.stores import StoresConfig, open_stores

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeServices(Delivery):
    """What handlers use. Everything in here is open as long as the context of `open_edge`."""

    glance: Glance
    bearers: Bearers
    digests: Digests


@asynccontextmanager
async def open_edge(config: Config, shared: Shared | None = None) -> AsyncIterator[EdgeServices]:
    """Enter and leave in the same task: the parts own task groups. Raises what a part cannot start for.

    `shared`: with other workers; None for who is alone.
    """
    instruments, bearers = Instruments(), Bearers()
    notices, ranges = (shared.notices, shared.ranges) if shared else (None, None)
    async with AsyncExitStack() as stack:
        glance = await stack.enter_async_context(open_glance(config.registry, instruments))
        stores_config = config.stores if config.registry.glance.read_stores else StoresConfig(default=None, backends={})
        stores = await stack.enter_async_context(open_stores(stores_config, instruments, notices=notices))
        cache = ImageCache(config.cache, instruments, ranges)
        prewarmer = Prewarmer(
            cache,
            Queue(config.cache.dir),
            partial(resolve, glance, bearers, stores, config.registry.glance),
            prewarms_max=config.cache.prewarms_max,
            resolvable=bearers.known,
        )
        cache.when_lost(_let_lie)
        await stack.enter_async_context(cache)
        await stack.enter_async_context(prewarmer)
        sender = open_sender(config, instruments, stack)
        watchers = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(watchers.create_task(watch_loop_lag(instruments)).cancel)
        yield EdgeServices(
            config=config,
            instruments=instruments,
            authenticator=NoAuthentication(),
            policy=await asyncio.to_thread(Policy),
            stores=stores,
            cache=cache,
            prewarmer=prewarmer,
            sender=sender,
            glance=glance,
            bearers=bearers,
            digests=Digests(cache),
        )


def _let_lie(key: str) -> None:
    """Nobody's token is there to fetch it with: the next download does."""
    log.info("entry.lost", key=key)
