"""The `sql` kind of registry."""

from upstream.registry.sql.registry import SqlRegistry, open_registry

__all__ = ["SqlRegistry", "open_registry"]
