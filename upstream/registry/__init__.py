"""Image metadata: what there is, who may see it, where the bytes lie."""

from upstream.registry.base import (
    Ceiling,
    Filter,
    ImageChanges,
    ImageQuery,
    Images,
    Operator,
    Order,
    ProjectUsage,
    Registry,
    Tags,
    Usage,
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
    "Ceiling",
    "Filter",
    "GlanceRegistryConfig",
    "ImageChanges",
    "ImageQuery",
    "Images",
    "Operator",
    "Order",
    "ProjectUsage",
    "Registry",
    "RegistryConfig",
    "RegistryMisconfigured",
    "RegistryServiceConfig",
    "RemoteRegistryConfig",
    "Tags",
    "Usage",
    "open_registry",
]
