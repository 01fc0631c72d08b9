"""Glance Queens, contract. Where the upgrades begin."""

revision = "queens_contract01"
down_revision = None
branch_labels = None
depends_on = "queens_expand01"


def upgrade() -> None:
    """The schema is as before."""
