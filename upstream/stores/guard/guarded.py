"""A store with its guard: the calls of `Store`, each through circuit, slot, time-outs and bandwidth."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

from metrics import Instruments
from upstream.errors import NotSupported
from upstream.stores.base import HasPath, Store, Stored, Witness, Writable
from upstream.stores.guard.call import Call, Given, timed_out
from upstream.stores.guard.circuits import Circuits
from upstream.stores.guard.config import GuardConfig
from upstream.stores.guard.gates import SlotGate
from upstream.stores.guard.numbers import Numbers
from upstream.stores.guard.purposes import Errand
from upstream.stores.guard.rates import rates
from upstream.stores.guard.watchdog import Phase
from upstream.stores.notices import Notices
from upstream.types import Location

_TOLD_BYTES = 8 * 1024 * 1024  # to the metrics: counting costs more than a piece of a read should


class Guarded:
    """What the inner store cannot do raises NotSupported. Every error is one of upstream/errors.py.

    `own` is the configuration of the store's kind. `peer_of` says with whom a location has to do, where that is not one
    and the same for the whole store.
    """

    def __init__(
        self,
        store_id: str,
        inner: Store,
        instruments: Instruments,
        config: GuardConfig,
        notices: Notices,
        *,
        requests_max: int,
        wait_s: float,
        own: object = None,
        peer_of: Callable[[Location], str] = lambda _: "",
    ) -> None:
        self.id, self._inner, self._config, self._peer_of = store_id, inner, config, peer_of
        self._wait_s, self._silence = wait_s, config.silence(own)
        numbers = self._numbers = Numbers(store_id, instruments)
        self._circuits = Circuits(store_id, config, numbers, notices)
        self._slots = SlotGate(
            requests_max,
            config.background_slots(requests_max),
            wait_s,
            holding=numbers.holding,
            waiting=numbers.waiting,
        )
        self._reading = rates("read", numbers, config.read_rate_max, config.background_rate_max)
        self._writing = rates("write", numbers, config.write_rate_max)
        self._files = inner if isinstance(inner, HasPath) else None

    @property
    def has_path(self) -> bool:
        return self._files is not None

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
        """As `Store.read`. A slot is held until the context is left: one for each part that is read at once.

        `errand`: for whom, which may change meanwhile. `insist`: he reads on in mid-object, and may be the probe of an
        open circuit.
        """
        errand, place = errand or Errand(), location.url
        async with AsyncExitStack() as stack:
            asked = self._asked("read", self._peer_of(location), place, errand, insist=insist)
            call = await stack.enter_async_context(asked)
            with call.within(Phase.OPEN, self._silence.open_s):
                chunks = await stack.enter_async_context(self._inner.read(location, offset, stop, witness))
            call.agreed()
            yield await stack.enter_async_context(aclosing(self._counted(chunks, call, place, errand)))

    async def _counted(
        self, chunks: AsyncIterator[bytes], call: Call, place: str, errand: Errand
    ) -> AsyncGenerator[bytes]:
        watchdog, limits, idle_s = call.watchdog, self._reading, self._silence.idle_s
        read_bytes = unpaid_bytes = told_bytes = 0
        try:
            with call.translated():
                watchdog.expect(Phase.FIRST_BYTE, self._silence.first_byte_s)
                async for chunk in chunks:
                    watchdog.relax()
                    if not read_bytes:
                        call.first_byte()
                    unpaid_bytes = len(chunk)
                    read_bytes += unpaid_bytes
                    if read_bytes - told_bytes >= _TOLD_BYTES:
                        self._numbers.moved("read", read_bytes - told_bytes)
                        told_bytes = read_bytes
                    yield chunk  # at once: who comes later waits for these bytes, not their reader
                    if limits is not None:
                        await limits.passed(unpaid_bytes, place, errand)
                        unpaid_bytes = 0
                    watchdog.expect(Phase.IDLE, idle_s)
            call.answered()
        finally:
            self._numbers.moved("read", read_bytes - told_bytes)
            if limits is not None:
                limits.pay(unpaid_bytes, errand)

    async def size(self, location: Location) -> int:
        async with self._asked("size", self._peer_of(location), location.url) as call:
            with call.within(Phase.SIZE, self._config.size_s):
                size_bytes = await self._inner.size(location)
            call.answered()
            return size_bytes

    async def path(self, location: Location, size_bytes: int | None = None) -> Path:
        """No slot is taken: no request goes anywhere, and hot downloads begin with it."""
        if self._files is None:
            raise NotSupported(f"{self.id} has no local files")
        try:
            async with asyncio.timeout(self._config.size_s):
                return await self._files.path(location, size_bytes)
        except TimeoutError as error:
            self._numbers.timed_out("path", Phase.SIZE)
            raise timed_out(self.id, Phase.SIZE, self._config.size_s) from error

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> Stored:
        if not isinstance(self._inner, Writable):
            raise NotSupported(f"{self.id} takes no uploads")
        errand = Errand()

        async def paced() -> AsyncGenerator[bytes]:
            async for chunk in chunks:
                if self._writing is not None:
                    await self._writing.passed(len(chunk), image_id, errand)
                yield chunk

        async with self._asked("write", "", image_id, errand) as call, aclosing(paced()) as pieces:
            given = Given(pieces if self._writing else chunks, call.watchdog)
            try:
                with call.within(Phase.WRITE, self._config.write_idle_s, given):
                    stored = await self._inner.write(image_id, given, size_bytes)
            finally:
                self._numbers.moved("write", given.size_bytes)
            call.answered()
            return stored

    async def delete(self, location: Location) -> None:
        if not isinstance(self._inner, Writable):
            raise NotSupported(f"{self.id} deletes nothing")
        async with self._asked("delete", self._peer_of(location), location.url) as call:
            with call.within(Phase.DELETE, self._config.delete_s):
                await self._inner.delete(location)
            call.answered()

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        """A store that takes no uploads has none."""
        if not isinstance(self._inner, Writable):
            return
        async with self._asked("remove_leftover", "", image_id) as call:
            with call.within(Phase.DELETE, self._config.delete_s):
                await self._inner.remove_leftover(image_id, kept)
            call.answered()

    async def close(self) -> None:
        for limits in (self._reading, self._writing):
            if limits is not None:
                limits.close()
        await self._inner.close()

    @asynccontextmanager
    async def _asked(
        self, operation: str, peer: str, place: str, errand: Errand | None = None, *, insist: bool = False
    ) -> AsyncIterator[Call]:
        """One request, from its slot to its end. Who is refused by an open circuit waits for no slot."""
        call = Call(self.id, operation, self._circuits.line(peer, place), self._numbers)
        try:
            async with AsyncExitStack() as stack:
                with call.translated():
                    call.line.check(insist=insist)
                    try:
                        await stack.enter_async_context(self._slots.slot(place, errand or Errand()))
                    except TimeoutError as error:
                        raise timed_out(self.id, Phase.WAIT, self._wait_s) from error
                    call.begun()
                    call.line.begin(insist=insist)
                yield call
        finally:
            call.ended()
