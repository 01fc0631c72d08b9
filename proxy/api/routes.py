"""The route table: every method and path of the API, in one place. A new resource is one module and its rows here."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import hdrs

from proxy.api import (
    actions,
    cache_management,
    cached_images,
    discovery,
    downloads,
    health,
    image_data,
    images,
    imports,
    locations,
    members,
    schema_documents,
    stage,
    stores,
    tags,
    tasks,
    versions,
)
from proxy.api.call import Handler
from proxy.api.metadefs import documents, namespaces, objects, properties, resource_types
from proxy.api.metadefs import tags as metadef_tags
from proxy.errors import MethodNotAllowed, MethodUnknown, NoSuchResource

GET, PUT, POST = hdrs.METH_GET, hdrs.METH_PUT, hdrs.METH_POST
PATCH, DELETE, HEAD = hdrs.METH_PATCH, hdrs.METH_DELETE, hdrs.METH_HEAD
ANY = hdrs.METH_ANY

_METHODS = frozenset({GET, HEAD, POST, PUT, DELETE, PATCH})


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `no_body`: a request with a body is refused. `mutates`: refused to read-only callers.

    Without `needs_auth` nobody is asked who he is, and the answer bears no request id. What is not `in_allow` answers
    without being named in the header Allow: Glance leaves out what is for other services only. A path of which nothing
    is `in_allow` is as good as none for other methods.
    """

    method: str
    path: str
    handler: Handler
    no_body: bool = False
    mutates: bool = False
    needs_auth: bool = True
    in_allow: bool = True


IMAGE = "/v2/images/{image_id}"
MEMBER = f"{IMAGE}/members/{{member_id}}"
CACHED = "/v2/cache/{image_id}"
METADEFS = "/v2/metadefs"
NAMESPACES = f"{METADEFS}/namespaces"
NAMESPACE = f"{NAMESPACES}/{{namespace}}"
PROPERTY = f"{NAMESPACE}/properties/{{property_name}}"
OBJECT = f"{NAMESPACE}/objects/{{object_name}}"
TAG = f"{NAMESPACE}/tags/{{tag_name}}"

