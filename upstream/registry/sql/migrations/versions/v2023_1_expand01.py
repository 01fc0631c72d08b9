"""Glance 2023.1, expand. Nothing changed."""

revision = "2023_1_expand01"
down_revision = "zed_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The schema is as before."""
