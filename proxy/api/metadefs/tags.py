"""Tags of a namespace, one by one and as a list."""

from http import HTTPStatus

from aiohttp import web
from oslo_utils import strutils

from proxy.api.call import Call, empty_response, json_response
from proxy.api.metadefs import access, bodies, queries, views
from upstream.registry import MetadefTag


async def index(call: Call) -> web.StreamResponse:
    query = queries.tags(call.query())
    namespace = await access.namespace_of(call)
    access.enforce(call, "get_metadef_tags", namespace)
    found = await call.services.registry.metadefs.tags.page(call.context, namespace.name, query)
    return json_response({"tags": [{"name": each.name} for each in found]})


async def create_many(call: Call) -> web.StreamResponse:
    """In the place of those that are there; after them with the header X-Openstack-Append. No tags change nothing."""
    names = await call.considered(bodies.tag_names, await call.json())
    namespace = await access.namespace_of(call)
    access.enforce(call, "add_metadef_tags", namespace)
    append = strutils.bool_from_string(call.request.headers.get("X-Openstack-Append"))
    tags = call.services.registry.metadefs.tags
    await tags.create_many(call.context, namespace.name, names, append=append)
    return json_response({"tags": [{"name": name} for name in names]}, HTTPStatus.CREATED)


async def show(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "get_metadef_tag", namespace)
    name = call.parameters["tag_name"]
    found = await call.services.registry.metadefs.tags.get(call.context, namespace.name, name)
    return json_response(views.tag_view(found))


async def create(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    tag = bodies.tag({"name": call.parameters["tag_name"]})
    access.enforce(call, "add_metadef_tag", namespace)
    made = await call.services.registry.metadefs.tags.create(call.context, namespace.name, tag)
    return json_response(views.tag_view(made), HTTPStatus.CREATED)


async def update(call: Call) -> web.StreamResponse:
    tag: MetadefTag = bodies.tag(await call.json())
    namespace = await access.namespace_of(call)
    access.enforce(call, "modify_metadef_tag", namespace)
    name = call.parameters["tag_name"]
    updated = await call.services.registry.metadefs.tags.update(call.context, namespace.name, name, tag)
    return json_response(views.tag_view(updated))


async def delete(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "delete_metadef_tag", namespace)
    tags, name = call.services.registry.metadefs.tags, call.parameters["tag_name"]
    await tags.get(call.context, namespace.name, name)
    access.check_unprotected(namespace)
    await tags.delete(call.context, namespace.name, name)
    return empty_response()


async def delete_all(call: Call) -> web.StreamResponse:
    namespace = await access.namespace_of(call)
    access.enforce(call, "delete_metadef_namespace", namespace)
    access.enforce(call, "delete_metadef_tags", namespace)
    access.check_unprotected(namespace)
    await call.services.registry.metadefs.tags.delete_all(call.context, namespace.name)
    return empty_response()
