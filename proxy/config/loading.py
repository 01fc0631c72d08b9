"""config.yaml, environment and --set into one frozen `Config`; every problem at once, each with its path."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from proxy.api.config import ApiConfig
from proxy.config.problems import ConfigError, sentence
from proxy.config.reading import YamlBroken, read_yaml
from proxy.config.sections import Config, ServerConfig, asks_twice, limits_of_nobody, open_to_all
from upstream.identity import AuthConfig
from upstream.registry import RegistryConfig

ENVIRONMENT_PREFIX = "GLINT_"
_Model = TypeVar("_Model", bound=BaseModel)


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
        problems += dict.fromkeys(sentence(details) for details in error.errors(include_url=False))
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
    found = (open_to_all(auth, server, registry), limits_of_nobody(auth, api), asks_twice(auth, registry))
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
        document = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: expected text in UTF-8"]) from None
    except YamlBroken as error:
        raise ConfigError([f"{path}{error}"]) from None
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
