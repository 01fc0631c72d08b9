"""Where image data lies."""

from upstream.stores.base import HasPath, Store, Stored, Witness, Writable
from upstream.stores.config import FileStoreConfig, HttpStoreConfig, StoresConfig
from upstream.stores.locations import check_external, redacted
from upstream.stores.sources import LocationsSource
from upstream.stores.stores import StoreInfo, Stores, open_stores

__all__ = [
    "FileStoreConfig",
    "HasPath",
    "HttpStoreConfig",
    "LocationsSource",
    "Store",
    "StoreInfo",
    "Stored",
    "Stores",
    "StoresConfig",
    "Witness",
    "Writable",
    "check_external",
    "open_stores",
    "redacted",
]
