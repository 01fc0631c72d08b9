"""Image metadata: what there is, who may see it, where the bytes lie."""

from upstream.registry.base import (
    Filter,
    ImageChanges,
    ImageQuery,
    Images,
    Operator,
    Order,
    Registry,
    Tags,
)
from upstream.registry.config import (
    GlanceRegistryConfig,
    RegistryConfig,
    RegistryMisconfigured,
    RegistryServiceConfig,
    RemoteRegistryConfig,
)
from upstream.registry.kinds import open_registry

__all__ = [
    "Filter",
    "GlanceRegistryConfig",
    "ImageChanges",
    "ImageQuery",
    "Images",
    "Operator",
    "Order",
    "Registry",
    "RegistryConfig",
    "RegistryMisconfigured",
    "RegistryServiceConfig",
    "RemoteRegistryConfig",
    "Tags",
    "open_registry",
]
