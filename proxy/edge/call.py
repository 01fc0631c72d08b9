"""One request as the handlers of the edge see it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from proxy.api.call import DeliveryCall
from proxy.edge.headers import REQUEST_ID, credentials, to_glance
from proxy.edge.images import described
from proxy.edge.services import EdgeServices
from proxy.middleware.request_id import sent_name
from upstream.registry.glance import Bearer
from upstream.types import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCall(DeliveryCall):
    """`request_id` is the client's own if it can be a name, else the one that we gave the request."""

    services: EdgeServices
    request_id: str

    async def image(self) -> Image:
        """As Glance shows it to the caller. Raises NotFound, Unauthenticated, Forbidden, Unavailable."""
        with_locations = self.services.config.registry.glance.read_stores
        return await described(self.services.glance, self.bearer(), self.image_id, with_locations=with_locations)

    def bearer(self) -> Bearer:
        return Bearer(credentials(self.request.headers) | {REQUEST_ID: self.request_id})

    def headers(self) -> CIMultiDict[str]:
        """As they go on to Glance. Raises BadRequest."""
        config = self.services.config
        sent = to_glance(
            self.request.headers,
            self.entrance,
            self.request.remote,
            believes=config.server.enable_proxy_headers_parsing,
            keeps_host=config.registry.glance.preserve_host,
        )
        sent[REQUEST_ID] = sent_name(self.request, config.api.max_request_id_length) or self.request_id
        return sent

    @property
    def target(self) -> str:
        """Path and query as the client wrote them."""
        raw = self.request.raw_path
        return (
            raw if raw.startswith("/") else self.request.rel_url.raw_path_qs
        )  # from a client that takes us for a proxy


EdgeHandler = Callable[[EdgeCall], Awaitable[web.StreamResponse]]
