"""What the contract needs to know of a store and of its other side."""

from collections.abc import AsyncIterator
from typing import Protocol

from tests.origin import Content
from upstream.stores import Store, Witness, Writable
from upstream.types import Location


class Peer(Protocol):
    """A store and its other side."""

    @property
    def store(self) -> Store: ...

    async def put(self, name: str, content: Content) -> Location: ...

    async def replace(self, name: str, content: Content) -> None:
        """Something else lies at the same location now."""

    def missing(self) -> Location: ...


class WritableStore(Store, Writable, Protocol):
    """A store that takes uploads."""


class WritablePeer(Protocol):
    """As `Peer`, of a store that takes uploads under the name `local`."""

    @property
    def store(self) -> WritableStore: ...

    async def put(self, name: str, content: Content) -> Location: ...

    async def replace(self, name: str, content: Content) -> None: ...

    def missing(self) -> Location: ...

    async def names(self) -> list[str]:
        """Everything that lies in the store, what is half written too: whole images by their ids, sorted."""


async def arriving(content: Content) -> AsyncIterator[bytes]:
    """The content in pieces as a socket gives them."""
    for piece in content.pieces():
        for at in range(0, len(piece), 100_000):
            yield bytes(piece[at : at + 100_000])


async def read_whole(
    store: Store, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
) -> bytes:
    async with store.read(location, offset, stop, witness) as chunks:
        return b"".join([chunk async for chunk in chunks])
