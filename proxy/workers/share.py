"""How many workers there are, what of the configuration each gets, and when one that died comes back. Pure."""

import os
import random

from proxy.config import Config
from proxy.listening import Listening

_WORKERS_MAX = 128
YOUNG_S = 10.0
_FIRST_DELAY_S = 0.2
_DELAY_MAX_S = 5.0


def workers_of(config: Listening) -> int:
    """Its `workers`, or one per core that this process may use."""
    return config.workers or min(len(os.sched_getaffinity(0)), _WORKERS_MAX)


def share_of(config: Config, workers: int) -> Config:
    """What one of `workers` works by: limits that hold for all of them together are divided, rounded up."""
    fills_max = -(-config.cache.fills_max // workers)
    backends = {
        store: backend.model_copy(update={"guard": backend.guard.share(workers)})
        for store, backend in config.stores.backends.items()
    }
    return config.model_copy(
        update={
            "cache": config.cache.model_copy(update={"fills_max": fills_max}),
            "stores": config.stores.model_copy(update={"backends": backends}),
        }
    )


def restart_delay_s(young_deaths: int) -> float:
    """How long to wait before a worker is replaced, when so many in a row died within YOUNG_S of their start.

    The first one is replaced at once. Then it takes longer, and never the same time for all.
    """
    if young_deaths <= 1:
        return 0.0
    delay_s: float = min(_DELAY_MAX_S, _FIRST_DELAY_S * 2 ** min(young_deaths - 2, 10))
    return delay_s * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret
