"""Which attributes of an image a client may set, and the limits on them. Pure.

Source: glance/api/v2/images.py, RequestDeserializer; glance/domain/__init__.py, ImageFactory.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from proxy.api.config import ApiConfig
from proxy.api.schemas import Schemas
from proxy.errors import BadRequest, Forbidden, TooLarge
from proxy.policy import Action
from upstream.types import Image, Status, Visibility

May = Callable[[Action, str], bool]  # what the protection of a custom property says of who asks

COMPUTED = frozenset({"direct_url", "self", "file", "schema", "stores"})
READ_ONLY = frozenset({"direct_url", "self", "file", "schema"}) | {
    "id",
    "created_at",
    "updated_at",
    "status",
    "checksum",
    "size",
    "virtual_size",
    "os_hash_algo",
    "os_hash_value",
}
RESERVED = frozenset({"location", "locations", "deleted", "deleted_at"})
RESERVED_PREFIX = "os_glance"
NAME_MAX = 255
_ANY_ID = "00000000-0000-4000-8000-000000000000"
_VALUE_MAX_BYTES = 65535  # what MySQL's TEXT holds
_BASIC_PLANE_MAX = "\uffff"  # what three bytes of UTF-8 hold, and so MySQL in Glance's schema
_IGNORED_WHEN_NEW = frozenset({"os_hash_algo", "os_hash_value"})
_INT32_MAX = 2**31 - 1

# The attributes a client may set, as the API names them, and the fields of Image that hold them.
SETTABLE: Mapping[str, str] = MappingProxyType(
    {
        "name": "name",
        "visibility": "visibility",
        "disk_format": "disk_format",
        "container_format": "container_format",
        "min_disk": "min_disk_gib",
        "min_ram": "min_ram_mib",
        "owner": "owner",
        "protected": "protected",
        "os_hidden": "os_hidden",
        "tags": "tags",
    }
)


def new_image(
    body: Mapping[str, Any], *, image_id: str, owner: str | None, now: datetime, schemas: Schemas, config: ApiConfig
) -> Image:
    """The image that a POST body describes; `image_id` and `owner` stand in where the body names none.

    Raises BadRequest, Forbidden, TooLarge. Nothing here asks who the caller is: that is policy.
    """
    check_document(body, schemas)
    return image_of(body, image_id=image_id, owner=owner, now=now, config=config)


def check_document(body: Mapping[str, Any], schemas: Schemas) -> None:
    """What is looked at before it is asked who the caller is. Raises BadRequest, Forbidden."""
    for name in body:
        if name in COMPUTED:
            raise read_only(name)
    schemas.check_image(body)
    if len(body.get("id", _ANY_ID)) != len(_ANY_ID):  # the schema's "$" lets a line feed pass
        raise BadRequest("The id must be a UUID.")
    for name in body:
        check_name(name, exempt=_IGNORED_WHEN_NEW | {"id"})
        check_length(name)


def image_of(body: Mapping[str, Any], *, image_id: str, owner: str | None, now: datetime, config: ApiConfig) -> Image:
    """What is looked at afterwards. Raises BadRequest, TooLarge."""
    values = {SETTABLE[name]: column_value(name, value) for name, value in body.items() if name in SETTABLE}
    properties = {
        name: property_value(name, value)
        for name, value in body.items()
        if name not in SETTABLE and name not in _IGNORED_WHEN_NEW and name != "id"
    }
    check_property_quota(properties, config)
    check_tag_quota(body.get("tags", ()), config)
    return Image(
        id=body.get("id", image_id),
        created_at=now,
        updated_at=now,
        status=Status.QUEUED,
        properties=properties,
        **{"owner": owner, **values},
    )


def check_name(name: str, exempt: Collection[str] = ()) -> None:
    """Raises Forbidden for a name that only Glint may write."""
    if name in READ_ONLY and name not in exempt:
        raise read_only(name)
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def check_length(name: str) -> None:
    """Raises BadRequest for the name of a property that no column takes."""
    if len(name) > NAME_MAX:
        raise BadRequest(f"The name of a custom property has {len(name)} characters, at most {NAME_MAX} are allowed.")


def read_only(name: str) -> Forbidden:
    return Forbidden(f"Attribute '{name}' is read-only.")


def column_value(name: str, value: Any) -> Any:
    """`value`, which the schema has passed, as `Image` and the registry hold it. Raises BadRequest."""
    if name in {"min_disk", "min_ram"}:
        number = int(value)
        if not 0 <= number <= _INT32_MAX:
            raise BadRequest(f"Attribute '{name}' is {number}, it must lie between 0 and {_INT32_MAX}.")
        return number
    if name == "visibility":
        return Visibility(value)
    if name == "tags":
        for tag in value:
            check_letters("A tag", tag)
        return tuple(dict.fromkeys(value))
    if name in {"name", "owner"} and value:
        check_letters(f"The {name}", value)
    return value


def check_letters(what: str, text: str) -> None:
    """Raises BadRequest for what not every database can hold; as Glance does, whichever the database is."""
    if not text.isascii() and max(text) > _BASIC_PLANE_MAX:
        raise BadRequest(f"{what} must not contain characters of 4 bytes: not every database can hold them.")


def check_protections(names: Iterable[str], may: May) -> None:
    """Raises Forbidden for the first property that may not be created."""
    for name in names:
        if not may(Action.CREATE, name):
            raise protected(name)


def protected(name: str) -> Forbidden:
    return Forbidden(f"Property '{name}' is protected.")


def property_value(name: str, value: object) -> str | None:
    """The value of a custom property, as text: numbers and booleans are what the operator's schema may ask for.

    Raises BadRequest if no column takes it or its name.
    """
    check_letters("The name of a custom property", name)
    if value is None:
        return None
    if isinstance(value, bool):
        return str(int(value))  # as MySQL keeps it for Glance
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise BadRequest(f"The value of '{name}' must be a finite number.")
        return str(int(value) if value == int(value) else value)
    if not isinstance(value, str):
        raise BadRequest(f"The value of '{name}' is neither a text nor a number, and no other can be kept.")
    if len(value.encode("utf-8", "surrogatepass")) > _VALUE_MAX_BYTES:
        raise BadRequest(f"The value of '{name}' has more than {_VALUE_MAX_BYTES} bytes.")
    check_letters(f"The value of '{name}'", value)
    return value


def check_property_quota(properties: Collection[str], config: ApiConfig) -> None:
    count = sum(not name.startswith(RESERVED_PREFIX) for name in properties)
    _check_quota("image properties", count, config.image_property_quota)


def check_tag_quota(tags: Collection[str], config: ApiConfig) -> None:
    """As they were sent: one that is named twice counts twice."""
    _check_quota("image tags", len(tags), config.image_tag_quota)


def check_location_quota(count: int, config: ApiConfig) -> None:
    _check_quota("image locations", count, config.image_location_quota)


def _check_quota(what: str, count: int, quota: int) -> None:
    if 0 <= quota < count:
        raise TooLarge(f"The limit on the number of {what} would be passed. Attempted: {count}, Maximum: {quota}")
