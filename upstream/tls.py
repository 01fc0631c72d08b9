"""TLS of a server of ours, as configured."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, model_validator


class TlsConfig(BaseModel, frozen=True, extra="forbid"):
    """`server.tls`, `registry.service.tls`: both files or neither."""

    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("expected both certificate and key, or neither")
        return self
