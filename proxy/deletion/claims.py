"""A claim on data that are to be deleted: renewed while its holder works, and nobody's a minute after he died.

Times are those of the database, so hosts need not agree on theirs. Who cannot renew his claim stops what he does before
anybody else may begin, by his own clock, which also goes on while a process sleeps.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Self, TypeVar

import structlog

from proxy.startup import cause_of
from upstream.errors import Conflict, Unavailable, UpstreamError
from upstream.registry import Locations
from upstream.types import Status

log = structlog.get_logger(__name__)

T = TypeVar("T")

UNHEARD_S = 60.0
"""A claim that was not renewed for so long is nobody's."""

_RENEW_S = 10.0
_LEASE_S = 40.0


class ClaimLost(Unavailable):
    """It could not be renewed in time, or is somebody else's: what is done under it has been broken off."""


class Claim:
    """One location, ours until it is settled."""

    def __init__(self, locations: Locations, image_id: str, location_id: int, claimed_at: datetime) -> None:
        self._locations, self._image_id, self._location_id = locations, image_id, location_id
        self._claimed_at, self._renewed_s = claimed_at, asyncio.get_running_loop().time()

    @classmethod
    async def made(cls, locations: Locations, image_id: str, location_id: int) -> Self:
        """Raises Conflict if another has it, Unavailable."""
        claimed_at = await locations.claim(image_id, location_id, UNHEARD_S)
        return cls(locations, image_id, location_id, claimed_at)

    @classmethod
    async def made_with_change(cls, locations: Locations, image_id: str, location_id: int) -> Self:
        """Of a location that we have made `pending_delete` a moment ago, which claims it. Raises as `made`."""
        return cls(locations, image_id, location_id, await locations.renew(image_id, location_id))

    async def during(self, work: Callable[[], Awaitable[T]]) -> T:
        """What the work comes to, while the claim is renewed. Raises ClaimLost, and what the work raises."""
        if asyncio.get_running_loop().time() > self._renewed_s + _RENEW_S:
            await self._renew()
        try:
            async with asyncio.timeout_at(self._until_s) as lease, asyncio.TaskGroup() as group:
                renewing = group.create_task(self._keep(lease))
                try:
                    return await work()
                finally:
                    renewing.cancel()
        except ExceptionGroup as errors:
            raise cause_of(errors) from None
        except TimeoutError as error:
            raise ClaimLost("the registry", "the claim on these data ran out") from error

    @property
    def _until_s(self) -> float:
        return self._renewed_s + _LEASE_S

    async def settle(self, status: Status) -> None:
        """Raises ClaimLost, NotFound, Unavailable."""
        try:
            await self._locations.settle(self._image_id, self._location_id, status, self._claimed_at)
        except Conflict as error:
            raise _lost() from error

    async def _keep(self, lease: asyncio.Timeout) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            try:
                await self._renew()
            except ClaimLost:
                self._renewed_s = -math.inf
            except UpstreamError as error:
                log.warning("claim.not_renewed", image=self._image_id, error=type(error).__name__)
            if lease.expired():
                return
            lease.reschedule(self._until_s)

    async def _renew(self) -> None:
        began_s = asyncio.get_running_loop().time()
        try:
            self._claimed_at = await self._locations.renew(self._image_id, self._location_id, self._claimed_at)
        except Conflict as error:
            raise _lost() from error
        self._renewed_s = began_s


def _lost() -> ClaimLost:
    return ClaimLost("the registry", "others work at these data by now")
