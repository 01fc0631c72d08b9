"""Glance Train, contract: its data migration. The store of a location was called its `backend` before."""

from alembic import op
from sqlalchemy import Text, column, func, table, update

revision = "train_contract01"
down_revision = "rocky_contract02"
branch_labels = None
depends_on = "train_expand01"

_OLD, _NEW = '"backend":', '"store":'


def upgrade() -> None:
    """As text, as Glance does it: in JSON these letters are a key, since within a text the quotes are escaped."""
    metadata = column("meta_data", Text())
    locations = table("image_locations", metadata)
    renamed = func.replace(metadata, _OLD, _NEW)
    op.execute(update(locations).where(metadata.contains(_OLD)).values(meta_data=renamed))
