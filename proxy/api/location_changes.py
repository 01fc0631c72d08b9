"""Changes of an image's list of locations: the older way by PATCH, and what both ways check.

Source: glance/api/v2/images.py, _do_add_locations and its siblings; glance/location.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from proxy.api import access, image_fields
from proxy.api.call import Call
from proxy.api.patch import Operation, Verb
from proxy.api.validation_data import taken_over
from proxy.deletion.claims import Claim, ClaimLost
from proxy.errors import BadRequest, Forbidden, StateConflict
from upstream.errors import DataNotFound, Denied, Invalid, NotSupported, Unavailable, UpstreamError
from upstream.registry import Ceiling, ImageChanges
from upstream.stores import check_external
from upstream.types import Image, Location, Status

log = structlog.get_logger(__name__)

_VERBS: Mapping[Verb, str] = {Verb.ADD: "add", Verb.REPLACE: "update", Verb.REMOVE: "remove"}


async def checked_location(call: Call, url: str, metadata: Mapping[str, Any]) -> tuple[Location, int]:
    """The location as it is kept, with the store that reads it, and the size of what lies there.

    The store goes by the URL alone, whatever the client says of it. Raises BadRequest, also for a server that does
    not answer: which server is asked was the client's choice.
    """
    if not _is_metadata(metadata):
        raise BadRequest("Invalid location: its metadata may have strings, lists and objects only.")
    try:
        check_external(url)
        location = Location(url=url)
        location = replace(location, metadata={**metadata, "store": call.services.stores.of(location)})
        size_bytes = await call.services.stores.size(location)
    except (Invalid, NotSupported, Denied, DataNotFound, Unavailable) as error:
        raise BadRequest(f"Invalid location: {error}") from error
    if size_bytes <= 0:
        raise BadRequest("Invalid location: there are no data.")
    return location, size_bytes


def _is_metadata(value: object) -> bool:
    """Source: glance_store, check_location_metadata."""
    if isinstance(value, Mapping):
        return all(_is_metadata(inner) for inner in value.values())
    return all(_is_metadata(inner) for inner in value) if isinstance(value, list) else isinstance(value, str)


def check_can_leave_queue(image: Image) -> None:
    """Raises BadRequest if the image lacks what it needs to have data."""
    missing = [name for name in ("disk_format", "container_format") if not getattr(image, name)]
    if missing:
        properties = "Property" if len(missing) == 1 else "Properties"
        raise BadRequest(f"{properties} {', '.join(missing)} must be set prior to saving data.")


class LocationDraft:
    """An image's locations while operations are applied to them. Asks the policy and the stores, changes nothing."""

    def __init__(self, image: Image, call: Call) -> None:
        self._image, self._call = image, call
        self._status = image.status
        self._locations = list(image.locations)
        self._removed: list[Location] = []
        self._columns: dict[str, Any] = {}
        self._is_touched = self._is_grown = False

    async def apply(self, operation: Operation) -> None:
        """Raises Forbidden, StateConflict, BadRequest, TooLarge, NotFound."""
        self._check_allowed(operation)
        if operation.verb is Verb.REMOVE:
            self._remove(operation.path[1])
        elif operation.verb is Verb.ADD:
            await self._add(operation.path[1], operation.value)
        else:
            await self._replace(operation.value)
        self._is_touched = True

    def merged(self, changes: ImageChanges) -> tuple[ImageChanges, Sequence[Status]]:
        """`changes` with those of the locations, and the states that the image must still be in."""
        if not self._is_touched:
            return changes, ()
        columns = {**changes.columns, **self._columns}
        leaving = [replace(location, status=Status.PENDING_DELETE) for location in self._removed if location.id]
        return replace(changes, columns=columns, locations=(*self._locations, *leaving)), (self._image.status,)

    def ceiling(self) -> Ceiling | None:
        """What the project may have beside this image, which now takes its size in each of its locations."""
        limit = self._call.services.quotas.registering(self._call.context) if self._is_grown else None
        size_bytes = self._columns.get("size", self._image.size_bytes) or 0
        return None if limit is None else limit.ceiling(size_bytes * len(self._locations))

    async def forget_removed(self) -> None:
        """Delete the data of removed locations, which are `pending_delete`: what cannot be done is so found later."""
        if self._call.services.config.deletion.delayed:
            return
        for location, claim in [(location, await self._claimed(location)) for location in self._removed]:
            if claim is None:
                await self._forget(location)
                continue
            try:
                await claim.settle(await claim.during(partial(self._forget, location)))
            except ClaimLost as error:
                log.warning("data.left_to_others", image=self._image.id, store=location.store, reason=str(error))

    async def _claimed(self, location: Location) -> Claim | None:
        """None for one that came and went within this change."""
        if location.id is None:
            return None
        return await Claim.made_with_change(self._call.services.registry.locations, self._image.id, location.id)

    async def _forget(self, location: Location) -> Status:
        try:
            await self._call.services.stores.delete(location)
        except (DataNotFound, NotSupported, Invalid) as error:
            log.info("data.not_deleted", image=self._image.id, store=location.store, reason=str(error))
        except UpstreamError as error:
            log.warning("data.not_deleted", image=self._image.id, store=location.store, reason=str(error))
            return Status.PENDING_DELETE
        return Status.DELETED

    def _check_allowed(self, operation: Operation) -> None:
        is_removal = operation.verb is Verb.REMOVE
        if operation.verb is Verb.REPLACE and not operation.value:
            raise Forbidden("Cannot set locations to empty list.")
        access.enforce(self._call, "delete_image_location" if is_removal else "set_image_location", self._image)
        verb = _VERBS[operation.verb]
        if not self._call.services.config.api.show_multiple_locations:
            raise Forbidden(f"It's not allowed to {verb} locations if locations are invisible.")
        allowed = {Status.ACTIVE} if is_removal else {Status.ACTIVE, Status.QUEUED}
        if self._status not in allowed:
            raise StateConflict(f"It's not allowed to {verb} locations if image status is {self._status}.")

    async def _add(self, where: str, value: Mapping[str, Any]) -> None:
        columns = taken_over(self._image, self._status, [value.get("validation_data", {})])
        position = _position(where)
        if position is None:
            raise BadRequest("Invalid position for adding a location.")
        image_fields.check_location_quota(len(self._locations) + 1, self._call.services.config.api)
        location, size_bytes = await checked_location(self._call, value["url"], value["metadata"])
        self._check_is_new(location, self._locations)
        self._locations.insert(len(self._locations) if position < 0 else position, location)
        self._activate(columns, size_bytes)

    async def _replace(self, values: Sequence[Mapping[str, Any]]) -> None:
        columns = taken_over(self._image, self._status, [value.get("validation_data", {}) for value in values])
        image_fields.check_location_quota(len(values), self._call.services.config.api)
        known = {location.url: location for location in self._locations}
        if known and sorted(value["url"] for value in values) != sorted(location.url for location in self._locations):
            raise BadRequest("Locations that are there can only get other metadata: add and remove them one by one.")
        if known:
            # As new rows, since the order of the rows is that of the list.
            self._locations = [
                replace(known[value["url"]], id=None, metadata=_kept_store(known[value["url"]], value["metadata"]))
                for value in values
            ]
            return
        size_bytes = 0
        for value in values:
            location, size_bytes = await checked_location(self._call, value["url"], value["metadata"])
            self._check_is_new(location, self._locations)
            self._locations.append(location)
        self._activate(columns, size_bytes)

    def _remove(self, where: str) -> None:
        if len(self._locations) == 1:
            raise Forbidden("Cannot remove last location in the image.")
        position = _position(where)
        if position is None or position >= len(self._locations):
            raise BadRequest("Invalid position for removing a location.")
        self._removed.append(self._locations.pop(position))

    def _check_is_new(self, location: Location, others: Sequence[Location]) -> None:
        if any(other.url == location.url and dict(other.metadata) == dict(location.metadata) for other in others):
            raise BadRequest("The location is there already.")

    def _activate(self, columns: Mapping[str, str], size_bytes: int) -> None:
        """A queued image becomes active with its first location."""
        self._is_grown = True
        if not self._image.size_bytes:
            self._columns["size"] = size_bytes
        if self._status is Status.QUEUED:
            check_can_leave_queue(self._image)
            self._status = Status.ACTIVE
            self._columns.update(columns, status=Status.ACTIVE)


def _position(where: str) -> int | None:
    """An index, -1 for the end ("-"), None for what is neither."""
    if where == "-":
        return -1
    return int(where) if where.isascii() and where.isdigit() and len(where) <= 9 else None


def _kept_store(known: Location, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**metadata, "store": known.store} if known.store else metadata
