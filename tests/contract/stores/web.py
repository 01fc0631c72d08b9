"""An http store with some options."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from upstream.stores import HttpStoreConfig
from upstream.stores.http import HttpStore, open_store


@asynccontextmanager
async def web(**options: Any) -> AsyncIterator[HttpStore]:
    """Whoever is silent is waited for 2 s at most: long on loopback, and short for a test."""
    waits = {"connect_s": 2.0, "first_byte_s": 2.0, "idle_s": 2.0}
    store = await open_store("web", HttpStoreConfig.model_validate({"kind": "http", **waits, **options}))
    try:
        yield store
    finally:
        await store.close()
