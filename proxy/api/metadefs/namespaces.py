"""Namespaces of metadata definitions: list, create, show, change, delete."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import hdrs, web

from proxy.api.call import Call, empty_response, json_response
from proxy.api.metadefs import access, bodies, queries, views
from proxy.errors import Forbidden
from upstream.errors import NotFound
from upstream.registry import Definitions, NamespaceQuery

# What a namespace may be made with, and what one must be allowed for it.
_NESTED_RULES = {
    "resource_type_associations": "add_metadef_resource_type_association",
    "objects": "add_metadef_object",
    "properties": "add_metadef_property",
    "tags": "add_metadef_tag",
}
_SHOWN_RULES = ("list_metadef_resource_types", "get_metadef_objects", "get_metadef_properties", "get_metadef_tags")


async def index(call: Call) -> web.StreamResponse:
    parameters = call.query()
    query = queries.namespaces(parameters, call.services.config.api)
    access.enforce(call, "get_metadef_namespaces")
    access.enforce(call, "list_metadef_resource_types")
    found = await _page(call, query)
    shown = [each for each in found if access.allows(call, access.SEE, each.namespace)]
    is_full = len(found) == query.limit
    marker = shown[-1].namespace.name if shown and is_full else None
    return json_response(views.list_view(shown, parameters, next_marker=marker))


async def _page(call: Call, query: NamespaceQuery) -> Sequence[Definitions]:
    """Raises NotFound for a marker that is no namespace, and as Glance Forbidden for one that may not be seen."""
    namespaces = call.services.registry.metadefs.namespaces
    try:
        return await namespaces.list(call.context, query)
    except NotFound:
        assert query.marker is not None
        await namespaces.get(replace(call.context, is_admin=True), query.marker)
        raise Forbidden(f"The marker {query.marker} is a namespace that cannot be seen.") from None


async def create(call: Call) -> web.StreamResponse:
    body = await call.json()
    new = await call.considered(bodies.new_namespace, body, owner=call.context.project_id)
    access.enforce(call, "add_metadef_namespace")
    for name, rule in _NESTED_RULES.items():
        if new.given.get(name):
            access.enforce(call, rule)
    made = await call.services.registry.metadefs.namespaces.create(call.context, new.definitions)
    response = json_response({**views.namespace_view(made.namespace), **new.given}, HTTPStatus.CREATED)
    path = quote(views.namespace_path(made.namespace.name), safe="/:")
    response.headers[hdrs.LOCATION] = f"{call.origin}{path}"
    return response


async def show(call: Call) -> web.StreamResponse:
    """The whole of it. Names are prefixed for the resource type that is asked for."""
    resource_type = queries.namespace(call.query())
    name = call.parameters["namespace"]
    definitions = await call.services.registry.metadefs.namespaces.definitions(call.context, name)
    access.enforce(call, access.SEE, definitions.namespace)
    for rule in _SHOWN_RULES:
        access.enforce(call, rule, definitions.namespace)
    if resource_type is not None:
        definitions = definitions.prefixed(resource_type)
    return json_response(views.definitions_view(definitions))


async def update(call: Call) -> web.StreamResponse:
    """What is not named gets its default, as when the namespace was made; contents in the body are passed over."""
    body = await call.json()
    changed = await call.considered(bodies.namespace, body, owner=call.context.project_id)
    namespace = await access.namespace_of(call)
    access.enforce(call, "modify_metadef_namespace", namespace)
    updated = await call.services.registry.metadefs.namespaces.update(call.context, namespace.name, changed)
    return json_response(views.namespace_view(updated))


async def delete(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "delete_metadef_namespace", namespace)
    access.check_unprotected(namespace)
    await call.services.registry.metadefs.namespaces.delete(call.context, namespace.name)
    return empty_response()
