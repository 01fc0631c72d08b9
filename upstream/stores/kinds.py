"""The kinds of stores: what opens each. Its code is loaded when such a store is opened, and not before."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any, cast

from upstream.stores.base import Store

_OpenStore = Callable[[str, Any], Awaitable[Store]]
_MODULES: Mapping[str, str] = {
    "file": "upstream.stores.file.store",
    "http": "upstream.stores.http.store",
    "rbd": "upstream.stores.rbd.store",
    "swift": "upstream.stores.swift.store",
    "s3": "upstream.stores.s3.store",
}
"""One row per kind: a module whose `open_store` gets the store's id and its configuration."""


async def open_store(store_id: str, kind: str, config: object) -> Store:
    """Raises what the kind cannot start for."""
    module = await asyncio.to_thread(import_module, _MODULES[kind])  # some libraries take a second, and look about
    opens = cast("_OpenStore", module.open_store)
    return await opens(store_id, config)
