"""Watching a fill that another process runs, by nothing but its file."""

import asyncio
import contextlib
from enum import Enum, auto

from cache.claims import Claim
from cache.demand import Demand, held
from cache.files import Mark, become_filler, look, stop_filling
from cache.flight import Flight

_AWAITED_POLL_S = 0.008
_IDLE_POLL_S = 0.1
_LOCK_TRIED_S = 0.1
_SILENT = {Mark.QUEUED, Mark.STARTING}
_OVER = {Mark.FAILED, Mark.LEFT}


class Ending(Enum):
    """How following ended."""

    FREED = auto()  # its filler ended, well or not, and its lock is ours
    FAILED = auto()  # its filler said that the bytes are no good, or will not come
    LEFT = auto()  # its file is out of use: look again what there is
    STALLED = auto()  # its filler lives and does nothing


async def follow(flight: Flight, claim: Claim, demand: Demand, *, stall_s: float) -> Ending:
    """Let the flight's readers have what the other process writes, until something has to be decided.

    That a client waits is told to its filler, who may have begun it for another reason. The flight goes on with the
    claim's file as soon as that holds as much as its readers were promised. None of these calls waits for a disk: the
    file is open, so its inode is in memory.
    """
    try:
        return await _followed(flight, claim, demand, stall_s)
    finally:
        demand.take_back(flight.blob.key)
        flight.progress.hold(is_held=False)


async def _followed(flight: Flight, claim: Claim, demand: Demand, stall_s: float) -> Ending:
    loop = asyncio.get_running_loop()
    seen, idle_s, looked_s, tried_s = None, 0.0, loop.time(), loop.time()
    while True:
        now_s, is_freed = loop.time(), False
        if now_s - tried_s >= _LOCK_TRIED_S:
            tried_s, is_freed = now_s, become_filler(claim.fd)
            flight.progress.hold(is_held=demand.is_told_elsewhere(held(flight.blob.key)))
        state = look(claim.fd)  # after the lock: who gave it back has marked the file by then
        if state.mark in _OVER:
            if is_freed:
                stop_filling(claim.fd)
            # Who was given nothing of what failed has come after that, and may try anew.
            is_cut = state.mark is Mark.FAILED and flight.progress.written_bytes > 0
            return Ending.FAILED if is_cut else Ending.LEFT
        if state.mark is Mark.QUEUED:
            flight.progress.queue()
        else:
            flight.progress.start()
        if state.mark not in _SILENT and state.size_bytes >= flight.progress.written_bytes:
            _go_on(flight, claim, state.size_bytes, is_whole=state.mark is Mark.WHOLE)
            flight.rate.sample(now_s, flight.progress.watermark)
        if is_freed:
            return Ending.FREED
        # A look counts for little, however long ago the last one was: who was held up himself has not watched.
        idle_s, looked_s = idle_s + min(now_s - looked_s, 2 * _IDLE_POLL_S), now_s
        if (state.size_bytes, state.mtime_ns) != seen:
            seen, idle_s = (state.size_bytes, state.mtime_ns), 0.0
        if idle_s > stall_s:
            return Ending.STALLED
        await _pause(flight, demand)


async def _pause(flight: Flight, demand: Demand) -> None:
    """Short while somebody waits; else long, and over as soon as somebody does: what he wants may be there by then."""
    if flight.purpose == "demand":
        demand.tell(flight.blob.key)
    if flight.progress.is_awaited:
        await asyncio.sleep(_AWAITED_POLL_S)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_IDLE_POLL_S):
            await flight.progress.awaited()


def _go_on(flight: Flight, claim: Claim, size_bytes: int, *, is_whole: bool) -> None:
    flight.switch(claim.fd)
    progress = flight.progress
    if progress.has_ended:
        return
    progress.open()
    progress.advance(min(size_bytes, flight.size_bytes))
    if is_whole and progress.written_bytes == flight.size_bytes:
        progress.finish()
