"""Rows to metadata definitions and back. Pure: no connection is touched here."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from upstream.errors import Invalid
from upstream.registry.metadefs import (
    NAME_MAX,
    OWNER_MAX,
    Association,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    Namespace,
    ResourceType,
)

_TEXT_MAX_BYTES = 65535  # what MySQL's TEXT holds
_BASIC_PLANE_MAX = "\uffff"  # what three bytes of UTF-8 hold, and so MySQL in Glance's schema

AnyRow = Row[*tuple[Any, ...]]


def to_namespace(row: AnyRow) -> Namespace:
    return Namespace(
        name=row.namespace,
        owner=row.owner,
        display_name=row.display_name,
        description=row.description,
        visibility=row.visibility or "private",
        protected=bool(row.protected),
        **times(row),
    )


def from_namespace(namespace: Namespace) -> dict[str, Any]:
    """Raises Invalid, as do all of these."""
    return {
        "namespace": text("namespace", namespace.name),
        "owner": text("owner", namespace.owner, OWNER_MAX),
        "display_name": text("display_name", namespace.display_name),
        "description": text("description", namespace.description, None),
        "visibility": namespace.visibility,
        "protected": namespace.protected,
    }


def to_resource_type(row: AnyRow) -> ResourceType:
    return ResourceType(name=row.name, **times(row))


def to_association(row: AnyRow) -> Association:
    return Association(name=row.name, prefix=row.prefix, properties_target=row.properties_target, **times(row))


def from_association(association: Association) -> dict[str, Any]:
    return {
        "prefix": text("prefix", association.prefix),
        "properties_target": text("properties_target", association.properties_target),
    }


def to_property(row: AnyRow) -> MetadefProperty:
    return MetadefProperty(name=row.name, schema=_mapping(row.json_schema), **times(row))


def from_property(item: MetadefProperty) -> dict[str, Any]:
    return {"name": text("the property's name", item.name), "json_schema": dict(item.schema)}


def to_object(row: AnyRow) -> MetadefObject:
    properties = {name: _mapping(schema) for name, schema in _mapping(row.json_schema).items()}
    required = tuple(row.required.split(",")) if row.required else ()
    return MetadefObject(
        name=row.name, description=row.description, required=required, properties=properties, **times(row)
    )


def from_object(item: MetadefObject) -> dict[str, Any]:
    return {
        "name": text("the object's name", item.name),
        "description": text("the object's description", item.description, None),
        "required": text("required", ",".join(item.required) or None, None),
        "json_schema": {name: dict(schema) for name, schema in item.properties.items()},
    }


def to_tag(row: AnyRow) -> MetadefTag:
    return MetadefTag(name=row.name, **times(row))


def from_tag(item: MetadefTag) -> dict[str, Any]:
    return {"name": text("the tag's name", item.name)}


def text(what: str, value: str | None, characters_max: int | None = NAME_MAX) -> str | None:
    """`value`, if every database can hold it; without `characters_max` as a long text. Raises Invalid."""
    if value is None:
        return None
    if characters_max is not None and len(value) > characters_max:
        raise Invalid(f"{what} has {len(value)} characters, at most {characters_max} are allowed")
    if value and max(value) > _BASIC_PLANE_MAX:
        raise Invalid(f"{what} must not contain characters of 4 bytes: not every database can hold them")
    if characters_max is None and len(value.encode("utf-8", "surrogatepass")) > _TEXT_MAX_BYTES:
        raise Invalid(f"{what} has more than {_TEXT_MAX_BYTES} bytes")
    return value


def times(row: AnyRow) -> dict[str, datetime | None]:
    return {"created_at": _aware(row.created_at), "updated_at": _aware(row.updated_at)}


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _mapping(document: Any) -> Mapping[str, Any]:
    """A file of Glance's may have said nothing where a mapping belongs: its loader keeps that as null."""
    return document if isinstance(document, Mapping) else {}
