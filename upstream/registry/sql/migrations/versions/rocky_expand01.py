"""Glance Rocky, expand: images may be hidden."""

from sqlalchemy import Boolean, Column, false

from upstream.registry.sql.migrations.steps import add_columns, add_index

revision = "rocky_expand01"
down_revision = "queens_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_columns("images", Column("os_hidden", Boolean(), nullable=False, server_default=false()))
    add_index("os_hidden_image_idx", "images", "os_hidden")
