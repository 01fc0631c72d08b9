"""An HTTP server that does what it is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.origin import Content, Origin
from upstream.stores import HttpStoreConfig
from upstream.stores.http import HttpStore, open_store
from upstream.types import Location


class HttpPeer:
    def __init__(self, store: HttpStore, origin: Origin) -> None:
        self.store, self.origin = store, origin

    async def put(self, name: str, content: Content) -> Location:
        self.origin.add(name, content)
        return Location(url=self.origin.url(name))

    async def replace(self, name: str, content: Content) -> None:
        self.origin.add(name, content)

    def missing(self) -> Location:
        return Location(url=self.origin.url("nothing-here"))


@asynccontextmanager
async def http_peer(_: pytest.FixtureRequest, tmp_path: Path, silent_s: float = 30) -> AsyncIterator[HttpPeer]:
    """A silent origin is given up after `silent_s`: soon only where the test makes it silent."""
    # Nothing here is behind TLS, and to read the system's certificates for each test would take most of its time.
    config = HttpStoreConfig(kind="http", connect_s=silent_s, first_byte_s=silent_s, idle_s=silent_s, verify_tls=False)
    with Origin() as origin:
        store = await open_store("web", config)
        try:
            yield HttpPeer(store, origin)
        finally:
            await store.close()
