"""When to ask again."""

from datetime import UTC, datetime

import pytest

from upstream.retry import retry_after_s, slot_s

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("7", 7),
        (" 0 ", 0),
        ("Thu, 01 Jan 2026 12:01:30 GMT", 90),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, wait_s: float | None) -> None:
    assert retry_after_s(value, NOW) == wait_s


@pytest.mark.parametrize(
    ("failures", "jitter", "max_s", "slot"),
    [
        (1, 0.0, 10, 0.2),
        (1, 0.5, 10, 0.15),
        (2, 0.0, 10, 0.4),
        (6, 0.0, 10, 6.4),
        (6, 0.0, 5, 5),
        (7, 0.0, 10, 10),
        (7, 1.0, 10, 5),
        (10**6, 0.0, 10, 10),
    ],
)
def test_slots_double_up_to_a_limit(failures: int, jitter: float, max_s: float, slot: float) -> None:
    assert slot_s(failures, jitter, max_s=max_s) == pytest.approx(slot)
