"""The `sql` kind of registry."""

from upstream.registry.sql.database import Database
from upstream.registry.sql.inspection import missing
from upstream.registry.sql.purge import Purge, Purged
from upstream.registry.sql.registry import SqlRegistry, open_registry
from upstream.registry.sql.revisions import CONTRACT_HEAD, Standing, State, advice
from upstream.registry.sql.schema import state_of

__all__ = [
    "CONTRACT_HEAD",
    "Database",
    "Purge",
    "Purged",
    "SqlRegistry",
    "Standing",
    "State",
    "advice",
    "missing",
    "open_registry",
    "state_of",
]
