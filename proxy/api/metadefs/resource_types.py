"""Resource types, and which of them a namespace is meant for."""

from http import HTTPStatus

from aiohttp import web

from proxy.api.call import Call, empty_response, json_response
from proxy.api.metadefs import access, bodies, views


async def index(call: Call) -> web.StreamResponse:
    access.enforce(call, "list_metadef_resource_types")
    found = await call.services.registry.metadefs.resource_types.all()
    return json_response({"resource_types": [views.resource_type_view(each) for each in found]})


async def associations(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "list_metadef_resource_types", namespace)
    found = await call.services.registry.metadefs.resource_types.list(call.context, namespace.name)
    is_shown = access.allows(call, "get_metadef_resource_type", namespace)
    shown = [views.association_view(each) for each in found if is_shown]
    return json_response({"resource_type_associations": shown})


async def associate(call: Call) -> web.StreamResponse:
    association = bodies.association(await call.json())
    namespace = await access.namespace_of(call)
    access.enforce(call, "add_metadef_resource_type_association", namespace)
    made = await call.services.registry.metadefs.resource_types.associate(call.context, namespace.name, association)
    return json_response(views.association_view(made), HTTPStatus.CREATED)


async def dissociate(call: Call) -> web.StreamResponse:
    name = call.parameters["resource_type"]
    namespace = await access.namespace_of(call)
    access.enforce(call, "remove_metadef_resource_type_association", namespace)
    resource_types = call.services.registry.metadefs.resource_types
    await resource_types.get(call.context, namespace.name, name)
    access.check_unprotected(namespace)
    await resource_types.dissociate(call.context, namespace.name, name)
    return empty_response()
