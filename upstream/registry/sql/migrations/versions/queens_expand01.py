"""Glance Queens, expand. Where the upgrades begin."""

revision = "queens_expand01"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The schema is as before."""
