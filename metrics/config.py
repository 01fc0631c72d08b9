"""The `metrics:` section of config.yaml."""

from pydantic import BaseModel, Field


class MetricsConfig(BaseModel, frozen=True, extra="forbid"):
    """Where the numbers are served. There is no authentication: keep it on a network of the operator's."""

    host: str = "127.0.0.1"
    port: int = Field(default=9293, ge=0, le=65535)
