"""Custom properties that the operator has described, in a file that Glance reads too (schema-image.json).

Source: glance/api/v2/images.py, load_custom_properties and get_schema.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from proxy.api.config import ApiConfig
from proxy.api.schema_properties import image_properties
from proxy.operator_files import FileBroken, read_operator_file


class ImageSchemaBroken(FileBroken):
    what = "image schema file"


@dataclass(frozen=True, slots=True)
class CustomProperties:
    """Name to JSON schema, and the names that no new image may lack."""

    properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()


def load(path: Path | None, config: ApiConfig) -> CustomProperties:
    """Read the file, in the blocking way. Raises ImageSchemaBroken."""
    if path is None:
        return CustomProperties()
    data = read_operator_file(path, ImageSchemaBroken)
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ImageSchemaBroken(path, [f"is no JSON: {error}"]) from error
    if problems := _problems(document, config):
        raise ImageSchemaBroken(path, problems)
    # The extended form has a key `properties`, the flat one is that mapping itself.
    properties, required = document, ()
    if "properties" in document:
        properties, required = document["properties"], tuple(document.get("required") or ())
    return CustomProperties({name: {**schema, "is_base": False} for name, schema in properties.items()}, required)


def _problems(document: Any, config: ApiConfig) -> list[str]:
    properties = document.get("properties", document) if isinstance(document, dict) else document
    if not isinstance(properties, dict):
        return ['expected an object such as {"properties": {"os_distro": {"type": "string"}}, "required": []}']
    problems = []
    for name, schema in properties.items():
        if name in image_properties(config):
            problems.append(f"{name}: an attribute of every image cannot be described anew")
        elif not isinstance(schema, dict):
            problems.append(f"{name}: expected a JSON schema")
        elif problem := _schema_problem(schema):
            problems.append(f"{name}: {problem}")
    required = document.get("required") if "properties" in document else None
    if required is not None and not (isinstance(required, list) and all(isinstance(name, str) for name in required)):
        problems.append("required: expected a list of names")
    return problems


def _schema_problem(schema: Mapping[str, Any]) -> str | None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"no JSON schema: {error.message[:200]}"
    return None
