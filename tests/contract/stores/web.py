"""An http store with some options."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from upstream.stores import HttpStoreConfig
from upstream.stores.http import HttpStore, open_store


@asynccontextmanager
async def web(**options: Any) -> AsyncIterator[HttpStore]:
    store = await open_store("web", HttpStoreConfig.model_validate({"kind": "http", **options}))
    try:
        yield store
    finally:
        await store.close()
