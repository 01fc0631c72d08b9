"""Image metadata: what there is, who may see it, where the bytes lie."""

from upstream.registry.base import (
    IMPORT_LOCK,
    Ceiling,
    Filter,
    ImageChanges,
    ImageQuery,
    Images,
    Lock,
    Members,
    Operator,
    Order,
    ProjectUsage,
    Registry,
    Tags,
    TaskQuery,
    Tasks,
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
    "IMPORT_LOCK",
    "Ceiling",
    "Filter",
    "GlanceRegistryConfig",
    "ImageChanges",
    "ImageQuery",
    "Images",
    "Lock",
    "Members",
    "Operator",
    "Order",
    "ProjectUsage",
    "Registry",
    "RegistryConfig",
    "RegistryMisconfigured",
    "RegistryServiceConfig",
    "RemoteRegistryConfig",
    "Tags",
    "TaskQuery",
    "Tasks",
    "Usage",
    "open_registry",
]
