"""Where image data lies."""

from upstream.stores.base import HasPath, Store, Stored, Witness, Writable
from upstream.stores.config import StoresConfig
from upstream.stores.file import FileStoreConfig
from upstream.stores.glance import GlanceFile
from upstream.stores.http import HttpStoreConfig, parse_proxy
from upstream.stores.locations import check_external, redacted
from upstream.stores.notices import new_table
from upstream.stores.rbd import RbdStoreConfig
from upstream.stores.s3 import S3StoreConfig
from upstream.stores.sources import LocationsSource
from upstream.stores.staging import Staging, open_staging
from upstream.stores.stores import StoreInfo, Stores, open_stores
from upstream.stores.swift import SwiftStoreConfig
from upstream.stores.web import ImportFilterConfig, Web, open_web

__all__ = [
    "FileStoreConfig",
    "GlanceFile",
    "HasPath",
    "HttpStoreConfig",
    "ImportFilterConfig",
    "LocationsSource",
    "RbdStoreConfig",
    "S3StoreConfig",
    "Staging",
    "Store",
    "StoreInfo",
    "Stored",
    "Stores",
    "StoresConfig",
    "SwiftStoreConfig",
    "Web",
    "Witness",
    "Writable",
    "check_external",
    "new_table",
    "open_staging",
    "open_stores",
    "open_web",
    "parse_proxy",
    "redacted",
]
