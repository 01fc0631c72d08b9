"""A store whose large parts are read by several requests at once, where that pays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Protocol

from metrics import Instruments
from upstream.stores.base import Rest, Witness
from upstream.stores.guard import Errand
from upstream.stores.parallel.budget import Budget
from upstream.stores.parallel.window import Surroundings, Window
from upstream.types import Location

PART_BYTES = 8 * 1024 * 1024  # measured: a request costs Swift some 10 ms of CPU time, as much as 4 MiB of data


class Read(Protocol):
    """`Guarded.read`, or what stands for it."""

    def __call__(
        self,
        location: Location,
        offset: int = 0,
        stop: int | None = None,
        witness: Witness | None = None,
        *,
        errand: Errand | None = None,
        insist: bool = False,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...


class Parallel:
    """Reads as `read` does, the store `store`, within the store's budget."""

    def __init__(
        self, store: str, read: Read, budget: Budget, instruments: Instruments, *, part_bytes: int | None = None
    ) -> None:
        self._read = read
        self._around = Surroundings(
            store=store, budget=budget, instruments=instruments, part_bytes=part_bytes or PART_BYTES
        )

    @asynccontextmanager
    async def read(
        self,
        location: Location,
        offset: int = 0,
        stop: int | None = None,
        witness: Witness | None = None,
        *,
        errand: Errand | None = None,
        insist: bool = False,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Guarded.read`. What is small, or of unknown size, is read by one request."""
        size_bytes = None if witness is None else witness.size_bytes
        end = size_bytes if stop is None else stop
        if witness is None or size_bytes is None or end is None or not self._is_large(offset, end, size_bytes):
            async with self._read(location, offset, stop, witness, errand=errand, insist=insist) as chunks:
                yield chunks
            return

        def read_part(start: int, until: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
            # Whoever reads on in mid-object knows when to ask better than those who only just come.
            return self._read(location, start, until, witness, errand=errand, insist=insist or start > offset)

        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            window = Window(tasks, read_part, offset, end, witness, self._around)
            try:
                await window.open(Rest(stop=stop))
                async with aclosing(window.chunks()) as chunks:
                    yield chunks
            except Exception as error:  # noqa: BLE001 - it goes on below: a group would wrap it
                failure = error
            finally:
                window.close()
        if failure is not None:
            raise failure

    def _is_large(self, offset: int, end: int, size_bytes: int) -> bool:
        """What does not fit into the object goes to the store as it is, which says so."""
        return self._around.budget.reads_max > 1 and end <= size_bytes and end - offset >= 2 * self._around.part_bytes
