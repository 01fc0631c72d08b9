"""Glance Wallaby, expand: which image, request and user a task belongs to."""

from sqlalchemy import Column, String

from upstream.registry.sql.migrations.steps import add_columns, add_index

revision = "wallaby_expand01"
down_revision = "ussuri_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_columns(
        "tasks", Column("image_id", String(36)), Column("request_id", String(64)), Column("user_id", String(64))
    )
    add_index("ix_tasks_image_id", "tasks", "image_id")
