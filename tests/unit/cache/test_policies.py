"""Which policy spares the stores how much, by traces: what is read once must not cost what is used again and again."""

from random import Random
from typing import get_args

import pytest

from cache import POLICIES, Download, Policy, replay
from cache.types import CacheConfig
from tests.content import GIB
from tests.unit.cache.traces import DAY_S, HOUR_S, download, next_version, scan, sizes_of, storm, zipf

MIN_AGE_S = CacheConfig().min_age_s


SEED = 25


@pytest.fixture
def chance() -> Random:
    """The same for ever: how much a policy spares differs a little from trace to trace."""
    return Random(SEED)


def hit_bytes(downloads: list[Download], policy: str, size_max_bytes: int) -> int:
    return replay(downloads, POLICIES[policy], size_max_bytes=size_max_bytes, min_age_s=MIN_AGE_S).hit_bytes


def lost_share(
    before: list[Download], meanwhile: list[Download], size_max_bytes: int, lasts_s: float
) -> dict[str, float]:
    """By policy: of the bytes asked for meanwhile, what a scan at the same time keeps from coming out of the cache."""
    start_s = 3 * DAY_S
    scanned = scan([size_max_bytes // 30] * 300, start_s=start_s, stop_s=start_s + lasts_s)
    quiet, disturbed = before + meanwhile, before + meanwhile + scanned
    sent_bytes = sum(one.sent_bytes for one in meanwhile)
    return {
        policy: (hit_bytes(quiet, policy, size_max_bytes) - hit_bytes(disturbed, policy, size_max_bytes)) / sent_bytes
        for policy in POLICIES
    }


@pytest.mark.parametrize(
    ("images", "exponent", "lasts_s"),
    [
        (50, 0.8, 6 * HOUR_S),
        (50, 1.2, MIN_AGE_S / 2),  # all that is swept is young
        (300, 1.0, 6 * HOUR_S),
        (600, 1.2, MIN_AGE_S / 2),
        pytest.param(2000, 0.8, 6 * HOUR_S, marks=pytest.mark.long),
        pytest.param(2000, 1.2, MIN_AGE_S / 2, marks=pytest.mark.long),
    ],
)
def test_a_scan_of_ten_times_the_cache_costs_what_is_hot_five_points_at_most(
    images: int, exponent: float, lasts_s: float, chance: Random
) -> None:
    """The hot images are two thirds of the cache, and each was used again before the scan begins."""
    sizes = sizes_of(chance, images)
    before = scan(sizes, start_s=0, stop_s=DAY_S, prefix="hot") + scan(
        sizes, start_s=DAY_S, stop_s=2 * DAY_S, prefix="hot"
    )
    meanwhile = zipf(chance, sizes, exponent, count=800, start_s=3 * DAY_S, stop_s=3 * DAY_S + lasts_s)
    lost = lost_share(before, meanwhile, sum(sizes) * 3 // 2, lasts_s)
    assert lost["slru"] <= 0.05
    assert lost["lru"] >= 0.15


def test_what_was_used_once_before_a_scan_is_missed_once_and_stays_from_its_next_use_on(chance: Random) -> None:
    """No policy can tell it from what is scanned. Who cannot have that pins it, or scans with no-store."""
    sizes = sizes_of(chance, 50)
    size_max_bytes = sum(sizes) * 3 // 2

    def hot(day: int) -> list[Download]:
        return scan(sizes, start_s=day * DAY_S, stop_s=(day + 0.5) * DAY_S, prefix="hot")

    def swept(day: int) -> list[Download]:
        sweep = [size_max_bytes // 30] * 300
        return scan(sweep, start_s=day * DAY_S, stop_s=(day + 0.5) * DAY_S, prefix=f"swept-{day}")

    used_once = hot(0) + swept(1) + hot(2)
    assert hit_bytes(used_once, "slru", size_max_bytes) == 0
    assert hit_bytes(used_once + hot(3) + swept(4) + hot(5), "slru", size_max_bytes) == 2 * sum(sizes)


def test_a_scan_costs_little_also_where_much_is_not_hot(chance: Random) -> None:
    """The cache holds half of the images: what is asked for now and then is lost, what is asked for often stays."""
    sizes = sizes_of(chance, 300)
    before = zipf(chance, sizes, 1.0, count=3000, start_s=0, stop_s=3 * DAY_S)
    meanwhile = zipf(chance, sizes, 1.0, count=800, start_s=3 * DAY_S, stop_s=3 * DAY_S + HOUR_S)
    lost = lost_share(before, meanwhile, sum(sizes) // 2, HOUR_S)
    assert lost["slru"] <= 0.05
    assert lost["lru"] >= 0.15


def test_a_sweep_every_night_costs_the_days_little(chance: Random) -> None:
    sizes = sizes_of(chance, 100)
    size_max_bytes = sum(sizes) // 2
    days = zipf(chance, sizes, 1.0, count=2000, start_s=0, stop_s=7 * DAY_S)
    archive = [size_max_bytes // 10] * 100
    nights = [one for day in range(1, 7) for one in scan(archive, start_s=day * DAY_S, stop_s=day * DAY_S + 400)]
    quiet, swept = hit_bytes(days, "slru", size_max_bytes), hit_bytes(days + nights, "slru", size_max_bytes)
    assert quiet - swept <= 0.05 * sum(one.sent_bytes for one in days)
    assert swept > hit_bytes(days + nights, "lru", size_max_bytes)


def test_new_versions_of_all_images_take_the_place_of_the_old_ones(chance: Random) -> None:
    """What was used again once must not stay for ever: a change of all at once costs some points at first."""
    sizes = sizes_of(chance, 200)
    size_max_bytes = sum(sizes) // 2
    old = zipf(chance, sizes, 1.0, count=2000, start_s=0, stop_s=DAY_S)
    new = next_version(zipf(chance, sizes, 1.0, count=2000, start_s=DAY_S, stop_s=2 * DAY_S))
    gained = {
        policy: hit_bytes(old + new, policy, size_max_bytes) - hit_bytes(old, policy, size_max_bytes)
        for policy in POLICIES
    }
    assert gained["slru"] >= gained["lru"] - 0.10 * sum(one.sent_bytes for one in new)


def test_a_boot_storm_is_one_read_of_the_store_and_no_second_use() -> None:
    """After it a scan takes the image along; after a real second use it does not."""
    boots = storm("new", GIB, count=200, start_s=0, lasts_s=60)
    scanned = scan([GIB] * 100, start_s=HOUR_S, stop_s=2 * HOUR_S)
    again = download("new", GIB, 3 * HOUR_S)
    replayed = replay([*boots, *scanned, again], POLICIES["slru"], size_max_bytes=10 * GIB, min_age_s=MIN_AGE_S)
    assert (replayed.hits, replayed.store_bytes) == (199, 102 * GIB)
    used = download("new", GIB, HOUR_S / 2)
    replayed = replay([*boots, used, *scanned, again], POLICIES["slru"], size_max_bytes=10 * GIB, min_age_s=MIN_AGE_S)
    assert (replayed.hits, replayed.store_bytes) == (201, 101 * GIB)


def test_the_configuration_knows_every_policy() -> None:
    assert get_args(CacheConfig.model_fields["policy"].annotation) == tuple(POLICIES)


def test_a_policy_is_a_row_of_shares(chance: Random) -> None:
    sizes = sizes_of(chance, 60)
    downloads = zipf(chance, sizes, 1.0, count=600, start_s=0, stop_s=DAY_S)
    three = Policy(shares_percent=(40, 40))
    replayed = replay(downloads, three, size_max_bytes=sum(sizes) // 3, min_age_s=MIN_AGE_S)
    assert replayed.requests == 600
    assert 0 < replayed.hits < 600
    assert replayed.hit_bytes <= replayed.sent_bytes <= replayed.hit_bytes + replayed.store_bytes
    assert replayed.evictions > 0


@pytest.mark.parametrize(("hits", "charge_bytes", "segment"), [(1, 40, 1), (2, 40, 2), (9, 40, 2), (9, 41, 0)])
def test_an_entry_moves_on_by_its_hits_as_far_as_it_fits(hits: int, charge_bytes: int, segment: int) -> None:
    policy = Policy(shares_percent=(40, 40))
    assert policy.after_hits(0, hits, charge_bytes=charge_bytes, space_bytes=100) == segment


def test_parts_fill_the_cache_once_enough_was_asked_for() -> None:
    part = Download(key="a", size_bytes=100, sent_bytes=20)
    replayed = replay([part] * 4, POLICIES["slru"], size_max_bytes=1000, range_fill_percent=50)
    assert (replayed.hits, replayed.store_bytes) == (1, 20 + 20 + 100)


def test_what_has_no_room_is_read_past_the_cache() -> None:
    replayed = replay([download("a", 2000, 0)] * 2, POLICIES["slru"], size_max_bytes=1000)
    assert (replayed.hits, replayed.store_bytes, replayed.eviction_age_s) == (0, 4000, None)


def test_the_eviction_age_is_the_time_since_the_last_use() -> None:
    at_s = [("a", 0.0), ("a", 100.0), ("b", 200.0), ("c", 1100.0)]
    replayed = replay([download(key, 600, at) for key, at in at_s], POLICIES["lru"], size_max_bytes=1000)
    assert (replayed.evictions, replayed.eviction_age_s) == (2, (100 + 900) / 2)
