"""The `sql` kind of registry."""

from upstream.registry.sql.database import Database
from upstream.registry.sql.inspection import missing
from upstream.registry.sql.optional_indexes import (
    OPTIONAL,
    Found,
    OptionalIndex,
    Presence,
    optional_indexes,
    present_optional_indexes,
)
from upstream.registry.sql.purge import Purge, Purged
from upstream.registry.sql.registry import SqlRegistry, open_registry
from upstream.registry.sql.revisions import CONTRACT_HEAD, Standing, State, advice
from upstream.registry.sql.schema import state_of

__all__ = [
    "CONTRACT_HEAD",
    "OPTIONAL",
    "Database",
    "Found",
    "OptionalIndex",
    "Presence",
    "Purge",
    "Purged",
    "SqlRegistry",
    "Standing",
    "State",
    "advice",
    "missing",
    "open_registry",
    "optional_indexes",
    "present_optional_indexes",
    "state_of",
]
