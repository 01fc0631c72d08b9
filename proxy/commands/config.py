"""`glint config`: is the configuration good, and what does it come to."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ByteSize, SecretStr

from proxy.api import image_schema
from proxy.api.config import ApiConfig
from proxy.api.image_schema import ImageSchemaBroken
from proxy.config import Config
from proxy.config_import.yaml_text import flow, size_text
from proxy.imports.plugins import ProgramMissing, check_programs
from proxy.policy import Policy, PolicyFileBroken, ProtectionFileBroken, load_protections
from upstream.registry import RegistryMisconfigured, check_registry
from upstream.stores import (
    FileStoreConfig,
    HttpStoreConfig,
    RbdStoreConfig,
    S3StoreConfig,
    StoresConfig,
    SwiftStoreConfig,
)
from upstream.stores.rbd import BindingsMissing, load_bindings

_USER_INFO = re.compile(r"(?<=://)([^/@:]*):[^/@]*@")
_MASK = "***"
_CACHE_MIN_BYTES = 1024 * 1024
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to


def check(config: Config) -> list[str]:
    """What would keep `glint serve` from starting, or from being of use, although every value is well formed."""
    problems = [
        f"{key}: {file} cannot be read: {reason}" for key, file in _files(config) if (reason := _unreadable(file))
    ]
    problems += _problems_of_files(config.api)
    try:
        check_programs(config.api.import_plugins)
    except ProgramMissing as error:
        problems.append(str(error))
    problems += _problems_of_stores(config.stores)
    problems += _implausible(config)
    if config.registry.kind == "glance":
        return problems  # whether it is there is seen when it is asked
    try:
        check_registry(config.registry)
    except RegistryMisconfigured as error:
        problems.append(str(error))
    return problems


def _implausible(config: Config) -> list[str]:
    """What is well formed and cannot be meant."""
    problems = []
    if (size_bytes := int(config.cache.size_max)) < _CACHE_MIN_BYTES:
        expected = 'expected a size with its unit, such as "500 GiB"'
        problems.append(f"cache.size_max: no image fits into {size_bytes} bytes; {expected}")
    served, numbers = config.server, config.metrics
    is_shared = served.host == numbers.host or _EVERYWHERE & {served.host, numbers.host}
    if served.port and served.port == numbers.port and is_shared:
        problems.append(f"metrics.port: expected another port than server.port, {served.port}")
    return problems


def _problems_of_stores(config: StoresConfig) -> list[str]:
    if any(isinstance(backend, RbdStoreConfig) for backend in config.backends.values()):
        try:
            load_bindings()
        except BindingsMissing as error:
            return [str(error)]
    return []


def _problems_of_files(config: ApiConfig) -> list[str]:
    problems, policy = [], Policy()
    try:
        policy = Policy(config.policy_file)
    except PolicyFileBroken as error:
        problems += [f"api.policy_file: {error.path}: {problem}" for problem in error.problems]
    try:
        load_protections(config.property_protection_file, config.property_protection_rule_format, policy)
    except ProtectionFileBroken as error:
        problems += [f"api.property_protection_file: {error.path}: {problem}" for problem in error.problems]
    try:
        image_schema.load(config.image_schema_file, config)
    except ImageSchemaBroken as error:
        problems += [f"api.image_schema_file: {error.path}: {problem}" for problem in error.problems]
    return problems


def show(config: Config, origins: Mapping[str, str]) -> str:
    """The effective configuration as YAML, secrets masked; beside each value that is no default, who said it."""
    return "".join(_lines(config, "", origins, 0)).rstrip("\n") + "\n"


def _lines(section: BaseModel | Mapping[str, Any], prefix: str, origins: Mapping[str, str], depth: int) -> list[str]:
    lines, indent = [], "  " * depth
    for name, value in _items(section):
        dotted = f"{prefix}{name}"
        if isinstance(value, BaseModel | Mapping) and value:
            lines.append(f"{indent}{name}:\n")
            lines += _lines(value, f"{dotted}.", origins, depth + 1)
            lines += [] if depth else ["\n"]
            continue
        line = f"{indent}{name}: {flow(_plain(value))}"
        lines.append(f"{line:<48}  # {origins[dotted]}\n" if dotted in origins else f"{line}\n")
    return lines


def _items(section: BaseModel | Mapping[str, Any]) -> list[tuple[str, Any]]:
    if isinstance(section, Mapping):
        return list(section.items())
    names = sorted(type(section).model_fields, key=lambda name: name != "kind")  # what decides about the others, first
    return [(name, getattr(section, name)) for name in names]


def _plain(value: Any) -> Any:
    """The value as config.yaml would have it, without what is secret in it."""
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, ByteSize):
        return size_text(value)
    if value is None or isinstance(value, bool | int | float):
        return int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [_plain(item) for item in value]
        return sorted(items) if isinstance(value, set | frozenset) else items
    return _USER_INFO.sub(rf"\1:{_MASK}@", str(value))


def _files(config: Config) -> list[tuple[str, Path]]:
    service_tls = config.registry.service.tls
    named = {
        "server.tls.certificate": config.server.tls.certificate,
        "server.tls.key": config.server.tls.key,
        "registry.glance.ca_file": config.registry.glance.ca_file,
        "registry.remote.ca_file": config.registry.remote.ca_file,
        "registry.service.tls.certificate": service_tls.certificate,
        "registry.service.tls.key": service_tls.key,
    }
    for store, backend in config.stores.backends.items():
        if isinstance(backend, HttpStoreConfig | S3StoreConfig | SwiftStoreConfig):
            named[f"stores.backends.{store}.ca_file"] = backend.ca_file
        if isinstance(backend, RbdStoreConfig):
            named[f"stores.backends.{store}.ceph_conf"] = backend.ceph_conf
        elif isinstance(backend, FileStoreConfig):
            named[f"stores.backends.{store}.metadata_file"] = backend.metadata_file
    return [(key, file) for key, file in named.items() if file is not None]


def _unreadable(file: Path) -> str | None:
    try:
        os.close(os.open(file, os.O_RDONLY))
    except OSError as error:
        return error.strerror
    return None
