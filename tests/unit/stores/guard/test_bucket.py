"""How many bytes per second are let through."""

from hypothesis import given, settings
from hypothesis import strategies as st

from upstream.stores.guard.bucket import Bucket


def test_a_quarter_of_a_second_goes_at_once_and_the_rest_at_the_rate() -> None:
    bucket = Bucket(1000, 0.0)
    bucket.take(250, 0.0)
    assert bucket.wait_s(0.0) == 0

    bucket.take(500, 0.0)

    assert bucket.wait_s(0.0) == 0.5
    assert bucket.wait_s(0.2) == 0.3
    assert bucket.wait_s(0.5) == 0


def test_what_was_not_used_does_not_pile_up() -> None:
    bucket = Bucket(1000, 0.0)
    bucket.take(250 + 1000, 3600.0)

    assert bucket.wait_s(3600.0) == 1.0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(1000, 10.0)
    bucket.take(1250, 10.0)

    assert bucket.wait_s(5.0) == 1.0
    assert bucket.wait_s(11.0) == 0


@settings(max_examples=100, deadline=None)
@given(
    rate=st.integers(1, 10**9),
    pieces=st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 5)), min_size=1, max_size=50),
)
def test_in_any_time_no_more_than_the_rate_the_burst_and_one_piece(rate: int, pieces: list[tuple[int, float]]) -> None:
    bucket, now_s, moved = Bucket(rate, 0.0), 0.0, 0
    for size_bytes, pause_s in pieces:
        now_s += pause_s
        now_s += bucket.wait_s(now_s)
        allowed = rate * (now_s + 0.25)
        assert moved <= allowed * (1 + 1e-9) + 1
        bucket.take(size_bytes, now_s)
        moved += size_bytes
