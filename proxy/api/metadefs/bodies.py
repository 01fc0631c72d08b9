"""What clients send about metadata definitions, checked and taken apart. Pure.

Everything raises BadRequest for what matches no schema, and Forbidden for what only Glint may write.
Source: the RequestDeserializers of glance/api/v2/metadef_*.py.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.api.metadefs.property_types import kept
from proxy.api.metadefs.schemas import check
from proxy.errors import BadRequest, Forbidden
from upstream.registry import (
    Association,
    Definitions,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    Namespace,
)

Body = Mapping[str, Any]

_TIMES = ("created_at", "updated_at")
_READ_ONLY = ("self", "schema", *_TIMES)
_ASSOCIATION = ("name", "prefix", "properties_target")
_OBJECT = ("name", "required", "description", "properties")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNamespace:
    """`given`: the contents that were sent, as the answer repeats them."""

    definitions: Definitions
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentObject:
    """`given`: the attributes that were sent; the answer shows no others."""

    item: MetadefObject
    given: Collection[str]


def namespace(body: object, *, owner: str | None) -> Namespace:
    """The namespace itself; `owner` stands in where the body names none."""
    document = _checked(body, "namespace", _READ_ONLY)
    return Namespace(
        name=document["namespace"],
        owner=document.get("owner") or owner or "",
        display_name=document.get("display_name"),
        description=document.get("description"),
        visibility=document.get("visibility", "private"),
        protected=document.get("protected", False),
    )


def new_namespace(body: object, *, owner: str | None) -> NewNamespace:
    """The namespace with all it is to hold."""
    itself = namespace(body, owner=owner)
    assert isinstance(body, Mapping)  # or it would not have matched
    given: dict[str, Any] = {}
    if "resource_type_associations" in body:
        given["resource_type_associations"] = _nested(body, "resource_type_associations", _ASSOCIATION)
    if "properties" in body:
        given["properties"] = _properties(body["properties"], "namespace.properties")
    if "objects" in body:
        given["objects"] = [
            _with_properties(item, f"namespace.objects.{number}")
            for number, item in enumerate(_nested(body, "objects", _OBJECT))
        ]
    if "tags" in body:
        given["tags"] = _nested(body, "tags", ("name",))
    return NewNamespace(
        definitions=Definitions(
            namespace=itself,
            associations=tuple(Association(**each) for each in given.get("resource_type_associations", ())),
            properties=tuple(
                MetadefProperty(name=name, schema=schema) for name, schema in given.get("properties", {}).items()
            ),
            objects=tuple(_object(each) for each in given.get("objects", ())),
            tags=tuple(MetadefTag(**each) for each in given.get("tags", ())),
        ),
        given=given,
    )


def association(body: object) -> Association:
    return Association(**_checked(body, "resource_type", _TIMES))


def metadef_property(body: object) -> MetadefProperty:
    """Its schema holds the name too, as Glance keeps it."""
    document = _checked(body, "property", _TIMES)
    return MetadefProperty(name=document["name"], schema=kept(document, "property"))


def metadef_object(body: object, *, is_new: bool) -> SentObject:
    """Of a new object every property must match the schema of properties too, as in Glance."""
    document = _checked(body, "object", _READ_ONLY)
    if is_new:
        for name, schema in document.get("properties", {}).items():
            check("nested property", schema, f"object.properties.{name}")
    item = _with_properties(document, "object")
    return SentObject(item=_object(item), given=frozenset(item))


def tag(body: object) -> MetadefTag:
    return MetadefTag(name=_checked(body, "tag", _TIMES)["name"])


def tag_names(body: object) -> tuple[str, ...]:
    document = _checked(body, "tag list", _TIMES)
    if "tags" not in document:
        raise BadRequest("The body must have a list of tags.")
    return tuple(each["name"] for each in document["tags"])


def _checked(body: object, schema: str, read_only: Collection[str]) -> Body:
    if not isinstance(body, Mapping):
        raise BadRequest("The body must be a JSON object.")
    for name in read_only:
        if name in body:
            raise Forbidden(f"Attribute '{name}' is read-only.")
    check(schema, body)
    return body


def _nested(body: Body, name: str, attributes: Collection[str]) -> list[dict[str, Any]]:
    """The items of one kind in a namespace; what Glint would say of each is passed over."""
    items = []
    for number, item in enumerate(body[name]):
        at = f"namespace.{name}.{number}"
        if "name" not in item:
            raise BadRequest(f"{at} has no name.")
        if unknown := sorted(item.keys() - {*attributes, *_READ_ONLY}):
            raise BadRequest(f"{at} has no attribute {', '.join(unknown)}.")
        items.append({key: item[key] for key in attributes if key in item})
    return items


def _properties(properties: Mapping[str, Body], at: str) -> dict[str, Any]:
    return {name: kept(schema, f"{at}.{name}") for name, schema in properties.items()}


def _with_properties(item: Body, at: str) -> dict[str, Any]:
    if "properties" not in item:
        return dict(item)
    return {**item, "properties": _properties(item["properties"], f"{at}.properties")}


def _object(item: Body) -> MetadefObject:
    return MetadefObject(**{**item, "required": tuple(item.get("required", ()))})
