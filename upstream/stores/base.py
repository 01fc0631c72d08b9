"""What a store must be able to do.

A new kind is a package, a row in `kinds.py` and one in `config.py`, and a peer in the contract tests.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from upstream.errors import WrongLength
from upstream.types import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a write left behind."""

    location: Location
    size_bytes: int


@dataclass(slots=True, kw_only=True)
class Rest:
    """What a reader who asks for a part would take in its place: all from its offset up to `stop`, or to the end.

    A store that gets more than the part anyway (a server that ignores ranges) may give that, and sets `is_given`.
    """

    stop: int | None
    is_given: bool = False


@dataclass(slots=True, kw_only=True)
class Witness:
    """What one reader knows of the object at one location; it hands the same witness to each of its reads there.

    A store that announces another size than `size_bytes` is refused. In `seen` the store writes, in its own terms,
    what it read from byte 0 on, or first of all; a later part of something else is refused.
    """

    size_bytes: int | None = None
    seen: object = None
    rest: Rest | None = None

    def check_size(self, found_bytes: int) -> None:
        """Raises WrongLength."""
        if self.size_bytes not in {None, found_bytes}:
            raise WrongLength(self.size_bytes or 0, found_bytes)


class Store(Protocol):
    """A place for image data. Safe to use from many tasks at once."""

    def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the bytes from `offset` up to `stop`, or to the end; entering means that the store has agreed.

        No more than these is asked of the store. Raises DataNotFound, Denied, Unavailable on entering, Invalid if the
        location or the answer makes no sense, NotSupported if this offset cannot be reached, Unproved for another part
        or an object that the `witness` does not know, WrongLength if the object ends before `offset` or `stop`;
        Unavailable and WrongLength while iterating. An `offset` at the end of the object gives nothing. The iterator
        never ends early in silence: its end is `stop`, or the end of the object as the store announced it.
        """

    async def size(self, location: Location) -> int:
        """Bytes of the object. Raises DataNotFound, Denied, Unavailable, and Invalid if the store does not say."""

    async def close(self) -> None:
        """Free connections and threads. Nothing may be under way."""


@runtime_checkable
class Writable(Protocol):
    """A store that takes new data."""

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> Stored:
        """Keep all of `chunks` and say where. `size_bytes` is a hint for room, not a promise that is checked.

        When `chunks` raises, or the caller is cancelled, nothing is left behind and the error passes as it is.
        Raises StoreFull, Denied, Unavailable, Invalid if the id cannot name data, Duplicate if data of that image
        already lies there.
        """

    async def delete(self, location: Location) -> None:
        """Remove the data. Raises DataNotFound, Denied, Unavailable, Conflict while something uses it."""

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        """Remove what a write of that image left whose process was killed, the whole object too.

        Data at one of the `kept` locations stay. That there is nothing is no error. Nobody may be writing that image.
        Raises Denied, Unavailable, Conflict.
        """


@runtime_checkable
class HasPath(Protocol):
    """A store whose data are local files: they are served in place and never cached a second time."""

    async def path(self, location: Location, size_bytes: int | None = None) -> Path:
        """Where the bytes lie, all symbolic links followed.

        Raises Invalid if the location points outside the store's folders, DataNotFound if no file lies there,
        WrongLength if it has another size than `size_bytes`, Denied, Unavailable.
        """
