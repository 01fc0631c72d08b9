"""All configured stores behind one face: which of them a location means, and which is asked first."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from metrics import Instruments
from upstream.errors import Invalid, NotSupported, UpstreamError
from upstream.stores.backend import BackendConfig, ParallelConfig
from upstream.stores.base import Stored, Witness
from upstream.stores.config import StoresConfig
from upstream.stores.guard import Errand, Guarded
from upstream.stores.kinds import open_store
from upstream.stores.locations import infer_store, kind_of
from upstream.stores.notices import Notices
from upstream.stores.parallel import Budget, Parallel, Read
from upstream.stores.refusals import Refusals
from upstream.stores.s3.uris import without_keys
from upstream.stores.sources import LocationsSource, OpenPlace, Place
from upstream.types import Location

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """A store as `GET /v2/info/stores` lists it, and `…/detail` with what follows."""

    id: str
    description: str
    is_default: bool
    is_read_only: bool
    kind: str
    weight: int
    properties: Mapping[str, Any]


class Stores:
    """Reads from whichever store has the data, writes to the one that is named or the default."""

    def __init__(
        self, config: StoresConfig, opened: Mapping[str, Guarded], reading: Mapping[str, Read], notices: Notices
    ) -> None:
        """`reading`: by which each of the `opened` stores is read for those who take much of an image."""
        self._config, self._opened, self._reading = config, opened, reading
        self._refusals = Refusals(notices)
        backends = config.backends.items()
        self._owned = [(prefix, store) for store, backend in backends for prefix in backend.own_prefixes()]
        further = [(prefix, store) for store, backend in backends for prefix in backend.further_prefixes()]
        self._prefixes = [*self._owned, *further]

    def of(self, location: Location) -> str:
        """The id of the store that a location means: the one it names if that reads such URLs, else the one it fits.

        A file in the folder of another store than the named one is read by that other: a Glance with several
        `filesystem_store_datadirs` has one name for all of them.
        Raises Invalid for a URL that no store could read, NotSupported if no store of its kind is configured.
        """
        kind = kind_of(location.url)
        named = location.store
        if named is not None and named in self._opened and self._config.backends[named].kind == kind:
            owner = infer_store(location.url, self._owned) if kind == "file" else None
            return owner or named
        inferred = infer_store(location.url, self._prefixes)
        if inferred is None:
            raise NotSupported(f"no store is configured for locations of kind {kind}")
        return inferred

    def named(self, locations: tuple[Location, ...]) -> tuple[Location, ...]:
        """The heaviest store's first; where a row names no store that is configured, with the one that its URL fits.

        Rows of S3 stores that older releases of Glance wrote lose the keys in them here.
        Source: glance/common/store_utils.py, update_store_in_locations; glance/common/utils.py, sort_image_locations.
        """
        if any("@" in location.url for location in locations):
            locations = tuple(replace(location, url=without_keys(location.url)) for location in locations)
        if not all(location.metadata.get("store") in self._opened for location in locations):
            locations = tuple(self._with_store(location) for location in locations)
        return tuple(self._by_weight(locations))

    def _with_store(self, location: Location) -> Location:
        store = None if location.metadata.get("store") in self._opened else infer_store(location.url, self._owned)
        return location if store is None else replace(location, metadata={**location.metadata, "store": store})

    def weight(self, location: Location) -> int:
        """Of its store; 0 if there is none for it."""
        store = self._store(location)
        return 0 if store is None else self._config.backends[store].weight

    def source(
        self,
        locations: Sequence[Location],
        size_bytes: int | None,
        preferred: Sequence[str] = (),
        *,
        elsewhere: OpenPlace | None = None,
    ) -> LocationsSource:
        """What one fill or one reader of an image with these locations reads.

        The heaviest store's come first, rows of one store in their order; those in the `preferred` stores come before
        all others, in the order of these. A location that announces another size than `size_bytes` is passed over.
        `elsewhere` opens the bytes where they lie in no store of ours, and is asked last.
        """
        errand = Errand()
        places = [
            Place(location=location, store=self._store(location), witness=Witness(size_bytes=size_bytes), errand=errand)
            for location in self._by_preference(locations, preferred)
        ]
        if elsewhere is None:
            return LocationsSource(self._open_place, places, errand)
        last = Place(location=Location(url=""), store=None, witness=Witness(size_bytes=size_bytes), errand=errand)

        def open_place(
            place: Place, offset: int, stop: int | None, *, insist: bool
        ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
            return (elsewhere if place is last else self._open_place)(place, offset, stop, insist=insist)

        return LocationsSource(open_place, [*places, last], errand)

    @asynccontextmanager
    async def _open_place(
        self, place: Place, offset: int, stop: int | None, *, insist: bool
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        with _refusal_logged(place.store):
            store = self.of(place.location)
        async with AsyncExitStack() as stack:

            async def opened() -> AsyncIterator[bytes]:
                with _refusal_logged(store):
                    return await stack.enter_async_context(
                        self._reading[store](
                            place.location, offset, stop, place.witness, errand=place.errand, insist=insist
                        )
                    )

            yield await self._refusals.ask(store, place.location, opened, insist=insist)

    async def local_path(self, locations: Sequence[Location], size_bytes: int | None) -> Path | None:
        """The file to serve in place, if one of the locations is a local file of that size that can be served."""
        for location in self._by_weight(locations):
            try:
                store = self._opened[self.of(location)]
                if store.has_path:
                    return await store.path(location, size_bytes)
            except UpstreamError as error:
                log.warning("store.path_refused", store=location.store, error=type(error).__name__, reason=str(error))
        return None

    async def write(
        self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None, store: str | None = None
    ) -> Stored:
        """See `Writable.write`. Raises Invalid for an unknown store, NotSupported for one that is read-only."""
        named = self.chosen(store)
        if named not in self._opened:
            raise Invalid(f"there is no store {named!r}; there are {', '.join(self._opened)}")
        stored = await self._changeable(named).write(image_id, chunks, size_bytes)
        self._refusals.forget(named, stored.location)
        return stored

    def chosen(self, store: str | None) -> str:
        """The store that an upload goes to. Raises NotSupported if none is named and there is no default."""
        named = store or self._config.default
        if named is None:
            raise NotSupported("no store takes uploads here")
        return named

    async def size(self, location: Location) -> int:
        """See `Store.size`. Asks in any case; an answer means that the data can be read from now on."""
        store = self.of(location)
        size_bytes = await self._opened[store].size(location)
        self._refusals.forget(store, location)
        return size_bytes

    async def delete(self, location: Location) -> None:
        """See `Writable.delete`. Raises NotSupported if the store is read-only."""
        await self._changeable(self.of(location)).delete(location)

    async def remove_leftover(self, image_id: str, store: str, known: Collection[Location]) -> None:
        """See `Writable.remove_leftover`. A store that is not configured any more has nothing to be removed from.

        Raises NotSupported if the store is read-only.
        """
        if store in self._opened:
            await self._changeable(store).remove_leftover(image_id, known)

    def writable(self) -> list[str]:
        """The ids of those that take uploads."""
        return [store for store, backend in self._config.backends.items() if not backend.read_only]

    def owner(self, location: Location) -> str | None:
        """The store whose data these are to delete; None if the location is that of a store of other hosts."""
        named = location.store
        if named in self._opened or named is None:
            return self._store(location) or named
        return infer_store(location.url, self._owned)

    def hardest_first(self, locations: Sequence[Location]) -> list[Location]:
        """In the order in which all of an image are deleted: a store that may refuse is asked before any data go."""
        return sorted(locations, key=self._may_refuse, reverse=True)

    def _may_refuse(self, location: Location) -> bool:
        store = self._store(location)
        return store is not None and self._config.backends[store].refuses_while_used

    def infos(self) -> list[StoreInfo]:
        return [
            StoreInfo(
                id=store,
                description=backend.description,
                is_default=store == self._config.default,
                is_read_only=backend.read_only,
                kind=backend.kind,
                weight=backend.weight,
                properties=backend.properties(),
            )
            for store, backend in self._config.backends.items()
        ]

    def _changeable(self, store: str) -> Guarded:
        """Raises NotSupported."""
        if self._config.backends[store].read_only:
            raise NotSupported(f"{store} is read-only")
        return self._opened[store]

    def _by_preference(self, locations: Sequence[Location], preferred: Sequence[str]) -> list[Location]:
        heaviest = self._by_weight(locations)
        if not preferred or len(heaviest) <= 1:
            return heaviest
        rank: dict[str | None, int] = {store: place for place, store in enumerate(dict.fromkeys(preferred))}
        return sorted(heaviest, key=lambda location: rank.get(self._store(location), len(rank)))

    def _by_weight(self, locations: Sequence[Location]) -> list[Location]:
        if len(locations) <= 1:  # nearly always, and each download asks
            return list(locations)
        return sorted(locations, key=self.weight, reverse=True)  # stable, also in reverse

    def _store(self, location: Location) -> str | None:
        """As `of`; None if there is no store for it."""
        try:
            return self.of(location)
        except UpstreamError:
            return None


@contextmanager
def _refusal_logged(store: str | None) -> Iterator[None]:
    try:
        yield
    except UpstreamError as error:
        log.warning("store.read_refused", store=store, error=type(error).__name__, reason=str(error))
        raise


@asynccontextmanager
async def open_stores(
    config: StoresConfig, instruments: Instruments, *, notices: int | None = None
) -> AsyncIterator[Stores]:
    """All stores, open until the context is left. One that cannot be opened stops the start.

    `notices` is the table that this process shares with others (`new_table`), if there are others.
    """
    async with AsyncExitStack() as stack:
        told = Notices(notices)
        stack.callback(told.close)
        opened: dict[str, Guarded] = {}
        reading: dict[str, Read] = {}
        for store, backend in config.backends.items():
            inner = await open_store(store, backend.kind, backend)
            guarded = opened[store] = Guarded(
                store,
                inner,
                instruments,
                backend.guard,
                told,
                requests_max=backend.requests_max,
                wait_s=backend.wait_s,
                own=backend,
                peer_of=backend.peer_of,
            )
            stack.push_async_callback(guarded.close)
            reading[store] = _reading(guarded, backend, instruments)
        yield Stores(config, opened, reading, told)


def _reading(store: Guarded, backend: BackendConfig, instruments: Instruments) -> Read:
    """Half of a store's slots are left to others, who each want one."""
    if not isinstance(backend, ParallelConfig):
        return store.read
    reads_max = min(backend.parallel_reads_max, backend.requests_max // 2)
    if reads_max <= 1:
        return store.read
    budget = Budget(reads_max=reads_max, bytes_max=backend.read_ahead_max)
    return Parallel(store.id, store.read, budget, instruments).read