ROUTES: Sequence[Route] = (
    Route(ANY, "/", versions.choices, needs_auth=False),
    Route(ANY, "/versions", versions.index, needs_auth=False),
    Route(ANY, "/healthcheck", health.show, needs_auth=False),
    Route(HEAD, "/healthcheck", health.probe, needs_auth=False),
    Route(ANY, "/v2", versions.with_slash),
    Route(GET, "/v2/schemas/image", schema_documents.image, no_body=True),
    Route(GET, "/v2/schemas/images", schema_documents.images, no_body=True),
    Route(GET, "/v2/schemas/member", schema_documents.member, no_body=True),
    Route(GET, "/v2/schemas/members", schema_documents.members, no_body=True),
    Route(GET, "/v2/schemas/task", schema_documents.task, no_body=True),
    Route(GET, "/v2/schemas/tasks", schema_documents.tasks, no_body=True),
    Route(GET, "/v2/info/import", discovery.import_methods, no_body=True),
    Route(GET, "/v2/info/stores", discovery.stores, no_body=True),
    Route(GET, "/v2/info/stores/detail", discovery.stores_detail, no_body=True),
    Route(GET, "/v2/info/usage", discovery.usage),
    Route(GET, "/v2/tasks", tasks.index),
    Route(POST, "/v2/tasks", tasks.create, mutates=True),
    Route(GET, "/v2/tasks/{task_id}", tasks.show),
    Route(DELETE, "/v2/tasks/{task_id}", tasks.delete),
    Route(GET, "/v2/images", images.index),
    Route(POST, "/v2/images", images.create, mutates=True),
    Route(GET, IMAGE, images.show, no_body=True),
    Route(PATCH, IMAGE, images.update, mutates=True),
    Route(DELETE, IMAGE, images.delete, no_body=True, mutates=True),
    Route(GET, f"{IMAGE}/file", downloads.download, no_body=True),
    Route(PUT, f"{IMAGE}/file", image_data.upload, mutates=True),
    Route(PUT, f"{IMAGE}/stage", stage.stage, mutates=True),
    Route(POST, f"{IMAGE}/import", imports.start, mutates=True),
    Route(GET, f"{IMAGE}/tasks", tasks.of_image, no_body=True, in_allow=False),
    Route(POST, f"{IMAGE}/locations", locations.add),
    Route(GET, f"{IMAGE}/locations", locations.index, in_allow=False),
    Route(PUT, f"{IMAGE}/tags/{{tag}}", tags.add, no_body=True, mutates=True),
    Route(DELETE, f"{IMAGE}/tags/{{tag}}", tags.remove, no_body=True, mutates=True),
    Route(GET, f"{IMAGE}/members", members.index, no_body=True),
    Route(POST, f"{IMAGE}/members", members.add, mutates=True),
    Route(GET, MEMBER, members.show, no_body=True),
    Route(PUT, MEMBER, members.answer, mutates=True),
    Route(DELETE, MEMBER, members.remove, no_body=True, mutates=True),
    Route(POST, f"{IMAGE}/actions/deactivate", actions.deactivate, no_body=True, mutates=True),
    Route(POST, f"{IMAGE}/actions/reactivate", actions.reactivate, no_body=True, mutates=True),
    Route(DELETE, "/v2/stores/{store_id}/{image_id}", stores.delete, no_body=True, mutates=True),
    Route(GET, "/v2/cache", cached_images.index, no_body=True),
    Route(DELETE, "/v2/cache", cached_images.clear, no_body=True, mutates=True),
    Route(GET, "/v2/cache/usage", cached_images.usage, no_body=True),
    Route(GET, "/v2/cache/pins", cached_images.pins, no_body=True),
    Route(POST, "/v2/cache/clean", cached_images.clean, no_body=True),
    Route(POST, "/v2/cache/prune", cached_images.prune, no_body=True),
    Route(GET, "/v2/cache/nodes/{image_id}", cached_images.nodes, no_body=True),
    Route(DELETE, CACHED, cached_images.delete, no_body=True, mutates=True),
    Route(PUT, CACHED, cached_images.ask, no_body=True, mutates=True),
    Route(GET, CACHED, cached_images.show, no_body=True, in_allow=False),
    Route(PUT, f"{CACHED}/pin", cached_images.pin, no_body=True, mutates=True),
    Route(DELETE, f"{CACHED}/pin", cached_images.unpin, no_body=True, mutates=True),
    Route(POST, f"{CACHED}/verify", cached_images.verify, no_body=True, mutates=True),
    *(Route(GET, f"/v2/schemas/metadefs/{name}", documents.serve(name), no_body=True) for name in documents.NAMES),
    Route(GET, f"{METADEFS}/resource_types", resource_types.index, no_body=True),
    Route(GET, f"{NAMESPACE}/resource_types", resource_types.associations, no_body=True),
    Route(POST, f"{NAMESPACE}/resource_types", resource_types.associate, mutates=True),
    Route(
        DELETE,
        f"{NAMESPACE}/resource_types/{{resource_type}}",
        resource_types.dissociate,
        no_body=True,
        mutates=True,
    ),
    Route(GET, NAMESPACES, namespaces.index),
    Route(POST, NAMESPACES, namespaces.create, mutates=True),
    Route(GET, NAMESPACE, namespaces.show, no_body=True),
    Route(PUT, NAMESPACE, namespaces.update, mutates=True),
    Route(DELETE, NAMESPACE, namespaces.delete, no_body=True, mutates=True),
    Route(GET, f"{NAMESPACE}/properties", properties.index, no_body=True),
    Route(POST, f"{NAMESPACE}/properties", properties.create, mutates=True),
    Route(DELETE, f"{NAMESPACE}/properties", properties.delete_all, mutates=True),
    Route(GET, PROPERTY, properties.show),
    Route(PUT, PROPERTY, properties.update, mutates=True),
    Route(DELETE, PROPERTY, properties.delete, mutates=True),
    Route(GET, f"{NAMESPACE}/objects", objects.index),
    Route(POST, f"{NAMESPACE}/objects", objects.create, mutates=True),
    Route(DELETE, f"{NAMESPACE}/objects", objects.delete_all, mutates=True),
    Route(GET, OBJECT, objects.show, no_body=True),
    Route(PUT, OBJECT, objects.update, mutates=True),
    Route(DELETE, OBJECT, objects.delete, no_body=True, mutates=True),
    Route(GET, f"{NAMESPACE}/tags", metadef_tags.index),
    Route(POST, f"{NAMESPACE}/tags", metadef_tags.create_many, mutates=True),
    Route(DELETE, f"{NAMESPACE}/tags", metadef_tags.delete_all, mutates=True),
    Route(GET, TAG, metadef_tags.show, no_body=True),
    Route(POST, TAG, metadef_tags.create, no_body=True, mutates=True),
    Route(PUT, TAG, metadef_tags.update, mutates=True),
    Route(DELETE, TAG, metadef_tags.delete, no_body=True, mutates=True),
    Route(GET, "/v2/cached_images", cache_management.index_cached, no_body=True, in_allow=False),
    Route(DELETE, "/v2/cached_images", cache_management.clear_cached, no_body=True, in_allow=False),
    Route(DELETE, "/v2/cached_images/{image_id}", cache_management.delete_cached, no_body=True, in_allow=False),
    Route(GET, "/v2/queued_images", cache_management.index_queued, no_body=True, in_allow=False),
    Route(DELETE, "/v2/queued_images", cache_management.clear_queued, no_body=True, in_allow=False),
    Route(PUT, "/v2/queued_images/{image_id}", cache_management.ask, no_body=True, in_allow=False),
    Route(DELETE, "/v2/queued_images/{image_id}", cache_management.delete_queued, no_body=True, in_allow=False),
)


class RouteTable:
    """The rows by path, each path compiled once."""

    def __init__(self, routes: Sequence[Route] = ROUTES) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
        for route in routes:
            if "{" not in route.path:
                self._fixed.setdefault(route.path, {})[route.method] = route
                continue
            pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))
            self._patterns.setdefault(route.path, (pattern, {}))[1][route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The row for a request and what its path names. `path` is decoded, so that a slash in a name parts it.

        There is no implicit HEAD. Raises MethodNotAllowed, NoSuchResource, and MethodUnknown for a method that no
        resource has on a path that is none.
        """
        methods, parameters = self._match(path)
        if (route := methods.get(method) or methods.get(ANY)) is not None:
            return route, parameters
        if allowed := tuple(name for name, row in methods.items() if row.in_allow):
            raise MethodNotAllowed(method, allowed)
        if method not in _METHODS:
            raise MethodUnknown(f"The request method {method} is not implemented for this server.")
        raise NoSuchResource("The resource could not be found.")

    def _match(self, path: str) -> tuple[Mapping[str, Route], dict[str, str]]:
        if (fixed := self._fixed.get(path)) is not None:
            return fixed, {}
        for pattern, methods in self._patterns.values():
            if (match := pattern.fullmatch(path)) is not None:
                return methods, match.groupdict()
        return {}, {}
