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
async def http_peer(_: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HttpPeer]:
    # A silent server is waited for no longer than a busy machine may be silent itself.
    # Nothing here is behind TLS, and to read the system's certificates for each test would take most of its time.
    config = HttpStoreConfig(kind="http", connect_s=2, first_byte_s=1.5, idle_s=1.5, verify_tls=False)
    with Origin() as origin:
        store = await open_store("web", config)
        try:
            yield HttpPeer(store, origin)
        finally:
            await store.close()
