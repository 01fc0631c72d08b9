"""Metadata definitions in a SQL database."""

from upstream.registry.sql.metadefs.metadefs import SqlMetadefs

__all__ = ["SqlMetadefs"]
