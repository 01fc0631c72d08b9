"""How late the event loop is: the one number that shows a blocking call wherever it hides."""

import asyncio

from metrics.instruments import Instruments, RegistryInstruments

SLEEP_S = 0.025  # often enough for a p99 of half a minute


async def watch_loop_lag(instruments: Instruments | RegistryInstruments) -> None:
    """Runs until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + SLEEP_S
        await asyncio.sleep(SLEEP_S)
        instruments.loop_lag_seconds.observe(max(0.0, loop.time() - due))
