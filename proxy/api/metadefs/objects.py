"""Objects of a namespace: groups of properties."""

from http import HTTPStatus

from aiohttp import web

from proxy.api.call import Call, empty_response, json_response
from proxy.api.metadefs import access, bodies, queries, views


async def index(call: Call) -> web.StreamResponse:
    queries.check_objects(call.query())
    namespace = await access.namespace_of(call)
    access.enforce(call, "get_metadef_objects", namespace)
    found = await call.services.registry.metadefs.objects.list(call.context, namespace.name)
    is_shown = access.allows(call, "get_metadef_object", namespace)
    return json_response(views.objects_view(namespace.name, found if is_shown else ()))


async def show(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "get_metadef_object", namespace)
    name = call.parameters["object_name"]
    found = await call.services.registry.metadefs.objects.get(call.context, namespace.name, name)
    return json_response(views.object_view(namespace.name, found))


async def create(call: Call) -> web.StreamResponse:
    sent = await call.considered(bodies.metadef_object, await call.json(), is_new=True)
    namespace = await access.namespace_of(call)
    access.enforce(call, "add_metadef_object", namespace)
    made = await call.services.registry.metadefs.objects.create(call.context, namespace.name, sent.item)
    return json_response(views.object_view(namespace.name, made, sent.given), HTTPStatus.CREATED)


async def update(call: Call) -> web.StreamResponse:
    """The whole object is put in the place of the old one."""
    sent = await call.considered(bodies.metadef_object, await call.json(), is_new=False)
    namespace = await access.namespace_of(call)
    access.enforce(call, "modify_metadef_object", namespace)
    name = call.parameters["object_name"]
    updated = await call.services.registry.metadefs.objects.update(call.context, namespace.name, name, sent.item)
    return json_response(views.object_view(namespace.name, updated, sent.given))


async def delete(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "delete_metadef_object", namespace)
    objects, name = call.services.registry.metadefs.objects, call.parameters["object_name"]
    await objects.get(call.context, namespace.name, name)
    access.check_unprotected(namespace)
    await objects.delete(call.context, namespace.name, name)
    return empty_response()


async def delete_all(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "delete_metadef_namespace", namespace)
    access.check_unprotected(namespace)
    await call.services.registry.metadefs.objects.delete_all(call.context, namespace.name)
    return empty_response()
