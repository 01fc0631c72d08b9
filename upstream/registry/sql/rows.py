"""Rows to images and back. Pure: no connection is touched here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Enum

from upstream.errors import Invalid
from upstream.registry.sql.tables import images
from upstream.types import Context, Image, Location, Status, Visibility

# The order in which a row of images is read, after its kind, id and row: `to_image` unpacks it.
FIELDS = (
    images.c.name,
    images.c.status,
    images.c.visibility,
    images.c.owner,
    images.c.created_at,
    images.c.updated_at,
    images.c.disk_format,
    images.c.container_format,
    images.c.size,
    images.c.virtual_size,
    images.c.checksum,
    images.c.os_hash_algo,
    images.c.os_hash_value,
    images.c.min_disk,
    images.c.min_ram,
    images.c.protected,
    images.c.os_hidden,
)


class ImageRow(NamedTuple):
    """A row of images: after two columns of the reading's own, the fields in the order of FIELDS. Times are aware."""

    kind: int
    id: str
    row_id: int
    name: str | None
    status: str
    visibility: str
    owner: str | None
    created_at: datetime
    updated_at: datetime | None
    disk_format: str | None
    container_format: str | None
    size: int | None
    virtual_size: int | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    min_disk: int
    min_ram: int
    protected: bool
    os_hidden: bool


assert ImageRow._fields[3:] == tuple(column.name for column in FIELDS)

# Looked up, in place of a call of the class, which costs ten times as much.
_STATUSES = {status.value: status for status in Status}
_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}

# What an update may set. Times and `deleted` belong to the registry.
WRITABLE = frozenset(column.name for column in FIELDS) - {"created_at", "updated_at"}


@dataclass(slots=True)
class Record:
    """One image as the database has it. Tags and locations are in the order of their rows' ids."""

    row: ImageRow
    properties: dict[str, str | None] = field(default_factory=dict)
    tags: list[tuple[int, str]] = field(default_factory=list)
    locations: list[tuple[int, str, str | None]] = field(default_factory=list)  # id, URL, metadata as JSON
    members: set[str] = field(default_factory=set)  # only projects that were asked about


def to_image(record: Record, context: Context, *, shows_locations: bool | None = None) -> Image:
    """What `context` is told about an image it may see.

    A deactivated image has no locations for anybody but an admin, as in Glance; `shows_locations` overrules that.
    Who sees another's shared image sees it as a member, or as an admin, which Glance's policy treats as one.
    """
    (
        _,
        image_id,
        _,
        name,
        status,
        visibility,
        owner,
        created_at,
        updated_at,
        disk_format,
        container_format,
        size,
        virtual_size,
        checksum,
        os_hash_algo,
        os_hash_value,
        min_disk,
        min_ram,
        protected,
        os_hidden,
    ) = record.row
    if shows_locations is None:
        shows_locations = context.is_admin or status != Status.DEACTIVATED
    return Image(
        id=image_id,
        name=name,
        status=_STATUSES[status],
        visibility=_VISIBILITIES[visibility],
        owner=owner,
        created_at=created_at,
        updated_at=updated_at or created_at,
        disk_format=disk_format,
        container_format=container_format,
        size_bytes=size,
        virtual_size_bytes=virtual_size,
        checksum=checksum,
        os_hash_algo=os_hash_algo,
        os_hash_value=os_hash_value,
        min_disk_gib=min_disk,
        min_ram_mib=min_ram,
        protected=protected,
        os_hidden=os_hidden,
        properties=record.properties,
        tags=tuple(dict.fromkeys([tag for _, tag in record.tags])),  # older rows may hold one twice
        locations=tuple([_to_location(*location) for location in record.locations]) if shows_locations else (),
        member=context.project_id if visibility == Visibility.SHARED and owner != context.project_id else None,
    )


def _to_location(location_id: int, url: str, metadata: str | None) -> Location:
    return Location(id=location_id, url=url, metadata=json.loads(metadata) if metadata else {})


def to_row(image: Image) -> dict[str, Any]:
    """The values of a new row of images. Raises Invalid for a number that its column does not hold."""
    values = {
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "visibility": image.visibility,
        "owner": image.owner or None,
        "created_at": image.created_at,
        "updated_at": image.updated_at,
        "deleted": False,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": image.size_bytes,
        "virtual_size": image.virtual_size_bytes,
        "checksum": image.checksum,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "min_disk": image.min_disk_gib,
        "min_ram": image.min_ram_mib,
        "protected": image.protected,
        "os_hidden": image.os_hidden,
    }
    return {name: plain(images.c[name], value) for name, value in values.items()}


def to_values(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an update. Raises Invalid for a column that is none, or that only the registry sets."""
    if unknown := sorted(set(columns) - WRITABLE):
        raise Invalid(f"An image has no {', '.join(unknown)} that can be set")
    return {name: plain(images.c[name], value) for name, value in columns.items()}


def plain(column: ColumnElement[Any], value: Any) -> Any:
    """A value as the drivers take it for this column. Raises Invalid for one that the column cannot hold.

    SQLite would take it, and a database that does not says so in many ways.
    """
    if value is None:
        return None
    kind = column.type
    if not isinstance(value, kind.python_type) or (isinstance(kind, Enum) and value not in kind.enums):
        raise Invalid(f"{value!r} is no value of {column.key}")
    if isinstance(value, int):
        limit = 2**63 if isinstance(kind, BigInteger) else 2**31
        if not -limit <= value < limit:
            raise Invalid(f"{value} is out of the range of {column.key}")
    if isinstance(value, datetime):
        return to_naive(value)
    return value.value if isinstance(value, StrEnum) else value


def to_naive(moment: datetime) -> datetime:
    """UTC without saying so, as the columns have it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def now() -> datetime:
    """The time as the columns have it."""
    return datetime.now(UTC).replace(tzinfo=None)
