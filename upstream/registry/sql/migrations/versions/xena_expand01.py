"""Glance Xena, expand. Nothing changed."""

revision = "xena_expand01"
down_revision = "wallaby_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The schema is as before."""
