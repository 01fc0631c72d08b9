"""The ten schemas of metadata definitions that are served, and the checks made with the very same documents. Pure.

Shape and keys are Glance's. Source: glance/schema.py.
"""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from proxy.api.metadefs import schema_parts as parts
from proxy.errors import BadRequest

Document = Mapping[str, Any]

_MESSAGE_MAX = 500
_LINKS = [
    {"rel": "first", "href": "{first}"},
    {"rel": "next", "href": "{next}"},
    {"rel": "describedby", "href": "{schema}"},
]


def _item(name: str, properties: Document, *required: str) -> dict[str, Any]:
    return {
        "name": name,
        "properties": properties,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


def _collection(name: str, items: Document, definitions: Document | None = None) -> Document:
    pages = {"first": {"type": "string"}, "next": {"type": "string"}, "schema": {"type": "string"}}
    return {
        "name": name,
        "properties": {name: items, **pages},
        "links": _LINKS,
        **({"definitions": definitions} if definitions else {}),
    }


def _list(item: Document) -> Document:
    return {"type": "array", "items": item}


_NAMESPACE = _item("namespace", parts.NAMESPACE, "namespace")
_OBJECT = _item("object", parts.OBJECT, "name")
_PROPERTY = _item("property", parts.PROPERTY, "type", "title")
_RESOURCE_TYPE = _item("resource_type_association", parts.RESOURCE_TYPE, "name")
_TAG = _item("tag", parts.TAG, "name")

# By the last part of their paths. A property in a collection has its name outside.
DOCUMENTS: Mapping[str, Document] = {
    "namespace": {**_NAMESPACE, "definitions": parts.DEFINITIONS},
    "namespaces": _collection("namespaces", _list(_NAMESPACE), parts.DEFINITIONS),
    "resource_type": _RESOURCE_TYPE,
    "resource_types": _collection("resource_type_associations", _list(_RESOURCE_TYPE)),
    "property": {
        **_item("property", parts.PROPERTY, "type", "title", "name"),
        "definitions": parts.PROPERTY_DEFINITIONS,
    },
    "properties": _collection(
        "properties", {"type": "object", "additionalProperties": _PROPERTY}, parts.PROPERTY_DEFINITIONS
    ),
    "object": {**_OBJECT, "definitions": parts.DEFINITIONS},
    "objects": _collection("objects", _list(_OBJECT), parts.DEFINITIONS),
    "tag": _TAG,
    "tags": _collection("tags", _list(_TAG)),
}

_VALIDATORS = {name: Draft202012Validator(document) for name, document in DOCUMENTS.items()} | {
    "nested property": Draft202012Validator({**_PROPERTY, "definitions": parts.PROPERTY_DEFINITIONS}),
    "tag list": Draft202012Validator(_item("tags", parts.TAG_LIST)),
}


def check(name: str, document: object, at: str | None = None) -> None:
    """Raises BadRequest if `document`, which stands at `at`, does not match the schema `name`."""
    # The first error is enough: looking for the best one would read all of a body that is wrong throughout.
    error = next(_VALIDATORS[name].iter_errors(document), None)
    if error is not None:
        path = ".".join([at or name, *(str(part) for part in error.absolute_path)])
        is_short = len(error.message) <= _MESSAGE_MAX
        message = error.message if is_short else f"breaks the rule {error.validator} = {error.validator_value!r}"
        raise BadRequest(f"The body does not match the schema: {path}: {message[:_MESSAGE_MAX]}")
