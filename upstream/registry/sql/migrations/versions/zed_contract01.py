"""Glance Zed, contract. Nothing changed."""

revision = "zed_contract01"
down_revision = "yoga_contract01"
branch_labels = None
depends_on = "zed_expand01"


def upgrade() -> None:
    """The schema is as before."""
