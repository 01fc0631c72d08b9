"""Properties of a namespace."""

from http import HTTPStatus

from aiohttp import web

from proxy.api.call import Call, empty_response, json_response
from proxy.api.metadefs import access, bodies, queries, views
from upstream.errors import NotFound
from upstream.registry import Namespace


async def index(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "get_metadef_properties", namespace)
    found = await call.services.registry.metadefs.properties.list(call.context, namespace.name)
    return json_response({"properties": views.properties_view(found)})


async def show(call: Call) -> web.StreamResponse:
    """With `?resource_type=` the path has the name as it is on that type; the answer has it without the prefix."""
    namespace = await access.namespace_of(call)
    access.enforce(call, "get_metadef_property", namespace)
    name = call.parameters["property_name"]
    if (resource_type := queries.resource_type(call.query())) is not None:
        access.enforce(call, "get_metadef_resource_type", namespace)
        name = await _without_prefix(call, namespace, resource_type, name)
    found = await call.services.registry.metadefs.properties.get(call.context, namespace.name, name)
    return json_response(views.property_view(found))


async def _without_prefix(call: Call, namespace: Namespace, resource_type: str, name: str) -> str:
    """Raises NotFound for a name that no property has on that resource type."""
    association = await call.services.registry.metadefs.resource_types.get(call.context, namespace.name, resource_type)
    if not association.prefix or not name.startswith(association.prefix):
        raise NotFound(f"metadata definition property with the prefix of {resource_type}", name)
    return name.removeprefix(association.prefix)


async def create(call: Call) -> web.StreamResponse:
    item = await call.considered(bodies.metadef_property, await call.json())
    namespace = await access.namespace_of(call)
    access.enforce(call, "add_metadef_property", namespace)
    made = await call.services.registry.metadefs.properties.create(call.context, namespace.name, item)
    return json_response(views.property_view(made), HTTPStatus.CREATED)


async def update(call: Call) -> web.StreamResponse:
    item = await call.considered(bodies.metadef_property, await call.json())
    namespace = await access.namespace_of(call)
    access.enforce(call, "modify_metadef_property", namespace)
    name = call.parameters["property_name"]
    updated = await call.services.registry.metadefs.properties.update(call.context, namespace.name, name, item)
    return json_response(views.property_view(updated))


async def delete(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "remove_metadef_property", namespace)
    properties, name = call.services.registry.metadefs.properties, call.parameters["property_name"]
    await properties.get(call.context, namespace.name, name)
    access.check_unprotected(namespace)
    await properties.delete(call.context, namespace.name, name)
    return empty_response()


async def delete_all(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "delete_metadef_namespace", namespace)
    access.check_unprotected(namespace)
    await call.services.registry.metadefs.properties.delete_all(call.context, namespace.name)
    return empty_response()
