"""What Glint answers itself before an existing Glance. Everything else goes on to it."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import hdrs

from proxy.api import cache_management, cached_images, health
from proxy.api.routes import CACHED, IMAGE, Route, RouteTable
from proxy.edge import downloads, forwarding
from proxy.edge.call import EdgeHandler
from proxy.edge.managing import managed
from proxy.errors import MethodNotAllowed, MethodUnknown, NoSuchResource

GET, PUT, POST = hdrs.METH_GET, hdrs.METH_PUT, hdrs.METH_POST
PATCH, DELETE, HEAD = hdrs.METH_PATCH, hdrs.METH_DELETE, hdrs.METH_HEAD
ANY = hdrs.METH_ANY

OWN: Mapping[tuple[str, str], EdgeHandler] = {
    (ANY, "/healthcheck"): health.show,
    (HEAD, "/healthcheck"): health.probe,
    (GET, f"{IMAGE}/file"): downloads.download,
    (PUT, f"{IMAGE}/file"): forwarding.forward_data,
    (PUT, f"{IMAGE}/stage"): forwarding.forward_data,
    (PATCH, IMAGE): forwarding.update_image,
    (DELETE, IMAGE): forwarding.delete_image,
}

OF_THE_CACHE: Mapping[tuple[str, str], EdgeHandler] = {
    (GET, "/v2/cache"): managed(cached_images.index),
    (DELETE, "/v2/cache"): managed(cached_images.clear),
    (GET, "/v2/cache/usage"): managed(cached_images.usage),
    (GET, "/v2/cache/pins"): managed(cached_images.pins),
    (POST, "/v2/cache/clean"): managed(cached_images.clean),
    (POST, "/v2/cache/prune"): managed(cached_images.prune),
    (GET, "/v2/cache/nodes/{image_id}"): managed(cached_images.nodes),
    (DELETE, CACHED): managed(cached_images.delete),
    (PUT, CACHED): managed(cached_images.ask),
    (GET, CACHED): managed(cached_images.show),
    (PUT, f"{CACHED}/pin"): managed(cached_images.pin),
    (DELETE, f"{CACHED}/pin"): managed(cached_images.unpin),
    (POST, f"{CACHED}/verify"): managed(cached_images.verify),
    (GET, "/v2/cached_images"): managed(cache_management.index_cached),
    (DELETE, "/v2/cached_images"): managed(cache_management.clear_cached),
    (DELETE, "/v2/cached_images/{image_id}"): managed(cache_management.delete_cached),
    (GET, "/v2/queued_images"): managed(cache_management.index_queued),
    (DELETE, "/v2/queued_images"): managed(cache_management.clear_queued),
    (PUT, "/v2/queued_images/{image_id}"): managed(cache_management.ask),
    (DELETE, "/v2/queued_images/{image_id}"): managed(cache_management.delete_queued),
}


@dataclass(frozen=True, slots=True)
class Found:
    """`route` names the request in metrics; None for a path that we do not know. `no_body`: it must not have one."""

    handler: EdgeHandler
    route: Route | None
    parameters: Mapping[str, str]
    no_body: bool = False


class EdgeTable:
    """Which requests are ours. With `cache_api` false its paths are Glance's too."""

    def __init__(self, *, cache_api: bool) -> None:
        self._table = RouteTable()
        self._own = {**OWN, **(OF_THE_CACHE if cache_api else {})}

    def find(self, method: str, path: str) -> Found:
        try:
            route, parameters = self._table.find(method, path)
        except (MethodNotAllowed, MethodUnknown, NoSuchResource):
            return Found(forwarding.forward, None, {})
        key = (route.method, route.path)
        handler = self._own.get(key)
        if handler is None:
            return Found(forwarding.forward, route, parameters)
        return Found(handler, route, parameters, no_body=route.no_body and key in OF_THE_CACHE)
