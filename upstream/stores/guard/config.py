"""`guard:` of a store in `stores.backends`, the same for every kind."""

from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ByteSize, Field, model_validator


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Before a store agrees to a read, before its first byte, and between two pieces."""

    open_s: float
    first_byte_s: float
    idle_s: float


class GuardConfig(BaseModel, frozen=True, extra="forbid"):
    """How much is asked of it for whom, how long it may be silent, and when it is not asked at all."""

    background_requests_max: int | None = Field(default=None, ge=1)  # None: half of the store's `requests_max`
    read_rate_max: ByteSize | None = Field(default=None, gt=0)
    background_rate_max: ByteSize | None = Field(default=None, gt=0)
    write_rate_max: ByteSize | None = Field(default=None, gt=0)
    open_s: float | None = Field(default=None, gt=0)  # these three None: as `silence` says
    first_byte_s: float | None = Field(default=None, gt=0)
    idle_s: float | None = Field(default=None, gt=0)
    size_s: float = Field(default=60.0, gt=0)
    delete_s: float = Field(default=600.0, gt=0)
    write_idle_s: float = Field(default=900.0, gt=0)
    circuit_failures_max: int | None = Field(default=5, ge=1)
    circuit_window_s: float = Field(default=30.0, gt=0)
    circuit_open_max_s: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _background_is_a_part(self) -> Self:
        if self.background_rate_max and self.read_rate_max and self.background_rate_max > self.read_rate_max:
            raise ValueError("expected background_rate_max to be at most read_rate_max, of which it is a part")
        return self

    def silence(self, own: object = None) -> Silence:
        """How long a read may be silent. What is not said goes by the keys of the store's kind, if it has such."""
        connect_s, first_byte_s, idle_s = (
            getattr(own, name, default_s)
            for name, default_s in (("connect_s", 0), ("first_byte_s", 30), ("idle_s", 30))
        )
        return Silence(
            open_s=self.open_s or max(60.0, 2 * (connect_s + first_byte_s)),
            first_byte_s=self.first_byte_s or first_byte_s,
            idle_s=self.idle_s or idle_s,
        )

    def share(self, workers: int) -> Self:
        """What one of `workers` goes by: rates hold for all of them together."""
        rates = {name: getattr(self, name) for name in ("read_rate_max", "background_rate_max", "write_rate_max")}
        return self.model_copy(update={name: -(-rate // workers) for name, rate in rates.items() if rate})

    def background_slots(self, requests_max: int) -> int:
        """Of so many slots, those that prewarms and refetches may have at once."""
        return min(requests_max, self.background_requests_max or max(1, requests_max // 2))
