"""The attributes of metadata definitions as JSON schemas say them. Pure.

Keys and rules are Glance's. Sources: glance/api/v2/metadef_namespaces.py, get_schema_definitions, and the
_get_base_properties of all metadef modules.
"""

from typing import Any

Parts = dict[str, Any]

_TYPES = ["array", "boolean", "integer", "number", "object", "string", None]
_STRING: Parts = {"type": "string"}
_READ_ONLY: Parts = {"readOnly": True, "type": "string"}
_POSITIVE: Parts = {"$ref": "#/definitions/positiveInteger"}
_POSITIVE_OR_0: Parts = {"$ref": "#/definitions/positiveIntegerDefault0"}


def _text(characters_max: int, description: str | None = None) -> Parts:
    described = {"description": description} if description else {}
    return {"type": "string", **described, "maxLength": characters_max}


def _moment(description: str) -> Parts:
    return {"type": "string", "readOnly": True, "description": description, "format": "date-time"}


PROPERTY: Parts = {
    "name": _text(80),
    "title": _STRING,
    "description": _STRING,
    "operators": {"type": "array", "items": _STRING},
    "type": {"type": "string", "enum": _TYPES},
    "required": {"$ref": "#/definitions/stringArray"},
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "maxLength": _POSITIVE,
    "minLength": _POSITIVE_OR_0,
    "pattern": {"type": "string", "format": "regex"},
    "enum": {"type": "array"},
    "readonly": {"type": "boolean"},
    "default": {},
    "items": {
        "type": "object",
        "properties": {"type": {"type": "string", "enum": _TYPES}, "enum": {"type": "array"}},
    },
    "maxItems": _POSITIVE,
    "minItems": _POSITIVE_OR_0,
    "uniqueItems": {"type": "boolean", "default": False},
    "additionalItems": {"type": "boolean"},
}

_NUMBERS: Parts = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {"allOf": [_POSITIVE, {"default": 0}]},
}

# What the schemas of namespaces and objects refer to. In that of properties a list of names must not be empty.
DEFINITIONS: Parts = {
    **_NUMBERS,
    "stringArray": {"type": "array", "items": _STRING, "uniqueItems": True},
    "property": {
        "type": "object",
        "additionalProperties": {"type": "object", "required": ["title", "type"], "properties": PROPERTY},
    },
}
PROPERTY_DEFINITIONS: Parts = {
    **_NUMBERS,
    "stringArray": {"type": "array", "items": _STRING, "minItems": 1, "uniqueItems": True},
}

NAMESPACE: Parts = {
    "namespace": _text(80, "The name by which the namespace is known"),
    "display_name": _text(80, "A name for people"),
    "description": _text(500, "What the namespace is for"),
    "visibility": {"type": "string", "description": "Who can see it", "enum": ["public", "private"]},
    "protected": {"type": "boolean", "description": "Whether it and what it holds are kept from being deleted"},
    "owner": _text(255, "The project that owns it"),
    "created_at": _moment("When the namespace was created"),
    "updated_at": _moment("When the namespace was last changed"),
    "schema": _READ_ONLY,
    "self": _READ_ONLY,
    "resource_type_associations": {
        "type": "array",
        "items": {"type": "object", "properties": {"name": _STRING, "prefix": _STRING, "properties_target": _STRING}},
    },
    "properties": {"$ref": "#/definitions/property"},
    "objects": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": _STRING,
                "description": _STRING,
                "required": {"$ref": "#/definitions/stringArray"},
                "properties": {"$ref": "#/definitions/property"},
            },
        },
    },
    "tags": {"type": "array", "items": {"type": "object", "properties": {"name": _STRING}}},
}

OBJECT: Parts = {
    "name": _text(80),
    "description": _STRING,
    "required": {"$ref": "#/definitions/stringArray"},
    "properties": {"$ref": "#/definitions/property"},
    "schema": _READ_ONLY,
    "self": _READ_ONLY,
    "created_at": _moment("When the object was created"),
    "updated_at": _moment("When the object was last changed"),
}

RESOURCE_TYPE: Parts = {
    "name": _text(80, "The resource type's name, as Heat has it if it has one"),
    "prefix": _text(80, "What stands before the names of properties on this type, with the separator at its end"),
    "properties_target": _text(80, "Which of several sets of key-value pairs of the resource is meant"),
    "created_at": _moment("When the resource type was associated"),
    "updated_at": _moment("When the association was last changed"),
}

TAG: Parts = {
    "name": _text(80),
    "created_at": _moment("When the tag was created"),
    "updated_at": _moment("When the tag was last changed"),
}

TAG_LIST: Parts = {
    "tags": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": _STRING},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
}
