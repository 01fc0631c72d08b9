from cache.disk import charge_bytes
from cache.errors import (
    Abandoned,
    CacheError,
    CacheFull,
    DigestMismatch,
    DiskFailed,
    Stalled,
    UnknownFormat,
    WrongSize,
)
from cache.images import Filling, ImageCache
from cache.index import Entry, Usage
from cache.reader import Reader
from cache.stopped import StoppedCache
from cache.threads import in_thread
from cache.tokens import TokenBody, TokenCache, TokenCacheConfig
from cache.types import Blob, CacheConfig, Digest, Outcome, Source, Span

__all__ = [
    "Abandoned",
    "Blob",
    "CacheConfig",
    "CacheError",
    "CacheFull",
    "Digest",
    "DigestMismatch",
    "DiskFailed",
    "Entry",
    "Filling",
    "ImageCache",
    "Outcome",
    "Reader",
    "Source",
    "Span",
    "Stalled",
    "StoppedCache",
    "TokenBody",
    "TokenCache",
    "TokenCacheConfig",
    "UnknownFormat",
    "Usage",
    "WrongSize",
    "charge_bytes",
    "in_thread",
]
