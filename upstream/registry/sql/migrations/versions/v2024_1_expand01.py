"""Glance 2024.1, expand: what each node has in its image cache."""

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Integer, String, UniqueConstraint

from upstream.registry.sql.migrations.steps import add_table

revision = "2024_1_expand01"
down_revision = "2023_1_expand01"
branch_labels = None
depends_on = None

# SQLite numbers rows by itself only in a column that is called INTEGER.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    add_table(
        "node_reference",
        Column("node_reference_id", _NUMBER, primary_key=True, autoincrement=True),
        Column("node_reference_url", String(255), nullable=False),
        UniqueConstraint("node_reference_url", name="uq_node_reference_node_reference_url"),
    )
    add_table(
        "cached_images",
        Column("id", _NUMBER, primary_key=True, autoincrement=True),
        Column("image_id", String(36), nullable=False),
        Column("last_accessed", DateTime(), nullable=False),
        Column("last_modified", DateTime(), nullable=False),
        Column("size", BigInteger(), nullable=False),
        Column("hits", Integer(), nullable=False),
        Column("checksum", String(32)),
        Column("node_reference_id", _NUMBER, ForeignKey("node_reference.node_reference_id"), nullable=False),
        UniqueConstraint("image_id", "node_reference_id", name="ix_cached_images_image_id_node_reference_id"),
    )
