"""The `auth:` section of config.yaml."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationInfo, field_validator


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("expected a URL without credentials, query and fragment")  # and none of them repeated here
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected a URL such as https://keystone.example.org:5000/v3, got {text!r}")
    return text


def _filled(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise ValueError("expected a password, got an empty one")
    return secret


Url = Annotated[str, AfterValidator(_http_url)]
Name = Annotated[str, Field(min_length=1)]
Password = Annotated[SecretStr, AfterValidator(_filled)]


class LimitsConfig(BaseModel, frozen=True, extra="forbid"):
    """Which service of Keystone's catalog the unified limits are registered for, in `auth.keystone.region_name`."""

    service_type: Name = "image"
    service_name: Name | None = None  # None: the only one of its type
    interface: Literal["internal", "public", "admin"] = "public"
    cache_s: float = Field(default=10.0, ge=0)  # a limit that was changed counts this much later


class KeystoneConfig(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """Where Keystone is and as whom Glint asks it. `auth_url` may end in /v3 or not."""

    auth_url: Url | None = None
    username: Name | None = None
    password: Password | None = None
    project_name: Name = "service"
    user_domain_name: Name = "Default"
    project_domain_name: Name = "Default"
    region_name: Name | None = None
    interface: Literal["internal", "public", "admin"] = "internal"
    www_authenticate_uri: Url | None = None  # told to clients with a 401; None: auth_url
    delay_auth_decision: bool = True  # True: an outage of Keystone is answered with 401 as by Glance. False: with 503
    http_connect_timeout_s: float = Field(default=5.0, gt=0)
    http_request_max_retries: int = Field(default=3, ge=0, le=10)
    service_token_roles: frozenset[Name] = frozenset({"service"})
    limits: LimitsConfig = LimitsConfig()


class _CompleteKeystoneConfig(KeystoneConfig):
    """The same with nothing left out. Read only to find all problems in one go."""

    auth_url: Url
    username: Name
    password: Password


class AuthConfig(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """The `auth:` section. With `kind: keystone`, auth_url, username and password must be there."""

    kind: Literal["none", "keystone"] = "none"
    allow_anonymous_access: bool = False
    keystone: KeystoneConfig = Field(default_factory=KeystoneConfig, validate_default=True)

    @field_validator("keystone", mode="before")
    @classmethod
    def _complete(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("kind") != "keystone":
            return value
        given = value.model_dump(exclude_unset=True) if isinstance(value, KeystoneConfig) else value
        return KeystoneConfig.model_validate(_CompleteKeystoneConfig.model_validate(given).model_dump())
