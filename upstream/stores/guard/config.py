"""`guard:` of a store in `stores.backends`, the same for every kind."""

from pydantic import BaseModel, ByteSize, Field


class GuardConfig(BaseModel, frozen=True, extra="forbid"):
    """How much is asked of it for whom, how long it may be silent, and when it is not asked at all."""

    background_requests_max: int | None = Field(default=None, ge=1)  # None: half of the store's `requests_max`
    read_rate_max: ByteSize | None = Field(default=None, gt=0)
    background_rate_max: ByteSize | None = Field(default=None, gt=0)
    write_rate_max: ByteSize | None = Field(default=None, gt=0)
    open_s: float = Field(default=60.0, gt=0)
    first_byte_s: float = Field(default=30.0, gt=0)
    idle_s: float = Field(default=30.0, gt=0)
    size_s: float = Field(default=60.0, gt=0)
    delete_s: float = Field(default=600.0, gt=0)
    write_idle_s: float = Field(default=300.0, gt=0)
    circuit_failures_max: int | None = Field(default=5, ge=1)
    circuit_window_s: float = Field(default=30.0, gt=0)
    circuit_open_max_s: float = Field(default=10.0, gt=0)

    def background_slots(self, requests_max: int) -> int:
        """Of so many slots, those that prewarms and refetches may have at once."""
        return min(requests_max, self.background_requests_max or max(1, requests_max // 2))
