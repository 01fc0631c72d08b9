"""Files of metadata definitions, one namespace each, in the JSON that `glance-manage` loads and exports. Pure.

Source: glance/db/sqlalchemy/metadata.py.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from proxy.api.metadefs.schemas import check
from proxy.errors import BadRequest
from upstream.registry import (
    DEFAULT_OWNER,
    Association,
    Definitions,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    Namespace,
)

_NAMED_LISTS = ("resource_type_associations", "objects", "tags")
_NO_LETTER = re.compile(r"[\W_]+")


class BadDefinitions(Exception):
    """A file holds no namespace. The message names the key that is wrong."""


def parse(text: str) -> Definitions:
    """What a file defines. A key that is null counts as left out, as Glance exports it.

    Properties are kept as they stand, whatever else is said of them. Raises BadDefinitions.
    """
    document = _document(text)
    try:
        check("namespace", document)
    except BadRequest as error:
        raise BadDefinitions(str(error).partition(": ")[2]) from None
    for name in _NAMED_LISTS:
        _check_names(name, document.get(name, ()))
    return Definitions(
        namespace=Namespace(
            name=document["namespace"],
            owner=document.get("owner", DEFAULT_OWNER),
            display_name=document.get("display_name"),
            description=document.get("description"),
            visibility=document.get("visibility", "private"),
            protected=document.get("protected", False),
        ),
        associations=tuple(
            Association(name=each["name"], prefix=each.get("prefix"), properties_target=each.get("properties_target"))
            for each in document.get("resource_type_associations", ())
        ),
        properties=tuple(
            MetadefProperty(name=name, schema=schema) for name, schema in document.get("properties", {}).items()
        ),
        objects=tuple(
            MetadefObject(
                name=each["name"],
                description=each.get("description"),
                required=tuple(each.get("required", ())),
                properties=each.get("properties", {}),
            )
            for each in document.get("objects", ())
        ),
        tags=tuple(MetadefTag(name=each["name"]) for each in document.get("tags", ())),
    )


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadDefinitions(f"line {error.lineno}: is no JSON: {error.msg}") from None
    except (ValueError, RecursionError):
        raise BadDefinitions("is no JSON that can be read") from None
    if not isinstance(document, dict):
        raise BadDefinitions("expected a JSON object that describes one namespace")
    document = _said(document)
    for name in _NAMED_LISTS:
        if isinstance(items := document.get(name), list):
            document[name] = [_said(item) if isinstance(item, dict) else item for item in items]
    return document


def _said(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _check_names(kind: str, items: Sequence[Mapping[str, Any]]) -> None:
    for number, item in enumerate(items):
        if "name" not in item:
            raise BadDefinitions(f"namespace.{kind}.{number}: 'name' is a required property")
    twice = [name for name, count in Counter(item["name"] for item in items).items() if count > 1]
    if twice:
        raise BadDefinitions(f"namespace.{kind}: {twice[0]!r} comes twice")


def render(definitions: Definitions) -> str:
    """What `parse` reads again. Glance would leave the owner and an object's required properties out."""
    namespace = definitions.namespace
    owner = {} if namespace.owner == DEFAULT_OWNER else {"owner": namespace.owner}
    document = {
        "namespace": namespace.name,
        "display_name": namespace.display_name,
        "description": namespace.description,
        "visibility": namespace.visibility,
        "protected": namespace.protected,
        **owner,
        "resource_type_associations": [
            _said({"name": each.name, "prefix": each.prefix, "properties_target": each.properties_target})
            for each in definitions.associations
        ],
        "properties": {each.name: dict(each.schema) for each in definitions.properties},
        "objects": [
            _said(
                {
                    "name": each.name,
                    "description": each.description,
                    "required": list(each.required) or None,
                    "properties": {name: dict(schema) for name, schema in each.properties.items()},
                }
            )
            for each in definitions.objects
        ],
        "tags": [{"name": each.name} for each in definitions.tags],
    }
    return json.dumps(_said(document), indent=4, ensure_ascii=False) + "\n"


def file_names(namespaces: Iterable[Namespace]) -> list[str]:
    """One name for each namespace: its display name's letters and digits, as Glance has it; else its own, or a number.

    No two differ by case alone.
    """
    names: list[str] = []
    taken: set[str] = set()
    for number, namespace in enumerate(namespaces, start=1):
        stems = [_NO_LETTER.sub("", text) for text in (namespace.display_name or "", namespace.name)]
        stems = [stem for stem in stems if stem] or ["namespace"]
        stem = next((each for each in stems if each.casefold() not in taken), f"{stems[-1]}_{number}")
        taken.add(stem.casefold())
        names.append(f"{stem}.json")
    return names
