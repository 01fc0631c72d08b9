from cache.disk import charge_bytes
from cache.errors import (
    Abandoned,
    CacheError,
    CacheFull,
    CacheUnusable,
    DigestMismatch,
    DiskFailed,
    FillFailed,
    GoneRound,
    NotWorthAFill,
    Stalled,
    UnknownFormat,
    WrongSize,
)
from cache.housekeeping import Verdict
from cache.images import Filling, ImageCache
from cache.policies import POLICIES, Policy
from cache.prewarm import CacheState, CacheStatus, Prewarmer, Resolve
from cache.queue import Proof, Queue
from cache.range_log import RangeTable, new_range_table
from cache.reader import Reader
from cache.rows import Entry, Usage
from cache.simulation import Download, Replayed, replay
from cache.stopped import StoppedCache
from cache.threads import in_thread
from cache.tokens import TokenBody, TokenCache, TokenCacheConfig
from cache.types import Blob, CacheConfig, Digest, Outcome, Purpose, Source, Span

__all__ = [
    "POLICIES",
    "Abandoned",
    "Blob",
    "CacheConfig",
    "CacheError",
    "CacheFull",
    "CacheState",
    "CacheStatus",
    "CacheUnusable",
    "Digest",
    "DigestMismatch",
    "DiskFailed",
    "Download",
    "Entry",
    "FillFailed",
    "Filling",
    "GoneRound",
    "ImageCache",
    "NotWorthAFill",
    "Outcome",
    "Policy",
    "Prewarmer",
    "Proof",
    "Purpose",
    "Queue",
    "RangeTable",
    "Reader",
    "Replayed",
    "Resolve",
    "Source",
    "Span",
    "Stalled",
    "StoppedCache",
    "TokenBody",
    "TokenCache",
    "TokenCacheConfig",
    "UnknownFormat",
    "Usage",
    "Verdict",
    "WrongSize",
    "charge_bytes",
    "in_thread",
    "new_range_table",
    "replay",
]
