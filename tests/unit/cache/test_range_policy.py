from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.range_policy import (
    HISTORY_KEYS_MAX,
    HISTORY_PARTS_MAX,
    Answer,
    FillRate,
    RangeHistory,
    RangeLimits,
    decide_when_absent,
    decide_while_filling,
)
from cache.types import MIB, Span

SIZE = 1000 * MIB
LIMITS = RangeLimits(range_wait_s=2.0, range_fill_percent=25)


@pytest.mark.parametrize(
    ("start", "rate", "is_read_free", "answer"),
    [
        (0, 10 * MIB, True, Answer.READ),
        (100 * MIB - 1, None, False, Answer.READ),
        (100 * MIB, 10 * MIB, True, Answer.WAIT),
        (120 * MIB, 10 * MIB, True, Answer.WAIT),
        (120 * MIB + 1, 10 * MIB, True, Answer.DIRECT),
        (900 * MIB, 10 * MIB, False, Answer.WAIT),
        (900 * MIB, 500 * MIB, True, Answer.WAIT),
        # Not measured yet: 32 MiB/s.
        (164 * MIB, None, True, Answer.WAIT),
        (165 * MIB, None, True, Answer.DIRECT),
        # Standing still: it will not even bring the next byte.
        (100 * MIB, 0.0, True, Answer.DIRECT),
        (100 * MIB, 0.0, False, Answer.WAIT),
    ],
)
def test_a_range_of_a_running_fill_is_answered_by_how_soon_it_is_there(
    start: int, rate: float | None, is_read_free: bool, answer: Answer
) -> None:
    decided = decide_while_filling(
        Span(start, SIZE), LIMITS, watermark_bytes=100 * MIB, rate_bytes_per_s=rate, is_read_free=is_read_free
    )
    assert decided is answer


@pytest.mark.parametrize(
    ("span", "asked_bytes", "answer"),
    [
        (Span(0, SIZE), SIZE, Answer.FILL),
        (Span(0, MIB + 1), MIB + 1, Answer.FILL),
        (Span(0, 64 * 1024), 64 * 1024, Answer.DIRECT),
        (Span(0, MIB), MIB, Answer.DIRECT),
        (Span(0, MIB), 250 * MIB, Answer.FILL),
        (Span(1, 10), 9, Answer.DIRECT),
        (Span(900 * MIB, 901 * MIB), 250 * MIB - 1, Answer.DIRECT),
        (Span(900 * MIB, 901 * MIB), 250 * MIB, Answer.FILL),
    ],
)
def test_a_range_of_an_idle_image_starts_a_fill_when_more_is_to_be_expected(
    span: Span, asked_bytes: int, answer: Answer
) -> None:
    decided = decide_when_absent(span, LIMITS, size_bytes=SIZE, asked_bytes=asked_bytes, is_read_free=True)
    assert decided is answer


@pytest.mark.parametrize("size_bytes", [0, 1, 100, MIB])
def test_all_of_a_small_image_is_no_look_at_its_header(size_bytes: int) -> None:
    asked = Span(0, size_bytes)
    decided = decide_when_absent(asked, LIMITS, size_bytes=size_bytes, asked_bytes=0, is_read_free=True)
    assert decided is Answer.FILL


def test_without_room_for_a_direct_read_a_fill_is_started() -> None:
    span = Span(1, 2)
    assert decide_when_absent(span, LIMITS, size_bytes=SIZE, asked_bytes=1, is_read_free=False) is Answer.FILL


def test_zero_percent_means_that_any_range_starts_a_fill() -> None:
    limits = replace(LIMITS, range_fill_percent=0)
    assert decide_when_absent(Span(1, 2), limits, size_bytes=SIZE, asked_bytes=1, is_read_free=True) is Answer.FILL


def test_the_same_bytes_do_not_count_twice() -> None:
    history = RangeHistory()
    assert history.add("image", Span(10, 20), 0.0) == 10
    assert history.add("image", Span(10, 20), 0.0) == 10
    assert history.add("image", Span(15, 25), 100.0) == 15
    assert history.add("other", Span(0, 5), 100.0) == 5


