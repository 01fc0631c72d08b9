"""Any sequence of what can happen to a cache folder, against a model that is a dict.

Up to three caches have the folder open, as the workers of one Glint do. After each step nothing is on its way, so the
model can tell exactly what is there, who is next to go and what is counted.
"""

import asyncio
import os
import time
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
import structlog.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cache import CacheConfig, CacheUnusable, DigestMismatch, ImageCache, Outcome, Reader, Usage, Verdict, charge_bytes
from metrics import Instruments
from tests.cache.reading import flip
from tests.cache.sources import GatedSource, blob_of
from tests.content import KIB, Noise

T = TypeVar("T")

CACHES_MAX = 3
SIZES = (1, 64 * KIB, 90 * KIB, 200 * KIB, 200 * KIB + 1, 300 * KIB, 450 * KIB, 1200 * KIB)
CONTENTS = {f"im-{n}": Noise(size, seed=n) for n, size in enumerate(SIZES)}
LIMIT_BYTES = 1000 * KIB  # less than the largest image, and than the others together
KEYS = st.sampled_from(sorted(CONTENTS))
PORTION = st.integers(0, 100)
DAY_S = 86400
KEPT_PERCENT = {"lru": 0, "slru": 80}
_QUIET_S = 60


@dataclass
class Model:
    """What must be there. `order`: entries, the least recently used first. `halves`: fills that nobody goes on with.

    `places` has the same entries in the order in which they came to where they are now: among those `used_again`, or
    not. Who was used again goes after all others, as long as those used again have no more than `kept_percent`.
    """

    kept_percent: int = 0
    order: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    used_again: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)
    read: list[str] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)  # one for each file, which may have several readers
    quarantined: list[str] = field(default_factory=list)
    halves: dict[str, int] = field(default_factory=dict)

    @property
    def committed_bytes(self) -> int:
        return sum(_charge(key) for key in self.order)

    @property
    def reserved_bytes(self) -> int:
        return sum(_charge(key) for key in self.halves)

    @property
    def leaving_bytes(self) -> int:
        return sum(CONTENTS[key].size_bytes for key in self.leaving)

    @property
    def quarantined_bytes(self) -> int:
        return sum(_charge(key) for key in self.quarantined)

    @property
    def room_bytes(self) -> int:
        charged = self.committed_bytes + self.reserved_bytes + self.leaving_bytes + self.quarantined_bytes
        return LIMIT_BYTES - charged

    @property
    def kept_bytes(self) -> int:
        return max(0, LIMIT_BYTES - sum(map(_charge, self.pinned))) * self.kept_percent // 100

    def add(self, key: str) -> None:
        self.order.append(key)
        self.places.append(key)

    def use(self, key: str) -> None:
        for keys in (self.order, self.places):
            keys.remove(key)
            keys.append(key)
        if _charge(key) <= self.kept_bytes:
            self.used_again.add(key)
        self.fit()

    def fit(self) -> None:
        while sum(map(_charge, self.used_again - self.pinned)) > self.kept_bytes:
            first = next(key for key in self.places if key in self.used_again - self.pinned)
            self.used_again.remove(first)
            self.places.remove(first)
            self.places.append(first)

    def remove(self, key: str) -> None:
        self.order.remove(key)
        self.places.remove(key)
        self.pinned.discard(key)
        self.used_again.discard(key)

    def pin(self, key: str, *, pinned: bool) -> None:
        (self.pinned.add if pinned else self.pinned.discard)(key)
        self.fit()

    def make_room(self, key: str) -> bool:
        """For a fill of this image; whether there is room. If not, at most what was quarantined has gone."""
        if key in self.halves:
            return True
        if _charge(key) > LIMIT_BYTES:
            return False
        if self.room_bytes < _charge(key):
            self.quarantined.clear()
        free_bytes, victims = self.room_bytes, []
        for one in sorted(self.places, key=lambda key: key in self.used_again):  # keeps their places
            if free_bytes >= _charge(key):
                break
            if one not in self.pinned and one not in self.read:
                victims.append(one)
                free_bytes += _charge(one)
        if free_bytes < _charge(key):
            return False
        for one in victims:
            self.remove(one)
        return True


