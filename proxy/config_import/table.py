"""The table: every option that a Glance has or had, with what becomes of it in Glint."""

from collections.abc import Mapping

from proxy.config_import import api_rows, identity_rows, registry_rows, server_rows, store_rows
from proxy.config_import.conf import normalized
from proxy.config_import.options import Name, Option
from proxy.config_import.rows import Row

ROWS: tuple[Row, ...] = (
    *server_rows.ROWS,
    *identity_rows.ROWS,
    *api_rows.ROWS,
    *store_rows.ROWS,
    *registry_rows.ROWS,
)

OPTIONS: Mapping[Name, Option] = {
    (normalized(section), name): option for row in ROWS for option in row.options for section, name in option.names
}


def row_of(section: str, name: str) -> Row | None:
    """The row that says what becomes of an option; those that name it come before those whose patterns fit."""
    wanted = (normalized(section), name)
    for row in ROWS:
        if any((normalized(place), each) == wanted for option in row.options for place, each in option.names):
            return row
    return next((row for row in ROWS if row.covers(*wanted)), None)
