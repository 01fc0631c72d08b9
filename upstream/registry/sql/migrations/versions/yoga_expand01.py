"""Glance Yoga, expand. Nothing changed."""

revision = "yoga_expand01"
down_revision = "xena_expand01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The schema is as before."""
