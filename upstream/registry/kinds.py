"""Which kind of registry is opened by whom."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from upstream.registry import remote
from upstream.registry.base import Registry
from upstream.registry.config import RegistryConfig, RegistryMisconfigured
from upstream.registry.sql import registry as sql
from upstream.registry.sql.urls import with_driver

KINDS: Mapping[str, Callable[[RegistryConfig], AbstractAsyncContextManager[Registry]]] = {
    "sql": sql.open_registry,
    "remote": remote.open_registry,
}


def check_registry(config: RegistryConfig) -> None:
    """Raises RegistryMisconfigured for what keeps it from being opened, as far as is known without asking anybody."""
    open_registry(config)
    if config.kind == "sql":
        with_driver(config.url)


def open_registry(config: RegistryConfig) -> AbstractAsyncContextManager[Registry]:
    """The registry of `config.kind`, open until the context ends.

    Raises RegistryMisconfigured at once for a kind that this Glint cannot open; entering raises what the kind raises.
    """
    if config.kind == "glance":
        raise RegistryMisconfigured("registry.kind: with glance the metadata are that Glance's: use its own commands")
    try:
        opener = KINDS[config.kind]
    except KeyError:
        raise RegistryMisconfigured(
            f"registry.kind: this Glint cannot open {config.kind!r}; it can open {', '.join(KINDS)}"
        ) from None
    return opener(config)
