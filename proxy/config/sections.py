"""What config.yaml can say, and what must hold between its sections."""

import re
from typing import Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from cache import CacheConfig, TokenCacheConfig
from metrics import MetricsConfig
from proxy.api.config import ApiConfig
from proxy.api.cors import CorsConfig
from proxy.deletion.config import DeletionConfig
from upstream.http import is_loopback
from upstream.identity import AuthConfig
from upstream.keys import KeyManagerConfig
from upstream.registry import RegistryConfig
from upstream.stores import StoresConfig
from upstream.tls import TlsConfig


class ServerConfig(BaseModel, frozen=True, extra="forbid"):
    """The `server:` section."""

    host: str = "127.0.0.1"
    port: int = Field(default=9292, ge=0, le=65535)
    workers: int = Field(default=1, ge=0, le=128)  # 0: one per core
    public_endpoint: str | None = None
    enable_proxy_headers_parsing: bool = False
    worker_self_reference_url: str | None = Field(default=None, max_length=255)
    tls: TlsConfig = TlsConfig()
    drain_notice_s: float = Field(default=0.0, ge=0)
    drain_s: float = Field(default=30.0, ge=0)
    client_idle_s: float = Field(default=300.0, gt=0)
    tcp_congestion_control: str | None = Field(default="auto", pattern=r"^[a-z0-9_-]{1,15}$")

    @field_validator("public_endpoint", "worker_self_reference_url")
    @classmethod
    def _is_of_http(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/]", url):
            raise ValueError(f"expected a URL such as https://images.example.org:9292, got {url!r}")
        return url


class NotificationsConfig(BaseModel, frozen=True, extra="forbid"):
    """The `notifications:` section."""

    driver: Literal["noop"] = "noop"
    url: str | None = Field(default=None, repr=False)


class LoggingConfig(BaseModel, frozen=True, extra="forbid"):
    """The `logging:` section."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Config(BaseModel, frozen=True, extra="forbid"):
    """Everything config.yaml can say. Each part of Glint gets its own section and reads no other."""

    server: ServerConfig = ServerConfig()
    metrics: MetricsConfig = MetricsConfig()
    auth: AuthConfig = AuthConfig()
    token_cache: TokenCacheConfig = TokenCacheConfig()
    key_manager: KeyManagerConfig = KeyManagerConfig()
    cache: CacheConfig = CacheConfig()
    stores: StoresConfig = StoresConfig()
    registry: RegistryConfig = RegistryConfig()
    api: ApiConfig = ApiConfig()
    deletion: DeletionConfig = DeletionConfig()
    cors: CorsConfig = CorsConfig()
    notifications: NotificationsConfig = NotificationsConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="after")
    def _without_authentication_only_on_loopback(self) -> Self:
        if problem := open_to_all(self.auth, self.server, self.registry):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _glance_says_who_asks(self) -> Self:
        if problem := asks_twice(self.auth, self.registry):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _limits_only_with_keystone(self) -> Self:
        if problem := limits_of_nobody(self.auth, self.api):
            raise ValueError(problem)
        return self


def limits_of_nobody(auth: AuthConfig, api: ApiConfig) -> str | None:
    if auth.kind == "keystone" or not api.use_keystone_limits:
        return None
    return f"api.use_keystone_limits: only with auth.kind keystone, got {auth.kind}"


def asks_twice(auth: AuthConfig, registry: RegistryConfig) -> str | None:
    if registry.kind != "glance" or auth.kind == "none":
        return None
    return f"auth.kind: with registry.kind glance that Glance says who asks; expected none, got {auth.kind}"


def open_to_all(auth: AuthConfig, server: ServerConfig, registry: RegistryConfig) -> str | None:
    """With registry.kind glance nothing is open here that is not open there."""
    if auth.kind != "none" or registry.kind == "glance" or is_loopback(server.host):
        return None
    return (
        "auth.kind: with none everyone is admin, so server.host must be a loopback address, got "
        f"{server.host!r}; set auth.kind to keystone, or server.host to 127.0.0.1"
    )
