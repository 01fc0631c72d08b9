"""Who has to go, and that nobody else does: for any cache, with any history."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.disk import Found, charge_bytes
from cache.errors import CacheFull
from cache.index import Index
from cache.lru import Candidate, choose_victims, next_to_go
from cache.policies import POLICIES, Policy
from cache.types import Blob

LIMIT_BYTES = 1000
MIN_AGE_S = 10.0
SLRU = POLICIES["slru"]

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.integers(0, 10**9).map("image-{}".format),
        st.integers(1, 300),
        pinned=st.booleans(),
        is_young=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda candidate: candidate.key,
)


@given(candidates=CANDIDATES, need_bytes=st.integers(0, 1500), free_bytes=st.integers(-500, 1000), data=st.data())
def test_victims_are_enough_and_no_more_and_never_pinned_or_read(
    candidates: list[Candidate], need_bytes: int, free_bytes: int, data: st.DataObject
) -> None:
    read = data.draw(st.sets(st.sampled_from(candidates).map(lambda one: one.key))) if candidates else set()
    free = {one.key: one.charge_bytes for one in candidates if not one.pinned and one.key not in read}

    def chosen() -> list[Candidate]:
        return choose_victims(candidates, need_bytes=need_bytes, free_bytes=free_bytes, limit_bytes=0, read=read)

    if free_bytes + sum(free.values()) < need_bytes:
        with pytest.raises(CacheFull):
            chosen()
        return
    victims = chosen()
    assert [one.key for one in victims] == list(free)[: len(victims)]
    freed = sum(one.charge_bytes for one in victims)
    assert free_bytes + freed >= need_bytes
    assert not victims or free_bytes + freed - victims[-1].charge_bytes < need_bytes


@given(candidates=CANDIDATES)
def test_nobody_goes_ahead_of_need_who_is_pinned_or_stands_behind_a_young_one(candidates: list[Candidate]) -> None:
    victim = next_to_go(candidates)
    if victim is not None:
        before = candidates[: candidates.index(victim)]
        assert not victim.pinned
        assert not victim.is_young
        assert all(one.pinned and not one.is_young for one in before)


@dataclass
class Life:
    """An index as the ledger uses it, on a clock of its own."""

    index: Index
    now_s: list[float]
    sizes: dict[str, int] = field(default_factory=dict)

    def fill(self, key: str, size_bytes: int) -> list[Candidate]:
        """The victims. If there is no room, nothing happens."""
        if key in self.sizes:
            return []
        try:
            victims = choose_victims(
                self.index.candidates(self.now_s[0] - MIN_AGE_S),
                need_bytes=charge_bytes(size_bytes),
                free_bytes=LIMIT_BYTES - self.index.usage().charged_bytes,
                limit_bytes=LIMIT_BYTES,
            )
        except CacheFull:
            return []
        for victim in victims:
            self.index.forget(victim.key, lambda _: False)
            del self.sizes[victim.key]
        blob = Blob(key=key, size_bytes=size_bytes)
        assert self.index.promise(key, blob, LIMIT_BYTES, int)
        self.index.commit(key, blob, lambda _: False, lambda key: Found(key, size_bytes, 0))
        self.sizes[key] = size_bytes
        return victims

    def hit(self, key: str, policy: Policy = SLRU) -> None:
        self.index.touch({key: 1}, policy, LIMIT_BYTES)

    def pin(self, key: str, *, pinned: bool) -> None:
        self.index.pin(key, pinned=pinned)
        self.index.fit(SLRU, LIMIT_BYTES)

    def bytes_of(self, condition: str) -> int:
        size_bytes: int
        (size_bytes,) = self.index._db.execute(
            f"SELECT coalesce(sum(charge_bytes), 0) FROM entries WHERE {condition}"
        ).fetchone()
        return size_bytes

    @property
    def order(self) -> list[str]:
        """Those on probation, then the protected, the next to go first."""
        return [one.key for one in self.index.candidates(self.now_s[0] - MIN_AGE_S)]


@contextmanager
def life() -> Iterator[Life]:
    now_s = [1000.0]
    with closing(Index(None, clock=lambda: now_s[0])) as index:
        yield Life(index, now_s)


KEY = st.integers(0, 7).map("image-{}".format)
HIT = st.tuples(st.just("hit"), KEY, st.just(0))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), KEY, st.integers(50, 300)),
        HIT,
        HIT,  # more often
        st.tuples(st.sampled_from(["pin", "unpin", "unpin"]), KEY, st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([1, 11])),
    ),
    min_size=40,
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_the_protected_stay_within_their_part_and_new_ones_keep_their_time_in_the_rest(
    steps: list[tuple[str, str, int]],
) -> None:
    with life() as one:
        for what, key, number in steps:
            if what == "wait":
                one.now_s[0] += number
            elif what == "hit":
                one.hit(key)
            elif what in {"pin", "unpin"}:
                one.pin(key, pinned=what == "pin")
            else:
                space_bytes = LIMIT_BYTES - one.bytes_of("pinned")
                since_s = one.now_s[0] - MIN_AGE_S
                young_bytes = one.bytes_of(f"NOT pinned AND segment = 0 AND created_at_s > {since_s}")
                is_within = young_bytes + charge_bytes(number) <= space_bytes - SLRU.part_bytes(1, space_bytes)
                victims = one.fill(key, number)
                assert not (is_within and any(victim.is_young for victim in victims))
            protected_bytes = one.bytes_of("NOT pinned AND segment = 1")
            assert protected_bytes <= SLRU.part_bytes(1, LIMIT_BYTES - one.bytes_of("pinned"))
            assert one.bytes_of("segment > 1") == 0
            assert dict(one.index._db.execute("SELECT segment, charge_bytes FROM segments WHERE segment < 2")) == {
                -1: one.bytes_of("pinned"),
                0: one.bytes_of("NOT pinned AND segment = 0"),
                1: protected_bytes,
            }


def test_what_was_used_again_goes_last_and_falls_back_when_others_are() -> None:
    with life() as one:
        for key in ("image-a", "image-b", "image-c"):
            one.fill(key, 300)
        one.now_s[0] += 2 * MIN_AGE_S
        one.hit("image-a")
        assert one.order == ["image-b", "image-c", "image-a"]
        one.hit("image-b")
        one.hit("image-c")  # the third is too much for four fifths: the first is on probation again, as the latest
        assert one.order == ["image-a", "image-b", "image-c"]
        one.fill("image-d", 50)
        assert one.order == ["image-a", "image-d", "image-b", "image-c"]


def test_a_new_one_goes_before_what_was_used_again_and_after_what_was_not() -> None:
    with life() as one:
        for key in ("used-again", "read-once"):
            one.fill(key, 100)
        one.hit("used-again")
        one.now_s[0] += 2 * MIN_AGE_S
        one.fill("new", 100)
        assert one.order == ["read-once", "new", "used-again"]
        one.now_s[0] += 2 * MIN_AGE_S
        one.hit("read-once", POLICIES["lru"])
        assert one.order == ["new", "read-once", "used-again"]


def test_without_a_protected_part_the_order_is_that_of_use() -> None:
    with life() as one:
        for key in ("image-a", "image-b", "image-c"):
            one.fill(key, 100)
        one.hit("image-a")
        one.now_s[0] += 2 * MIN_AGE_S
        one.index.fit(POLICIES["lru"], LIMIT_BYTES)
        one.hit("image-b", POLICIES["lru"])
        assert one.order == ["image-c", "image-a", "image-b"]
        assert one.bytes_of("segment > 0") == 0


def test_what_has_fallen_back_goes_before_a_new_one() -> None:
    with life() as one:
        for key in ("image-a", "image-b", "image-c"):
            one.fill(key, 300)
        one.now_s[0] += 2 * MIN_AGE_S
        one.fill("new", 50)
        for key in ("image-a", "image-b", "image-c"):
            one.hit(key)
        assert one.order == ["image-a", "new", "image-b", "image-c"]


def test_what_is_pinned_takes_nothing_from_the_others_part() -> None:
    """Of what is left to the policy a fifth is still for new ones."""
    with life() as one:
        for key in ("image-a", "image-b", "image-c"):
            one.fill(key, 200)
            one.hit(key)
        assert one.bytes_of("segment = 1") == one.bytes_of("TRUE")
        one.pin("image-c", pinned=True)
        one.fill("pinned", 300)
        one.pin("pinned", pinned=True)
        one.now_s[0] += 2 * MIN_AGE_S
        assert one.order == ["pinned", "image-a", "image-b", "image-c"]
