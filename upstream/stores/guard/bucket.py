"""A token bucket that may be overdrawn: who moved bytes pays, and the next one waits until that is paid. Pure."""

_BURST_S = 0.25
_NOTHING_BYTES = 0.01  # what rounding leaves of a debt after just the time that it takes to pay


class Bucket:
    """`rate_bytes_s` on average, over any time plus a quarter of a second and the last piece."""

    def __init__(self, rate_bytes_s: float, now_s: float) -> None:
        assert rate_bytes_s > 0
        self._rate_bytes_s, self._at_s = rate_bytes_s, now_s
        self._level_bytes = self._most_bytes = rate_bytes_s * _BURST_S

    def take(self, size_bytes: int, now_s: float) -> None:
        self._fill(now_s)
        self._level_bytes -= size_bytes

    def wait_s(self, now_s: float) -> float:
        """How long until the next one may take; 0: now."""
        self._fill(now_s)
        if self._level_bytes > -_NOTHING_BYTES:
            return 0.0
        return -self._level_bytes / self._rate_bytes_s

    def _fill(self, now_s: float) -> None:
        gained_bytes = max(0.0, now_s - self._at_s) * self._rate_bytes_s
        self._level_bytes = min(self._most_bytes, self._level_bytes + gained_bytes)
        self._at_s = max(self._at_s, now_s)
