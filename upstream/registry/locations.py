"""Locations whose data are to be deleted: `pending_delete` says so, in Glance's own rows, until somebody has done it.

A row that nobody works at has equal times of its deletion and its last change. Whoever works at it has claimed it: the
last change is later, and if it lies long back, whoever it was died over it. Source: glance/scrubber.py, which deletes
the same rows and knows no claims.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from upstream.types import Location, Status

LEFTOVER = "leftover:"
"""The URL of a row that says: this store may have data of the image that no location names, after an upload broke off.

Such rows are only ever deleted ones, which no Glance shows or scrubs.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueQuery:
    """Which locations. Of images that are themselves `pending_delete` only with `of_pending_images`.

    `unheard_s`: claims that are older are nobody's. `after` is the id of a location, for the next page. With
    `image_id` those of one image, whatever is done with it; else an image that somebody uploads to or imports is left
    alone, and so is one that Glance restored, which leaves all its locations `pending_delete`.
    """

    deleted_before: datetime
    unheard_s: float
    of_pending_images: bool = False
    image_id: str | None = None
    after: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DueLocation:
    """One that is `pending_delete`, and nobody works at it."""

    image_id: str
    location: Location
    size_bytes: int | None = None  # of the image


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingImage:
    """A deleted image whose data wait for their deletion: the locations that went with it."""

    id: str
    name: str | None
    size_bytes: int | None
    locations: Sequence[Location]


class Locations(Protocol):
    async def due(self, query: DueQuery) -> Sequence[DueLocation]:
        """A page of them, by the ids of the locations."""

    async def claim(self, image_id: str, location_id: int, unheard_s: float) -> datetime:
        """Of all who ask, one gets it, until it settles it or has not renewed it for so long; when that was.

        By the database's clock, as are all ages of claims. Raises Conflict for the others.
        """

    async def renew(self, image_id: str, location_id: int, claimed_at: datetime | None = None) -> datetime:
        """Whoever claimed it then lives; the new time of the claim. By default whenever it was claimed.

        Raises Conflict if the location is not `pending_delete` any more, or somebody else's by now.
        """

    async def settle(self, image_id: str, location_id: int, status: Status, claimed_at: datetime | None = None) -> None:
        """What becomes of a location that is `pending_delete`: deleted, or active as before; or anybody may claim it.

        A `pending_delete` image of which that was the last one is deleted in the same transaction. Raises NotFound, and
        Conflict if it is somebody else's by now.
        """

    async def leave(self, image_id: str, locations: Sequence[Location]) -> Sequence[int]:
        """Keep in mind that these data are to be deleted, of an image that may itself be deleted; the ids of the rows.

        Raises NotFound if there was never such an image.
        """

    async def close_images(self, deleted_before: datetime) -> int:
        """Images that are `pending_delete` and have nothing to delete any more are deleted; how many these were."""

    async def pending(self, image_id: str, unheard_s: float) -> PendingImage:
        """What `restore` would bring back. Raises NotFound, Conflict."""

    async def restore(self, image_id: str, unheard_s: float) -> None:
        """Make a `pending_delete` image active again, with all that went with it, in one transaction.

        Raises NotFound, and Conflict if it is not `pending_delete`, or some of its data are deleted or claimed.
        """
