"""The `deletion:` section of config.yaml."""

from pydantic import BaseModel, Field

from metrics import MetricsConfig


class DeletionConfig(BaseModel, frozen=True, extra="forbid"):
    """When the data of deleted images go. The names are those of Glance's options."""

    delayed: bool = False
    scrub_time_s: float = Field(default=0.0, ge=0)
    scrub_pool_size: int = Field(default=1, ge=1, le=256)
    wakeup_time_s: float = Field(default=300.0, gt=0)
    metrics: MetricsConfig = MetricsConfig(port=9194)