@dataclass(eq=False)
class Hold:
    """A reader that stays while other things happen. `is_gone`: its entry was evicted meanwhile."""

    cache: ImageCache
    key: str
    opened: AbstractAsyncContextManager[Reader]
    reader: Reader
    is_gone: bool = False


def _charge(key: str) -> int:
    return charge_bytes(CONTENTS[key].size_bytes)


class CacheMachine(RuleBasedStateMachine):
    caches: Bundle[ImageCache] = Bundle("caches")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory(prefix="machine")
        self.config = CacheConfig.model_validate(
            {
                "dir": Path(self.folder.name) / "cache",
                "size_max": LIMIT_BYTES,
                "free_min": 0,
                "min_age_s": 0,
                "scrub_rate_max": 0,
                "evict_from_percent": 100,
                "evict_to_percent": 100,
                "range_fill_percent": 0,
                "fill_idle_s": 5,
            }
        )
        self.model = Model()
        self.open: list[ImageCache] = []
        self.holds: list[Hold] = []
        self.clock_s = 0.0
        real_time = time.time
        self.patches = ExitStack()
        for one in (
            structlog.testing.capture_logs(),
            patch("cache.books._ORPHAN_S", 1e9),  # half-filled files stay until `nobody_goes_on`
            patch("cache.resume.pause_s", lambda _failures, _chance: 0.001),
            patch("time.time", lambda: real_time() + self.clock_s),
            patch("os.fsync", lambda _fd: None),
        ):
            self.patches.enter_context(one)

    def teardown(self) -> None:
        try:
            for hold in list(self.holds):
                self._let_go(hold)
            for cache in self.open:
                self._do(cache.__aexit__(None, None, None))
            self._do(self.loop.shutdown_default_executor())
        finally:
            self.patches.close()
            self.loop.close()
            self.folder.cleanup()

    # Caches come and go.

    @initialize(target=caches, policy=st.sampled_from(sorted(KEPT_PERCENT)))
    def begins(self, policy: str) -> ImageCache:
        self.config = self.config.model_copy(update={"policy": policy})
        self.model.kept_percent = KEPT_PERCENT[policy]
        return self._open_cache()

    @precondition(lambda self: len(self.open) < CACHES_MAX)
    @rule(target=caches)
    def one_more_starts(self) -> ImageCache:
        return self._open_cache()

    @precondition(lambda self: len(self.open) > 1)
    @rule(cache=consumes(caches))
    def one_stops(self, cache: ImageCache) -> None:
        self._end(cache)

    @rule(cache=consumes(caches), target=caches)
    def one_starts_again(self, cache: ImageCache) -> ImageCache:
        self._end(cache)
        return self._open_cache()

    @rule(cache=consumes(caches), target=caches, key=KEYS, portion=PORTION)
    def one_dies_in_the_midst_of_a_fill(self, cache: ImageCache, key: str, portion: int) -> ImageCache:
        content = CONTENTS[key]
        released_bytes = min(content.size_bytes - 1, content.size_bytes * portion // 100)
        source = GatedSource(content, released=released_bytes)
        had = self.model.halves.get(key, 0)
        has_upto = max(had, released_bytes)

        async def begin() -> None:
            cache._flights.start(blob_of(content, key), source, may_fill=True)
            await source.asked.wait()
            while (filling := await cache.filling(key)) and filling.written_bytes < has_upto:  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.001)

        if key in self.model.order:
            pass
        elif self.model.make_room(key):
            self._do(begin())
            self.model.halves[key] = has_upto
        else:
            with pytest.raises(CacheUnusable):
                self._do(cache.store(blob_of(content, key), source))
        self._end(cache, is_killed=True)
        return self._open_cache()

    # Clients.

    @rule(cache=caches, key=KEYS)
    def somebody_gets_all(self, cache: ImageCache, key: str) -> None:
        self._get(cache, key, GatedSource(CONTENTS[key]))

    @rule(cache=caches, key=KEYS, portions=st.tuples(PORTION, PORTION).filter(lambda both: both[0] != both[1]))
    def somebody_gets_a_part(self, cache: ImageCache, key: str, portions: tuple[int, int]) -> None:
        size_bytes = CONTENTS[key].size_bytes
        start, stop = sorted(size_bytes * portion // 100 for portion in portions)
        if start < stop:
            self._get(cache, key, GatedSource(CONTENTS[key]), start=start, stop=stop)

    @rule(cache=caches, key=KEYS, portion=PORTION)
    def somebody_leaves_early(self, cache: ImageCache, key: str, portion: int) -> None:
        self._get(cache, key, GatedSource(CONTENTS[key]), leaves_at=CONTENTS[key].size_bytes * portion // 100)

    @rule(first=caches, second=caches, key=KEYS)
    def two_get_the_same_at_once(self, first: ImageCache, second: ImageCache, key: str) -> None:
        sources = GatedSource(CONTENTS[key]), GatedSource(CONTENTS[key])
        was_there = key in self.model.order
        is_to_fill = not was_there and self.model.make_room(key)

        async def both() -> list[Outcome]:
            return await asyncio.gather(
                *(self._fetch(cache, key, source) for cache, source in zip((first, second), sources, strict=True))
            )

        outcomes = self._do(both())
        if was_there:
            assert outcomes == [Outcome.HIT, Outcome.HIT]
            self.model.use(key)
        elif is_to_fill:
            assert Outcome.BYPASS not in outcomes
            assert sum(source.opened for source in sources) == 1
            self._filled(key)
            if Outcome.HIT in outcomes:  # one of them came when the other had all
                self.model.use(key)
        else:
            assert outcomes == [Outcome.BYPASS, Outcome.BYPASS]

    @precondition(lambda self: len(self.holds) < 3)
    @rule(cache=caches, key=KEYS)
    def somebody_begins_to_read(self, cache: ImageCache, key: str) -> None:
        if key not in self.model.order:
            return
        opened = cache.open(blob_of(CONTENTS[key], key), GatedSource(CONTENTS[key], refuse=AssertionError()))
        reader = self._do(opened.__aenter__())
        assert reader.outcome is Outcome.HIT
        self.model.use(key)
        self.model.read.append(key)
        self.holds.append(Hold(cache, key, opened, reader))

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 2))
    def he_reads_to_the_end(self, which: int) -> None:
        hold = self.holds[which % len(self.holds)]
        assert self._do(_body(hold.reader)) == CONTENTS[hold.key].read()
        self._let_go(hold)

    @rule(cache=caches, key=KEYS)
    def an_image_is_stored(self, cache: ImageCache, key: str) -> None:
        source = GatedSource(CONTENTS[key])
        if key in self.model.order:
            self._do(cache.store(blob_of(CONTENTS[key], key), source))
            assert source.opened == 0
        elif self.model.make_room(key):
            self._do(cache.store(blob_of(CONTENTS[key], key), source))
            assert source.offsets in ([self.model.halves.get(key, 0)], [])
            self._filled(key)
        else:
            with pytest.raises(CacheUnusable):
                self._do(cache.store(blob_of(CONTENTS[key], key), source))

    # The store is not well.

    @rule(cache=caches, key=KEYS, portion=PORTION)
    def the_store_breaks_once(self, cache: ImageCache, key: str, portion: int) -> None:
        cut = CONTENTS[key].size_bytes * portion // 100
        self._get(cache, key, GatedSource(CONTENTS[key], cuts=[cut]))

    @rule(cache=caches, key=KEYS, portion=PORTION, others=st.sampled_from((0, 1)))
    def the_store_is_wrong_once(self, cache: ImageCache, key: str, portion: int, others: int) -> None:
        content = CONTENTS[key]
        if key in self.model.order or key in self.model.halves:
            return
        source = GatedSource(content, flip_at=content.size_bytes * portion // 101, others=others)
        is_to_fill = self.model.make_room(key)
        with pytest.raises(DigestMismatch):
            self._do(self._fetch(cache, key, source))
        if is_to_fill and others:
            self._filled(key)

    # The operator.

    @rule(cache=caches, key=KEYS)
    def an_entry_is_evicted(self, cache: ImageCache, key: str) -> None:
        was_there = key in self.model.order
        assert self._do(cache.evict(key)) == (CONTENTS[key].size_bytes if was_there else None)
        if was_there:
            self.model.remove(key)
            self._goes(key, self.model.leaving)

    @rule(cache=caches, key=KEYS, pinned=st.booleans())
    def an_entry_is_pinned_or_not(self, cache: ImageCache, key: str, pinned: bool) -> None:
        assert self._do(cache.pin(key, pinned=pinned)) is (key in self.model.order)
        if key in self.model.order:
            self.model.pin(key, pinned=pinned)

    @rule(cache=caches, key=KEYS, portion=PORTION, is_damaged=st.booleans())
    def an_entry_is_verified(self, cache: ImageCache, key: str, portion: int, is_damaged: bool) -> None:
        if key in self.model.order and key not in self.model.read and is_damaged:
            path = self.config.dir / "entries" / key[:2] / key
            flip(path, CONTENTS[key].size_bytes * portion // 101)
            assert self._do(cache.verify(key)) is Verdict.DAMAGED
            self.model.remove(key)
            self.model.quarantined.append(key)
        else:
            expected = Verdict.WHOLE if key in self.model.order else Verdict.ABSENT
            assert self._do(cache.verify(key)) is expected

    # The machine.

    @rule(days=st.sampled_from((-1, 1)))
    def the_clock_jumps(self, days: int) -> None:
        self.clock_s += days * DAY_S

    @precondition(lambda self: self.model.halves)
    @rule(cache=caches)
    def nobody_goes_on(self, cache: ImageCache) -> None:
        """With half-filled files, for longer than they are kept."""
        with patch("cache.books._ORPHAN_S", 0):
            for _ in range(3):  # seen, told, gone
                self._do(cache._ledger.sweep())
        self.model.halves.clear()

    # What is true after each step.

    @invariant()
    def all_know_what_is_there_and_who_is_next(self) -> None:
        for cache in self.open:
            self._do(cache.entries())  # behind all uses it has noted, those too that are being written down just now
        for cache in self.open:
            entries = self._do(cache.entries())
            assert [entry.key for entry in reversed(entries)] == self.model.order
            assert {entry.key for entry in entries if entry.pinned} == self.model.pinned

    @invariant()
    def what_is_counted_is_there_and_within_the_limit(self) -> None:
        for cache in self.open:
            usage = self._do(self._usage(cache))
            assert usage.committed_bytes == self.model.committed_bytes == self._lying("entries")
            assert usage.reserved_bytes == self.model.reserved_bytes
            assert usage.leaving_bytes == self.model.leaving_bytes == self._lying("leaving")
            assert usage.quarantined_bytes == self.model.quarantined_bytes == self._lying("quarantine")
        assert self._lying("fills") == sum(self.model.halves.values())

    async def _usage(self, cache: ImageCache) -> Usage:
        """Once nobody else looks at what leaves: a file that another cache has open for that is still counted."""
        while True:
            usage = await cache.usage()
            assert usage.charged_bytes <= LIMIT_BYTES
            if usage.leaving_bytes == self.model.leaving_bytes:
                return usage
            await asyncio.sleep(0.001)

    # How it is done.

    def _do(self, work: Awaitable[T]) -> T:
        async def within() -> T:
            async with asyncio.timeout(_QUIET_S):
                return await work

        return self.loop.run_until_complete(within())

    def _open_cache(self) -> ImageCache:
        cache = ImageCache(self.config, Instruments())
        self._do(cache.__aenter__())
        self.open.append(cache)
        return cache

    def _end(self, cache: ImageCache, *, is_killed: bool = False) -> None:
        """A killed one leaves what it has on disk; what it would still note is lost."""
        for hold in [hold for hold in self.holds if hold.cache is cache]:
            self._let_go(hold)
        if is_killed:
            cache._ledger._touched.clear()
        self._do(cache.__aexit__(None, None, None))
        self.open.remove(cache)

    def _let_go(self, hold: Hold) -> None:
        self._do(hold.opened.__aexit__(None, None, None))
        self.holds.remove(hold)
        if not hold.is_gone:
            self.model.read.remove(hold.key)
        elif not any(other.is_gone and other.key == hold.key for other in self.holds):
            self.model.leaving = [key for key in self.model.leaving if key != hold.key]

    def _goes(self, key: str, to: list[str]) -> None:
        """An entry leaves its place; with its last reader it is gone."""
        if key in self.model.read:
            to.append(key)
            self.model.read = [one for one in self.model.read if one != key]
            for hold in self.holds:
                hold.is_gone |= hold.key == key

    def _get(
        self, cache: ImageCache, key: str, source: GatedSource, *, start: int = 0, stop: int | None = None, **how: Any
    ) -> None:
        was_there, half = key in self.model.order, self.model.halves.get(key)
        is_to_fill = not was_there and self.model.make_room(key)
        outcome = self._do(self._fetch(cache, key, source, start=start, stop=stop, **how))
        if was_there:
            assert outcome is Outcome.HIT
            assert source.opened == 0
            self.model.use(key)
        elif is_to_fill:
            assert outcome in (Outcome.MISS, Outcome.JOIN), outcome
            self._filled(key)
            if half is not None and CONTENTS[key].size_bytes > half:
                assert source.offsets[0] == half
        else:
            assert outcome is Outcome.BYPASS

    async def _fetch(
        self,
        cache: ImageCache,
        key: str,
        source: GatedSource,
        *,
        start: int = 0,
        stop: int | None = None,
        leaves_at: int | None = None,
    ) -> Outcome:
        """Gets the bytes, compares them, and waits until nothing is on its way any more."""
        content = CONTENTS[key]
        try:
            async with cache.open(blob_of(content, key), source, start=start, stop=stop) as reader:
                upto = leaves_at if leaves_at is not None else stop
                assert await _body(reader, start, upto) == content.read(start, upto)
                return reader.outcome
        finally:
            while any(one._flights._tasks for one in self.open):  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.001)

    def _filled(self, key: str) -> None:
        self.model.halves.pop(key, None)
        self.model.add(key)

    def _lying(self, part: str) -> int:
        return sum(path.stat().st_size for path in (self.config.dir / part).rglob("*") if path.is_file())


async def _body(reader: Reader, start: int = 0, stop: int | None = None) -> bytes:
    """What a client gets: from the file as far as the cache lasts, then past it."""
    assert reader.blob.size_bytes is not None
    stop = reader.blob.size_bytes if stop is None else stop
    body = bytearray()
    with suppress(CacheUnusable):
        while reader.has_file and start + len(body) < stop:
            at = start + len(body)
            upto = min(await reader.beyond(at), stop)
            body += os.pread(reader.fd, upto - at, at)
    if start + len(body) < stop:
        async with reader.direct(start + len(body)) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) >= stop - start:
                    break
    return bytes(body[: stop - start])


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        pytest.param(40, 25, marks=pytest.mark.timeout(900)),  # seconds; but to shorten what fails takes minutes
        pytest.param(500, 60, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_a_cache_does_what_a_dict_would(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        CacheMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
