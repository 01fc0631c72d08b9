"""The `registry:` section of config.yaml."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError


class RegistryMisconfigured(ValueError):
    """The registry cannot be opened as configured. The message names the key and says what to do."""


class RemoteRegistryConfig(BaseModel):
    """`registry.remote`: another Glint's `registry serve`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    key: SecretStr | None = None


class GlanceRegistryConfig(BaseModel):
    """`registry.glance`: an existing Glance that answers every metadata call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    requests_max: int = Field(default=256, ge=1)  # connections for each of: reads, changes, image data
    answer_s: float = Field(default=60.0, gt=0)
    upload_answer_s: float = Field(default=600.0, gt=0)
    idle_s: float = Field(default=30.0, gt=0)
    skip_max: ByteSize = Field(default=ByteSize(64 * 1024 * 1024), ge=0)
    preserve_host: bool = True
    read_stores: bool = False
    ca_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _is_of_http(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("expected a URL without credentials, query and fragment")  # none of them repeated here
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected a URL such as http://glance.example.org:9292, got {url!r}")
        return url.rstrip("/")


class RegistryServiceConfig(BaseModel):
    """`registry.service`: where `registry serve` listens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=9191, ge=0, le=65535)


class RegistryConfig(BaseModel):
    """Where image metadata is kept.

    `url` is a plain database URL; the driver is ours to choose, and one that is named (`mysql+pymysql`) is replaced.
    It may hold a password: it is left out of `repr`, and dumps in JSON mode hide the password.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["sql", "remote", "glance"] = "sql"
    url: str = Field(default="sqlite:///var/registry.db", repr=False)
    pool_max: int = Field(default=10, ge=2)
    connect_s: float = Field(default=10.0, gt=0)
    statement_s: float = Field(default=30.0, gt=0)
    remote: RemoteRegistryConfig = RemoteRegistryConfig()
    glance: GlanceRegistryConfig = GlanceRegistryConfig()
    service: RegistryServiceConfig = RegistryServiceConfig()

    @model_validator(mode="after")
    def _knows_its_glance(self) -> Self:
        if self.kind == "glance" and self.glance.url is None:
            raise ValueError("glance.url: required with kind glance, such as http://glance.example.org:9292")
        return self

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        try:
            make_url(url)
        except ArgumentError:
            # The text is not repeated: what is no URL may still hold a password.
            raise ValueError("expected a database URL such as sqlite:///var/registry.db") from None
        return url

    @field_serializer("url", when_used="json")
    def _without_password(self, url: str) -> str:
        return make_url(url).render_as_string(hide_password=True)
