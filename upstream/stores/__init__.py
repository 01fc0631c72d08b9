"""Where image data lies."""

from upstream.stores.base import HasPath, Store, Stored, Writable
from upstream.stores.config import FileStoreConfig, HttpStoreConfig, StoresConfig
from upstream.stores.locations import check_external, redacted
from upstream.stores.stores import StoreInfo, Stores, open_stores

__all__ = [
    "FileStoreConfig",
    "HasPath",
    "HttpStoreConfig",
    "Store",
    "StoreInfo",
    "Stored",
    "Stores",
    "StoresConfig",
    "Writable",
    "check_external",
    "open_stores",
    "redacted",
]