def test_what_was_asked_for_long_ago_does_not_count() -> None:
    history = RangeHistory()
    history.add("image", Span(0, 100), 0.0)
    assert history.add("image", Span(200, 210), 599.0) == 110
    assert history.add("image", Span(300, 301), 600.0) == 11


def test_a_started_fill_clears_the_history() -> None:
    history = RangeHistory()
    history.add("image", Span(0, 100), 0.0)
    history.forget("image")
    history.forget("never asked for")
    assert history.add("image", Span(200, 201), 1.0) == 1


def test_the_history_is_bounded_and_forgets_the_least_recent_image() -> None:
    history = RangeHistory()
    for number in range(HISTORY_KEYS_MAX):
        history.add(f"image-{number}", Span(0, 10), 0.0)
    history.add("image-0", Span(10, 20), 0.0)
    history.add("one more", Span(0, 10), 0.0)
    assert len(history) == HISTORY_KEYS_MAX
    assert history.add("image-0", Span(0, 1), 0.0) == 20
    assert history.add("image-1", Span(0, 1), 0.0) == 1


def test_a_reader_of_many_small_parts_in_a_row_takes_one_part() -> None:
    history = RangeHistory()
    for number in range(10 * HISTORY_PARTS_MAX):
        asked_bytes = history.add("image", Span(4096 * number, 4096 * (number + 1)), 0.0)
    assert asked_bytes == 4096 * 10 * HISTORY_PARTS_MAX


def test_scattered_parts_beyond_the_bound_are_forgotten_oldest_first() -> None:
    history = RangeHistory()
    for number in range(HISTORY_PARTS_MAX + 50):
        asked_bytes = history.add("image", Span(10 * number, 10 * number + 1), float(number))
    assert asked_bytes == HISTORY_PARTS_MAX


@settings(max_examples=100, deadline=None, print_blob=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 20), st.sampled_from([0.0, 7.0, 60.0, 130.0, 599.0])),
        max_size=25,
    ),
)
def test_asked_bytes_are_those_of_a_byte_by_byte_model(ranges: list[tuple[int, int, float]]) -> None:
    """Parts may expire up to a minute early, never late."""
    history, asked_s, now_s = RangeHistory(), dict[int, float](), 0.0
    for start, length, pause_s in ranges:
        now_s += pause_s
        asked_s |= dict.fromkeys(range(start, start + length), now_s)
        least = sum(now_s - at_s <= 540 for at_s in asked_s.values())
        most = sum(now_s - at_s < 600 for at_s in asked_s.values())
        assert least <= history.add("image", Span(start, start + length), now_s) <= most


def test_a_fill_that_was_just_started_has_no_rate() -> None:
    rate = FillRate()
    assert rate.bytes_per_s(0.0) is None
    rate.sample(0.0, 0)
    rate.sample(0.1, 50 * MIB)
    assert rate.bytes_per_s(0.1) is None
    assert rate.bytes_per_s(0.5) == 100 * MIB


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = FillRate()
    for tenth in range(101):
        rate.sample(tenth / 10, 10 * tenth)  # 100 per second
    for tenth in range(101, 201):
        rate.sample(tenth / 10, 1000 + 100 * (tenth - 100))  # ten times as fast
    assert rate.bytes_per_s(20.0) == pytest.approx(1000, rel=0.02)


def test_a_fill_taken_over_in_its_middle_has_not_brought_what_was_there() -> None:
    rate = FillRate()
    rate.sample(0.0, 500 * MIB)
    rate.sample(1.0, 510 * MIB)
    assert rate.bytes_per_s(1.0) == 10 * MIB


def test_a_fill_that_stands_still_slows_down_to_nothing() -> None:
    rate = FillRate()
    for tenth in range(51):
        rate.sample(tenth / 10, tenth * MIB)
    rates = [rate.bytes_per_s(5.0 + second) for second in range(7)]
    assert rates == sorted(rates, key=lambda value: -(value or 0))
    assert rates[-1] == 0


def test_samples_are_bounded_however_often_they_come() -> None:
    rate = FillRate()
    for number in range(20_000):
        rate.sample(number / 1000, number)
    assert rate.bytes_per_s(20.0) == pytest.approx(1000, rel=0.03)
    assert len(rate._samples) < 100
