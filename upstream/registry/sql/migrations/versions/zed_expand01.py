"""Glance Zed, expand. Nothing changed."""

revision = "zed_expand01"
down_revision = "yoga_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The schema is as before."""
