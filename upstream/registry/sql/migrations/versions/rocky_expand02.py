"""Glance Rocky, expand: a digest by an algorithm of the operator's choice."""

from sqlalchemy import Column, String

from upstream.registry.sql.migrations.steps import add_columns, add_index

revision = "rocky_expand02"
down_revision = "rocky_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_columns("images", Column("os_hash_algo", String(64)), Column("os_hash_value", String(128)))
    add_index("os_hash_value_image_idx", "images", "os_hash_value")
