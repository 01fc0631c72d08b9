"""Data that are to be deleted, deleted: of images that wait for it, and what crashes and failures left behind.

Any number of processes on any number of hosts may do it at once: each location is claimed by one of them. A kill
between two steps leaves a claim, which is nobody's after a minute, and everything may be done twice.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import chain, repeat

import structlog

from metrics import Instruments
from proxy.deletion.claims import UNHEARD_S, Claim, ClaimLost
from upstream.errors import Conflict, DataNotFound, Invalid, NotFound, NotSupported, UpstreamError
from upstream.registry import LEFTOVER, DueLocation, DueQuery, Registry
from upstream.stores import Stores
from upstream.types import GLINT, Image, Location, Status

log = structlog.get_logger(__name__)

SWEEP_S = 600.0
_SECOND_LOOK_S = UNHEARD_S + 15.0  # then what died just before the start is nobody's
_CLOCK_STEP_S = 1.0  # of the times of some databases


class Ended(StrEnum):
    """How it ended for one location. After `BUSY` and `FAILED` it is tried again later."""

    DELETED = "deleted"
    GONE = "gone"  # there were no data
    KEPT = "kept"  # the store deletes nothing, or another location of the image has the same data
    BUSY = "busy"  # something uses them
    FAILED = "failed"
    ELSEWHERE = "elsewhere"  # in a store of other hosts, which will do it
    TAKEN = "taken"  # by somebody else, meanwhile


Tell = Callable[[DueLocation, Ended, str], None]
"""Told of each location when it has ended, with the reason if there is one."""

_ENDED_BY: Sequence[tuple[type[UpstreamError], Ended]] = (
    (DataNotFound, Ended.GONE),
    (NotSupported, Ended.KEPT),
    (Invalid, Ended.KEPT),
    (Conflict, Ended.BUSY),
)
_AS_BEFORE = frozenset({Ended.BUSY, Ended.FAILED})
OPEN = frozenset({*_AS_BEFORE, Ended.ELSEWHERE})


class Scrubber:
    """`delay_s` is how long data wait, `at_once` how many locations are worked at."""

    def __init__(
        self, registry: Registry, stores: Stores, instruments: Instruments, *, delay_s: float = 0.0, at_once: int = 1
    ) -> None:
        self._registry, self._stores, self._instruments = registry, stores, instruments
        self._delay_s, self._at_once = delay_s, at_once
        self._is_stopping = False

    def stop(self) -> None:
        """Begin nothing more; what was begun goes on to its end."""
        self._is_stopping = True

    async def watch(self) -> None:
        """Until cancelled: what crashes left. Images that wait for `glint scrub` are left to it."""
        for pause_s in chain((_SECOND_LOOK_S,), repeat(SWEEP_S)):
            try:
                await self.run(of_pending_images=False)
            except UpstreamError as error:
                log.warning("leftovers.not_swept", error=type(error).__name__)
            await asyncio.sleep(pause_s)

    async def run(self, *, of_pending_images: bool, tell: Tell | None = None) -> None:
        """One pass over all that is due. Raises Unavailable, Denied for the registry; what a store says is told."""
        query = self._query(of_pending_images=of_pending_images)
        while not self._is_stopping and (page := await self._registry.locations.due(query)):
            await self._finish(page, tell)
            query = replace(query, after=page[-1].location.id or 0)
        if of_pending_images and not self._is_stopping:
            await self._registry.locations.close_images(query.deleted_before)

    async def due(self) -> list[DueLocation]:
        """What a pass would do now. Raises Unavailable, Denied."""
        found: list[DueLocation] = []
        query = self._query(of_pending_images=True)
        while page := await self._registry.locations.due(query):
            found += page
            query = replace(query, after=page[-1].location.id or 0)
        return found

    async def clear(self, image_id: str) -> None:
        """What earlier uploads of one image left, at once: nobody shall take new data for them.

        Raises Conflict if something stays, and Unavailable.
        """
        moment = datetime.now(UTC) + timedelta(seconds=_CLOCK_STEP_S)
        query = DueQuery(deleted_before=moment, unheard_s=UNHEARD_S, image_id=image_id)
        ends: list[Ended] = []
        await self._finish(await self._registry.locations.due(query), lambda _, ended, __: ends.append(ended))
        if not {*_AS_BEFORE, Ended.TAKEN}.isdisjoint(ends):
            raise Conflict(f"Data of an earlier upload of image {image_id} have to be deleted first; try again later")

    async def leave(self, image_id: str, *locations: Location) -> None:
        """Have data deleted later that could not be now. Raises Unavailable, Denied."""
        try:
            await self._registry.locations.leave(image_id, locations)
        except NotFound:
            log.error("data.left", image=image_id, stores=[location.store for location in locations])

    def _query(self, *, of_pending_images: bool) -> DueQuery:
        return DueQuery(
            deleted_before=datetime.now(UTC) - timedelta(seconds=self._delay_s),
            unheard_s=UNHEARD_S,
            of_pending_images=of_pending_images,
        )

    async def _finish(self, page: Sequence[DueLocation], tell: Tell | None) -> None:
        rest = iter(page)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._at_once, len(page))):
                group.create_task(self._work(rest, tell))

    async def _work(self, rest: Iterator[DueLocation], tell: Tell | None) -> None:
        for found in rest:
            if self._is_stopping:
                return
            ended, reason = await self._end(found)
            self._instruments.deletions.labels(str(ended)).inc()
            if tell is not None:
                tell(found, ended, reason)

    async def _end(self, found: DueLocation) -> tuple[Ended, str]:
        """Never raises an UpstreamError: one location that cannot be ended must not keep the others."""
        location, store = found.location, self._stores.owner(found.location)
        assert location.id is not None
        if store is None:
            return Ended.ELSEWHERE, f"{location.store or 'its store'} is not configured here"
        try:
            claim = await Claim.made(self._registry.locations, found.image_id, location.id)
        except Conflict:
            return Ended.TAKEN, ""
        except UpstreamError as error:
            return Ended.FAILED, str(error)
        try:
            ended, reason = await claim.during(partial(self._delete, found, store))
            # Never active again: what an upload or an import left may be anything.
            await claim.settle(Status.PENDING_DELETE if ended in _AS_BEFORE else Status.DELETED)
        except ClaimLost as error:
            ended, reason = Ended.TAKEN, str(error)
        except UpstreamError as error:
            ended, reason = Ended.FAILED, str(error)
        say = log.warning if ended in _AS_BEFORE else log.info
        say("location.scrubbed", image=found.image_id, store=store, ended=str(ended), reason=reason or None)
        return ended, reason

    async def _delete(self, found: DueLocation, store: str) -> tuple[Ended, str]:
        image = await self._image(found.image_id)
        location, known = found.location, () if image is None else image.locations
        if any(each.url == location.url for each in known):
            return Ended.KEPT, "they were registered anew"
        try:
            if location.url == LEFTOVER:
                await self._stores.remove_leftover(found.image_id, store, known)
            else:
                await self._stores.delete(location)
        except UpstreamError as error:
            ended = next((ended for kind, ended in _ENDED_BY if isinstance(error, kind)), Ended.FAILED)
            return ended, "" if ended is Ended.GONE else str(error)
        return Ended.DELETED, ""

    async def _image(self, image_id: str) -> Image | None:
        try:
            return await self._registry.images.get(GLINT, image_id)
        except NotFound:
            return None
