"""The `registry:` section of config.yaml."""

from pathlib import Path
from typing import Any, Literal, Self
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
from yarl import URL

from metrics import MetricsConfig
from upstream.tls import TlsConfig

KEY_LENGTH_MIN = 32


class RegistryMisconfigured(ValueError):
    """The registry cannot be opened as configured. The message names the key and says what to do."""


class RemoteRegistryConfig(BaseModel):
    """`registry.remote`: another Glint's `registry serve`, and what both sides prove themselves by.

    `key` is one or several: the first signs, the service takes all. Empty stands for null.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    key: tuple[SecretStr, ...] = ()
    ca_file: Path | None = None

    @property
    def keys(self) -> tuple[bytes, ...]:
        return tuple(each.get_secret_value().encode() for each in self.key)

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parsed = URL(url)
            is_good = parsed.scheme in {"http", "https"} and parsed == parsed.origin().with_path("/")
        except ValueError:
            is_good = False
        if not is_good:
            raise ValueError("expected a scheme, a host and a port, such as http://10.0.0.5:9191")
        return url

    @field_validator("key", mode="before")
    @classmethod
    def _one_or_several(cls, key: Any) -> Any:
        keys = () if key is None else key if isinstance(key, list | tuple) else (key,)
        texts = [each.get_secret_value() if isinstance(each, SecretStr) else each for each in keys]
        if not all(isinstance(each, str) and len(each) >= KEY_LENGTH_MIN for each in texts):
            raise ValueError(
                f"expected a text of at least {KEY_LENGTH_MIN} characters, such as `openssl rand -hex 32` makes, "
                "or a list of them"
            )
        return tuple(texts)


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
    """`registry.service`: where and how `registry serve` listens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=9191, ge=0, le=65535)
    workers: int = Field(default=1, ge=0, le=128)  # 0: one per core
    tls: TlsConfig = TlsConfig()
    drain_s: float = Field(default=30.0, ge=0)
    metrics: MetricsConfig = MetricsConfig(port=9193)


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
