"""Glance's own revisions since Queens, which alembic carries out. Nothing that serves imports this package."""

from upstream.registry.sql.migrations.upgrades import initialise

__all__ = ["initialise"]
