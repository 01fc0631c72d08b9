"""When to ask a service again. Pure: no clock, no sleeping."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SLOT_FIRST_S = 0.2
SLOT_MAX_S = 10.0


def slot_s(failures: int, jitter: float, *, max_s: float = SLOT_MAX_S) -> float:
    """How long nobody asks again after so many failures in a row: 0.2 s, doubled with each, up to `max_s`.

    `jitter` is a random number of [0, 1). It takes up to half of the slot away, so that those who failed together do
    not come back together.
    """
    doubled_s = _SLOT_FIRST_S * 2.0 ** min(failures - 1, 30)
    return min(doubled_s, max_s) * (1 - jitter / 2)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks to wait; None if there is none or it cannot be read.

    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
