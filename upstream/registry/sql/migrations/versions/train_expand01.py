"""Glance Train, expand. Nothing changed."""

revision = "train_expand01"
down_revision = "rocky_expand02"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The schema is as before."""
