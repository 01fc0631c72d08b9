"""Metadata definitions as JSON. Pure. What has no value is left out, as Glance leaves it out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from proxy.api.metadefs.property_types import shown
from proxy.api.views import timestamp
from upstream.registry import (
    Association,
    Definitions,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    Namespace,
    ResourceType,
)

NAMESPACES = "/v2/metadefs/namespaces"
_SCHEMAS = "/v2/schemas/metadefs"
_EARLIEST = datetime.min.replace(tzinfo=UTC)

View = dict[str, Any]


def namespace_path(name: str) -> str:
    return f"{NAMESPACES}/{name}"


def namespace_view(namespace: Namespace) -> View:
    return {
        "namespace": namespace.name,
        **_said(display_name=namespace.display_name, description=namespace.description),
        "visibility": namespace.visibility,
        "protected": namespace.protected,
        "owner": namespace.owner,
        **_times(namespace),
        "self": namespace_path(namespace.name),
        "schema": f"{_SCHEMAS}/namespace",
    }


def definitions_view(definitions: Definitions) -> View:
    """The namespace with what it holds; what it does not hold is left out. The newest tags come first."""
    namespace = definitions.namespace
    contents = {
        "objects": [object_view(namespace.name, each) for each in definitions.objects],
        "resource_type_associations": [association_view(each) for each in definitions.associations],
        "properties": properties_view(definitions.properties),
        "tags": [{"name": each.name} for each in newest_first(definitions.tags)],
    }
    return namespace_view(namespace) | {name: content for name, content in contents.items() if content}


def newest_first(tags: Sequence[MetadefTag]) -> list[MetadefTag]:
    """Of tags in the order in which they were made."""
    by_age = sorted(enumerate(tags), key=lambda pair: (pair[1].created_at or _EARLIEST, pair[0]))
    return [tag for _, tag in reversed(by_age)]


def list_view(found: Iterable[Definitions], parameters: Sequence[tuple[str, str]], *, next_marker: str | None) -> View:
    """A page of namespaces. The links repeat the request's parameters, of each the last value, but the marker."""
    kept = {name: value for name, value in parameters if name != "marker"}
    page: View = {
        "namespaces": [definitions_view(each) for each in found],
        "first": _link(kept),
        "schema": f"{_SCHEMAS}/namespaces",
    }
    if next_marker is not None:
        page["next"] = _link({**kept, "marker": next_marker})
    return page


def _link(parameters: Mapping[str, str]) -> str:
    return f"{NAMESPACES}?{urlencode(parameters)}" if parameters else NAMESPACES


def resource_type_view(resource_type: ResourceType) -> View:
    return {"name": resource_type.name, **_times(resource_type)}


def association_view(association: Association) -> View:
    said = _said(prefix=association.prefix, properties_target=association.properties_target)
    return {"name": association.name, **said, **_times(association)}


def property_view(item: MetadefProperty) -> View:
    return {**shown(item.schema), "name": item.name}


def properties_view(items: Iterable[MetadefProperty]) -> View:
    """By name. A property that was made by itself names itself inside too."""
    return {item.name: shown(item.schema) for item in items}


def object_view(namespace: str, item: MetadefObject, given: Collection[str] | None = None) -> View:
    """With `given`, as the answer to what was sent: attributes that were not sent are left out."""
    view: View = {"name": item.name, **_said(description=item.description)}
    if given is None or "required" in given:
        view["required"] = list(item.required)
    if given is None or "properties" in given:
        view["properties"] = {name: shown(schema) for name, schema in item.properties.items()}
    return view | {
        **_times(item),
        "self": f"{namespace_path(namespace)}/objects/{item.name}",
        "schema": f"{_SCHEMAS}/object",
    }


def objects_view(namespace: str, items: Iterable[MetadefObject]) -> View:
    """The schema's path has no slash in front: clients know it so from Glance."""
    return {
        "objects": [object_view(namespace, item) for item in items],
        "schema": f"{_SCHEMAS}/objects".lstrip("/"),
    }


def tag_view(tag: MetadefTag) -> View:
    return {"name": tag.name, **_times(tag)}


def _said(**values: str | None) -> View:
    return {name: value for name, value in values.items() if value is not None}


def _times(kept: ResourceType | Namespace | MetadefObject | MetadefTag) -> View:
    moments = {"created_at": kept.created_at, "updated_at": kept.updated_at}
    return {name: timestamp(moment) for name, moment in moments.items() if moment is not None}
