"""Glance Rocky, contract. Nothing changed."""

revision = "rocky_contract01"
down_revision = "queens_contract01"
branch_labels = None
depends_on = "rocky_expand01"


def upgrade() -> None:
    """The schema is as before."""
