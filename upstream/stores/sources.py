"""One image read from several locations: which is asked next when one disappoints."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from upstream.errors import DataNotFound, Unavailable, UpstreamError
from upstream.stores.base import Witness
from upstream.stores.guard.purposes import Errand, Purpose
from upstream.stores.overlap import AnotherObject, End, after_overlap
from upstream.types import Location

log = structlog.get_logger()


@dataclass(eq=False, frozen=True, slots=True, kw_only=True)
class Place:
    """A location of one image, and what its reader saw there. `store` is None where no store reads it."""

    location: Location
    store: str | None
    witness: Witness
    errand: Errand = field(default_factory=Errand)


class OpenPlace(Protocol):
    """Reads one place, as `Store.read`. `insist`: even if it refused a moment ago."""

    def __call__(
        self, place: Place, offset: int, stop: int | None, *, insist: bool
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...


class LocationsSource:
    """Where one fill or one reader gets the bytes of an image. Not for two who know nothing of each other.

    The first place in the order that can be opened is read. One that refuses, or fails later, goes behind the others.
    Where another place goes on, it has to repeat the last bytes of the one before: one that has others is distrusted.
    """

    def __init__(self, open_place: OpenPlace, places: Iterable[Place], errand: Errand | None = None) -> None:
        """`errand`, if it is one, is that of all the places."""
        self._open_place, self._order, self._errand = open_place, list(places), errand or Errand()
        self._had_places = bool(self._order)
        self._current: Place | None = None
        self._gave = False
        self._end = End()

    @asynccontextmanager
    async def __call__(self, offset: int, stop: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the bytes from `offset` up to `stop`, or to the end. Entering means that a store has agreed.

        Raises DataNotFound if there are no locations, Unavailable if all gave wrong bytes, the error of the last one
        tried if none can be opened; while iterating, what `Store.read` says.
        """
        async with AsyncExitStack() as stack:
            place, chunks = await self._open_first(stack, offset, stop)
            watched = await stack.enter_async_context(aclosing(self._watched(place, chunks, offset)))
            try:
                yield watched
            except Exception:
                self._put_last(place)
                raise

    def wanted_for(self, purpose: Purpose) -> None:
        """Whoever reads this source, does so for that from now on: also what runs, or waits for its turn."""
        self._errand.change(purpose)

    def distrust(self) -> bool:
        """The place opened last gave wrong bytes: it is not asked again. Whether another remains."""
        place = self._current
        if place is not None and place in self._order:
            log.warning("store.distrusted", store=place.store)
            self._order.remove(place)
        return bool(self._order)

    async def _open_first(
        self, stack: AsyncExitStack, offset: int, stop: int | None
    ) -> tuple[Place, AsyncIterator[bytes]]:
        last: UpstreamError = DataNotFound("An empty list of locations")
        if self._had_places:
            last = Unavailable("the image's store", "the bytes it gave were not the image's")
        # Who reads on knows when to try again better than those who only just come.
        insist = self._gave and offset > 0
        for place in tuple(self._order):
            try:
                chunks = await self._opened(stack, place, offset, stop, insist=insist)
            except AnotherObject as error:
                self._order.remove(place)
                last = error
                continue
            except UpstreamError as error:
                self._put_last(place)
                last = error
                continue
            before, self._current = self._current, place
            if before is not None and before is not place:
                log.warning("store.switched", store=place.store, before=before.store, offset_bytes=offset)
            return place, chunks
        raise last

    async def _opened(
        self, stack: AsyncExitStack, place: Place, offset: int, stop: int | None, *, insist: bool
    ) -> AsyncIterator[bytes]:
        """Raises AnotherObject if the place does not go on where another one ended."""
        expected = self._end.before(offset) if place is not self._current else b""
        begun = AsyncExitStack()
        async with begun:
            start = offset - len(expected)
            chunks = await begun.enter_async_context(self._open_place(place, start, stop, insist=insist))
            if expected:
                chunks = await begun.enter_async_context(aclosing(after_overlap(chunks, expected)))
                await anext(chunks)  # the overlap is proved, and nothing given yet
            stack.push_async_exit(begun.pop_all())
            return chunks

    async def _watched(self, place: Place, chunks: AsyncIterator[bytes], offset: int) -> AsyncGenerator[bytes]:
        try:
            async for chunk in chunks:
                self._gave = True
                self._end.add(offset, chunk)
                offset += len(chunk)
                yield chunk
        except UpstreamError:
            self._put_last(place)
            raise

    def _put_last(self, place: Place) -> None:
        if place in self._order:  # not after it was distrusted
            self._order.remove(place)
            self._order.append(place)
