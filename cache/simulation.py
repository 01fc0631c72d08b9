"""Downloads of the past, played again before another cache, to see what it would have spared the stores.

The index and the choice of victims are those of the real cache; files, fills and threads are left out, so a fill takes
no time. Who asked while the image was on its way got it without a read of the store, and that is no second use.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from statistics import median

from cache.disk import Found, charge_bytes
from cache.errors import CacheFull
from cache.index import Index
from cache.lru import choose_victims
from cache.policies import Policy
from cache.types import Blob

_FLUSH_S = 5.0  # uses are noted in bundles, as the cache does


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One download of the past. Times are of day, in seconds; None: not known, then none is used of any download."""

    key: str
    size_bytes: int  # of the whole image
    sent_bytes: int
    began_at_s: float | None = None
    ended_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """`hits` are downloads that had the store read nothing, `eviction_age_s` how long victims had not been used."""

    requests: int
    hits: int
    sent_bytes: int
    hit_bytes: int
    store_bytes: int
    evictions: int
    eviction_age_s: float | None  # the median; None: nothing was evicted, or times are not known

    @property
    def hit_ratio(self) -> float:
        return self.hits / self.requests if self.requests else 0.0

    @property
    def byte_hit_ratio(self) -> float:
        return self.hit_bytes / self.sent_bytes if self.sent_bytes else 0.0


def replay(
    downloads: Sequence[Download],
    policy: Policy,
    *,
    size_max_bytes: int,
    min_age_s: float = 0.0,
    range_fill_percent: int = 0,
) -> Replayed:
    """Begin with an empty cache of this size. Without times the order is that of the sequence. Blocks."""
    is_timed = all(download.began_at_s is not None for download in downloads)
    if is_timed:
        downloads = sorted(downloads, key=lambda download: download.began_at_s or 0.0)
    cache = _Cache(policy, size_max_bytes, min_age_s if is_timed else 0.0, range_fill_percent)
    with closing(cache.index):
        for download in downloads:
            cache.serve(download, is_timed=is_timed)
    return Replayed(
        requests=len(downloads),
        hits=cache.hits,
        sent_bytes=sum(download.sent_bytes for download in downloads),
        hit_bytes=cache.hit_bytes,
        store_bytes=cache.store_bytes,
        evictions=len(cache.eviction_ages_s),
        eviction_age_s=median(cache.eviction_ages_s) if is_timed and cache.eviction_ages_s else None,
    )


@dataclass(slots=True)
class _Cache:
    """The cache in the replay, and what it has counted."""

    policy: Policy
    size_max_bytes: int
    min_age_s: float
    range_fill_percent: int
    now_s: float = 0.0
    hits: int = 0
    hit_bytes: int = 0
    store_bytes: int = 0
    eviction_ages_s: list[float] = field(default_factory=list)
    index: Index = field(init=False)
    _names: dict[str, str] = field(default_factory=dict)  # what the log calls it: what may be a file's name
    _filled_at_s: dict[str, float] = field(default_factory=dict)  # of what is cached
    _asked_bytes: dict[str, int] = field(default_factory=dict)  # in parts, of what is not
    _touched: dict[str, int] = field(default_factory=dict)
    _touched_at_s: float = 0.0

    def __post_init__(self) -> None:
        self.index = Index(None, clock=lambda: self.now_s)

    def serve(self, download: Download, *, is_timed: bool) -> None:
        began_at_s, ended_at_s = download.began_at_s or 0.0, download.ended_at_s or download.began_at_s or 0.0
        if is_timed:
            self._pass_time(began_at_s)
        key = self._names.setdefault(download.key, f"image-{len(self._names)}")
        filled_at_s = self._filled_at_s.get(key)
        if filled_at_s is not None:
            self.hits += 1
            self.hit_bytes += download.sent_bytes
            if not is_timed or began_at_s >= filled_at_s:
                self._touch(key)
        elif self._is_worth_a_fill(key, download) and self._fill(Blob(key=key, size_bytes=download.size_bytes)):
            self.store_bytes += download.size_bytes
            self._filled_at_s[key] = ended_at_s
        else:
            self.store_bytes += download.sent_bytes

    def _pass_time(self, now_s: float) -> None:
        if self._touched and now_s - self._touched_at_s >= _FLUSH_S:
            self._flush()
        self.now_s = now_s

    def _touch(self, key: str) -> None:
        if not self._touched:
            self._touched_at_s = self.now_s
        self._touched[key] = self._touched.pop(key, 0) + 1

    def _flush(self) -> None:
        if self._touched:
            self.index.touch(self._touched, self.policy, self.size_max_bytes)
            self._touched = {}

    def _is_worth_a_fill(self, key: str, download: Download) -> bool:
        """A log does not say which part was asked for: all are taken to be others than those before."""
        if download.sent_bytes >= download.size_bytes:
            return True
        self._asked_bytes[key] = self._asked_bytes.get(key, 0) + download.sent_bytes
        return self._asked_bytes[key] * 100 >= self.range_fill_percent * download.size_bytes

    def _fill(self, blob: Blob) -> bool:
        """Whether there was room."""
        assert blob.size_bytes is not None
        self._flush()
        try:
            victims = choose_victims(
                self.index.candidates(self.now_s - self.min_age_s),
                need_bytes=charge_bytes(blob.size_bytes),
                free_bytes=self.size_max_bytes - self.index.usage().charged_bytes,
                limit_bytes=self.size_max_bytes,
            )
        except CacheFull:
            return False
        for victim in victims:
            self.index.forget(victim.key, lambda _: False)
            del self._filled_at_s[victim.key]
            self.eviction_ages_s.append(self.now_s - victim.used_at_s)
        found = Found(blob.key, blob.size_bytes, self.now_s)
        assert self.index.promise(blob.key, blob, self.size_max_bytes, int)
        self.index.commit(blob.key, blob, lambda _: False, lambda _: found)
        self._asked_bytes.pop(blob.key, None)
        return True
