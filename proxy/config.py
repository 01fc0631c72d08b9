"""config.yaml, environment and --set into one frozen `Config`; every problem at once, each with its path."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from cache import CacheConfig, TokenCacheConfig
from metrics import MetricsConfig
from proxy.api.config import ApiConfig
from proxy.api.cors import CorsConfig
from proxy.deletion.config import DeletionConfig
from upstream.http import is_loopback
from upstream.identity import AuthConfig
from upstream.registry import RegistryConfig
from upstream.stores import StoresConfig
from upstream.tls import TlsConfig

ENVIRONMENT_PREFIX = "GLINT_"
_Model = TypeVar("_Model", bound=BaseModel)
_SECRET_WORDS = ("password", "secret", "key", "url", "http_proxy", "https_proxy")


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
        if problem := _open_to_all(self.auth, self.server, self.registry):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _glance_says_who_asks(self) -> Self:
        if problem := _asks_twice(self.auth, self.registry):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _limits_only_with_keystone(self) -> Self:
        if problem := _limits_of_nobody(self.auth, self.api):
            raise ValueError(problem)
        return self


def _limits_of_nobody(auth: AuthConfig, api: ApiConfig) -> str | None:
    if auth.kind == "keystone" or not api.use_keystone_limits:
        return None
    return f"api.use_keystone_limits: only with auth.kind keystone, got {auth.kind}"


def _asks_twice(auth: AuthConfig, registry: RegistryConfig) -> str | None:
    if registry.kind != "glance" or auth.kind == "none":
        return None
    return f"auth.kind: with registry.kind glance that Glance says who asks; expected none, got {auth.kind}"


def _open_to_all(auth: AuthConfig, server: ServerConfig, registry: RegistryConfig) -> str | None:
    """With registry.kind glance nothing is open here that is not open there."""
    if auth.kind != "none" or registry.kind == "glance" or is_loopback(server.host):
        return None
    return (
        "auth.kind: with none everyone is admin, so server.host must be a loopback address, got "
        f"{server.host!r}; set auth.kind to keystone, or server.host to 127.0.0.1"
    )


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are whole sentences, one for each thing to mend."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def load(path: Path | None, overrides: Iterable[str] = (), environment: Mapping[str, str] | None = None) -> Config:
    """The configuration: --set wins over the environment, that over the file, that over the defaults.

    Without a `path`, defaults and overrides alone. Relative paths are relative to the file's folder, or to the
    working folder without a file. Raises ConfigError.
    """
    return build(_read(path) if path else {}, (path.parent if path else Path()), overrides, environment)


def build(
    document: dict[str, Any],
    base: Path,
    overrides: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Config:
    """The same of a document, which is changed; relative paths are relative to `base`. Raises ConfigError."""
    problems: list[str] = []
    for dotted, text in [*_from_environment(environment or {}), *_from_command_line(overrides, problems)]:
        _put(document, dotted, text, problems)
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        problems += [_sentence(details) for details in error.errors(include_url=False)]
        problems += _beyond_sections(document, problems)
    if problems:
        raise ConfigError(problems)
    return _anchored(config, base.absolute())


def _beyond_sections(document: Mapping[str, Any], problems: Collection[str]) -> list[str]:
    """What is wrong between sections: pydantic looks at that only when each is well by itself."""
    try:
        auth = AuthConfig.model_validate(document.get("auth", {}))
        server = ServerConfig.model_validate(document.get("server", {}))
        api = ApiConfig.model_validate(document.get("api", {}))
        registry = RegistryConfig.model_validate(document.get("registry", {}))
    except ValidationError:
        return []
    found = (_open_to_all(auth, server, registry), _limits_of_nobody(auth, api), _asks_twice(auth, registry))
    return [problem for problem in found if problem and problem not in problems]


def origins(
    path: Path | None, overrides: Iterable[str] = (), environment: Mapping[str, str] | None = None
) -> Mapping[str, str]:
    """Who said each key that is not left at its default, by dotted path. For a configuration that `load` takes."""
    said = dict.fromkeys(_leaves(_read(path)), str(path)) if path else {}
    for name, (dotted, _) in zip(_names(environment or {}), _from_environment(environment or {}), strict=True):
        said[dotted] = name
    return said | {dotted: "--set" for dotted, _ in _from_command_line(overrides, [])}


def _leaves(document: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in document.items():
        is_section = isinstance(value, Mapping) and bool(value)
        found += _leaves(value, f"{prefix}{name}.") if is_section else [f"{prefix}{name}"]
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # The parser's own message quotes the line, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError([f"{path}{where}: is not valid YAML"]) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError([f"{path}: expected sections such as `server:`, got a {type(document).__name__}"])
    return {name: {} if section is None else section for name, section in document.items()}


def _from_environment(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """GLINT_CACHE__SIZE_MAX is cache.size_max. Names without `__` are not keys (GLINT_CONFIG, say)."""
    return [
        (name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", "."), environment[name])
        for name in _names(environment)
    ]


def _names(environment: Mapping[str, str]) -> list[str]:
    return sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and "__" in name)


def _from_command_line(overrides: Iterable[str], problems: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for override in overrides:
        dotted, equals, text = override.partition("=")
        if equals and dotted:
            pairs.append((dotted.strip(), text))
        else:
            problems.append(f"--set {dotted.strip()}: expected KEY=VALUE, such as --set cache.size_max='2 GiB'")
    return pairs


def _put(document: dict[str, Any], dotted: str, text: str, problems: list[str]) -> None:
    *sections, last = dotted.split(".")
    place = document
    for section in sections:
        inner = place.setdefault(section, {})
        if inner is None:  # an empty section in the file
            inner = place[section] = {}
        if not isinstance(inner, dict):
            problems.append(f"{dotted}: {section} is a value, not a section")
            return
        place = inner
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        place[last] = text  # not YAML, then it is meant as it stands


def _sentence(details: ErrorDetails) -> str:
    """One problem in our words: where, what was expected, what was there instead."""
    location = _path(details["loc"])
    context = details.get("ctx", {})
    expectations = {
        "extra_forbidden": "unknown key" + _suggestion(details["loc"]),
        "missing": "required, but not given",
        "literal_error": f"expected {context.get('expected')}",
        "value_error": str(context.get("error", details["msg"])),
        "bool_parsing": "expected true or false",
        "bool_type": "expected true or false",
        "int_parsing": "expected a whole number",
        "int_type": "expected a whole number",
        "float_parsing": "expected a number",
        "float_type": "expected a number",
        "byte_size": 'expected a size such as "20 GiB"',
        "byte_size_unit": 'expected a size such as "20 GiB"',
        "model_type": "expected a section with keys of its own",
        "dict_type": "expected a section with keys of its own",
        "model_attributes_type": "expected a section with keys of its own",
        "union_tag_not_found": "kind is required, but not given",
        "union_tag_invalid": f"kind: expected one of {context.get('expected_tags')}, got {context.get('tag')!r}",
    }
    # A null in the file where a value must be is the same as no key.
    kind = "missing" if details["input"] is None and details["type"].endswith("_type") else details["type"]
    expected = expectations.get(kind, details["msg"][:1].lower() + details["msg"][1:])
    if not location:
        return expected
    # A section may hold secrets, whatever its own name is.
    is_told = kind not in ("missing", "value_error", "extra_forbidden", "union_tag_not_found", "union_tag_invalid")
    is_open = not isinstance(details["input"], dict | list) and not any(word in location for word in _SECRET_WORDS)
    if not (is_told and is_open):
        return f"{location}: {expected}"
    got = "null" if details["input"] is None else repr(details["input"])
    return f"{location}: {expected}, got {got}"


def _path(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location]
    if parts[:2] == ["stores", "backends"] and len(parts) > 4:
        del parts[3]  # the kind, which pydantic names to tell which model it tried
    return ".".join(parts)


def _suggestion(location: tuple[int | str, ...]) -> str:
    if not location:
        return ""
    model: Any = Config
    for part in location[:-1]:
        field = getattr(model, "model_fields", {}).get(str(part))
        model = field.annotation if field else None
    close = difflib.get_close_matches(str(location[-1]), getattr(model, "model_fields", {}), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _anchored(model: _Model, base: Path) -> _Model:
    """The same configuration with every relative path made absolute."""
    changed: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            changed[name] = base / value.expanduser()
        elif isinstance(value, BaseModel):
            changed[name] = _anchored(value, base)
        elif isinstance(value, tuple):
            changed[name] = tuple(_anchored(item, base) if isinstance(item, BaseModel) else item for item in value)
        elif isinstance(value, dict):
            changed[name] = {
                key: _anchored(item, base) if isinstance(item, BaseModel) else item for key, item in value.items()
            }
    if isinstance(model, RegistryConfig) and model.url.startswith("sqlite:///"):
        changed["url"] = f"sqlite:///{base / model.url.removeprefix('sqlite:///')}"
    return model.model_copy(update=changed)
