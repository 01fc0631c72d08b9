"""One request as handlers see it: what was asked, by whom, and the services to answer it with."""

import asyncio
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qsl

import orjson
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from proxy.api.forwarding import Entrance
from proxy.api.schemas import Schemas
from proxy.errors import BadRequest, TooLarge
from proxy.policy import Action
from proxy.services import Delivery, Services
from upstream.types import Context, Image

P = ParamSpec("P")
T = TypeVar("T")

_METHODS_WITH_BODY = frozenset({hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH})
_ENCODINGS = frozenset({"chunked", "compress", "deflate", "gzip", "identity"})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LARGE_BODY_BYTES = 64 * 1024
_UNSTORABLE = re.compile("[\\0\\ud800-\\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryCall(ABC):
    """What a handler gets that only delivers images or looks after the cache.

    `parameters` are the decoded parts of the path that the route names.
    """

    request: web.Request
    context: Context
    services: Delivery
    parameters: Mapping[str, str]
    entrance: Entrance

    @property
    def image_id(self) -> str:
        return self.parameters["image_id"]

    @property
    def has_body(self) -> bool:
        """Whether a body comes, as Glance decides it: by its length, or by an encoding on a method that has one."""
        encoding = self.request.headers.get(hdrs.TRANSFER_ENCODING, "").lower()
        if encoding in _ENCODINGS and self.request.method in _METHODS_WITH_BODY:
            return True
        return bool(self.request.content_length)

    async def accept_body(self) -> None:
        """Tell a client that waits for it that its body is wanted. Checks that need no body come before this."""
        expects = self.request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
        transport = self.request.transport
        if expects and self.request.version == HttpVersion11 and transport is not None:
            transport.write(_CONTINUE)

    @abstractmethod
    async def image(self) -> Image:
        """The image that the path names, if the caller may see it. Raises NotFound, and what keeps that unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(DeliveryCall):
    """What the other handlers get."""

    services: Services
    schemas: Schemas

    async def image(self) -> Image:
        """The image that the path names, if the caller may see it, with what he may read of it. Raises NotFound."""
        return self.seen(await self.services.registry.images.get(self.context, self.image_id))

    def seen(self, image: Image) -> Image:
        """What the caller may read of an image, its locations each with its store, the heaviest first."""
        named = self.services.stores.named(image.locations)
        image = image if named is image.locations else replace(image, locations=named)
        return self.services.protections.seen(image, self.context)

    def may(self, action: Action, name: str) -> bool:
        """What the protection of a custom property says of the caller."""
        return self.services.protections.allow(action, name, self.context)

    @property
    def origin(self) -> str:
        """The scheme and host by which the client reached us."""
        return self.entrance.origin

    def query(self) -> list[tuple[str, str]]:
        """The query string, decoded. Raises BadRequest if it is not UTF-8 or has what no database can look for."""
        try:
            raw = self.request.rel_url.raw_query_string.replace(";", "&")  # one parts them as well as the other
            parameters = parse_qsl(raw, keep_blank_values=True, errors="strict")
        except UnicodeError:
            raise BadRequest("The query string has characters that are not UTF-8.") from None
        if any("\0" in text for parameter in parameters for text in parameter):
            raise BadRequest("The query string has a NUL character.")
        return parameters

    async def json(self) -> Any:
        """The body, an object or a list. Raises BadRequest if there is none or it is neither, TooLarge."""
        if not self.has_body:
            raise BadRequest("Body expected in request.")
        limit = self.services.config.api.json_body_max
        if (self.request.content_length or 0) > limit:
            raise TooLarge(f"The body has {self.request.content_length} bytes, at most {limit} are allowed.")
        await self.accept_body()
        try:
            async with asyncio.timeout(idle_s := self.services.config.server.client_idle_s):
                body = await self.request.read()
        except TimeoutError:
            raise BadRequest(f"The body did not come within {idle_s:g} s.") from None
        except web.HTTPRequestEntityTooLarge:
            raise TooLarge(f"The body has more than the {limit} bytes that are allowed.") from None
        except (web.RequestPayloadError, ConnectionError) as error:
            raise BadRequest("The body broke off before its end.") from error
        try:
            document = json.loads(body.decode())  # of bytes it would take other encodings too, and half a pair
            is_storable = b"\\u" not in body or _is_storable(document)
        except (ValueError, RecursionError):
            raise BadRequest("Malformed JSON in request body.") from None
        if not is_storable:
            raise BadRequest("The body has NUL or half a surrogate pair: not every database can hold them.")
        if not isinstance(document, dict | list):
            raise BadRequest("Unexpected body type. Expected list/dict.")
        return document

    async def considered(self, decide: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a pure function of the body: beside the event loop if the body is large."""
        if (self.request.content_length or _LARGE_BODY_BYTES) < _LARGE_BODY_BYTES:
            return decide(*args, **kwargs)
        return await asyncio.to_thread(decide, *args, **kwargs)


def _is_storable(document: object) -> bool:
    """Whether all texts in it are such as a database takes. Only an escape can bring in others."""
    if isinstance(document, dict):
        return all(_is_storable(part) for item in document.items() for part in item)
    if isinstance(document, list):
        return all(_is_storable(item) for item in document)
    return not isinstance(document, str) or _UNSTORABLE.search(document) is None


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


def json_response(document: Any, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> web.Response:
    try:
        body = orjson.dumps(document)
    except TypeError:  # a number of more than 64 bits
        body = json.dumps(document, ensure_ascii=False).encode()
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def empty_response(status: HTTPStatus = HTTPStatus.NO_CONTENT) -> web.Response:
    return web.Response(status=status)
