"""Other Glances, by Keystone's catalogue: an image's metadata and its data, asked for with the user's own token."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp

from upstream.errors import DataNotFound, Denied, Invalid, NotFound, Unavailable, WrongLength
from upstream.http import translated

_SERVICE = "the other Glance"
_SERVICE_TYPE = "image"
_METADATA_MAX_BYTES = 4 * 1024 * 1024
_ANSWER_S = 60.0
_IDLE_S = 60.0


class Catalogue(Protocol):
    """What Keystone answers a GET."""

    async def resource(self, path: str, params: Mapping[str, str]) -> Mapping[str, Any]: ...


class Glances:
    """Safe to use from many tasks at once. No redirect is followed: a token is for the place the catalogue names."""

    def __init__(self, catalogue: Catalogue, session: aiohttp.ClientSession) -> None:
        self._catalogue, self._session = catalogue, session

    async def endpoint(self, region: str, interface: str) -> str:
        """The base URL of the region's Glance. Raises Invalid if the catalogue names none, Unavailable."""
        document = await self._catalogue.resource("/auth/catalog", {})
        return endpoint_of(document, region, interface)

    async def image(self, endpoint: str, image_id: str, token: str | None) -> Mapping[str, Any]:
        """The image as GET /v2/images/{id} shows it. Raises NotFound, Denied, Invalid, Unavailable."""
        async with self._asked(f"{endpoint}/v2/images/{quote(image_id)}", image_id, token) as response:
            body = bytearray()
            async with aclosing(_chunks(response)) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > _METADATA_MAX_BYTES:
                        raise Invalid(f"{_SERVICE} answered with more than {_METADATA_MAX_BYTES} bytes of metadata")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"{_SERVICE} answered with something that is no image") from error
        if not isinstance(document, dict):
            raise Invalid(f"{_SERVICE} answered with something that is no image")
        return document

    @asynccontextmanager
    async def data(
        self, endpoint: str, image_id: str, token: str | None, size_bytes: int
    ) -> AsyncIterator[AsyncGenerator[bytes]]:
        """All bytes of the image. Raises as `image`, and DataNotFound; WrongLength at their end."""
        url = f"{endpoint}/v2/images/{quote(image_id)}/file"
        async with (
            self._asked(url, image_id, token) as response,
            aclosing(_counted(response, size_bytes)) as chunks,
        ):
            yield chunks

    @asynccontextmanager
    async def _asked(self, url: str, image_id: str, token: str | None) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept-Encoding": "identity"} | ({"X-Auth-Token": token} if token else {})
        with translated(_SERVICE):
            async with asyncio.timeout(_ANSWER_S):
                response = await self._session.get(url, headers=headers, allow_redirects=False)
        try:
            match response.status:
                case 200:
                    yield response
                case 204:
                    raise DataNotFound(_SERVICE)
                case 404:
                    raise NotFound("image", image_id)
                case 401 | 403:
                    raise Denied(f"{_SERVICE} does not let you have the image")
                case status:
                    raise Unavailable(_SERVICE, f"it answered with status {status}")
        finally:
            response.release()


def endpoint_of(document: Mapping[str, Any], region: str, interface: str) -> str:
    """Raises Invalid if the catalogue names none, Unavailable if it cannot be read. Regions are compared by letters."""
    try:
        for service in document["catalog"]:
            for endpoint in service.get("endpoints", ()) if service.get("type") == _SERVICE_TYPE else ():
                named = str(endpoint.get("region") or endpoint.get("region_id") or "")
                if named.lower() == region.lower() and endpoint.get("interface") == interface:
                    return str(endpoint["url"]).rstrip("/").removesuffix("/v2")
    except (KeyError, TypeError, AttributeError) as error:
        raise Unavailable("Keystone", "its catalog cannot be read") from error
    raise Invalid(f"The catalogue names no {interface} endpoint of an image service in region {region[:80]!r}")


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    while True:
        with translated(_SERVICE):
            async with asyncio.timeout(_IDLE_S):
                chunk = await response.content.readany()
        if not chunk:
            return
        yield chunk


async def _counted(response: aiohttp.ClientResponse, size_bytes: int) -> AsyncGenerator[bytes]:
    got_bytes = 0
    async with aclosing(_chunks(response)) as chunks:
        async for chunk in chunks:
            got_bytes += len(chunk)
            if got_bytes > size_bytes:
                raise WrongLength(size_bytes, got_bytes)
            yield chunk
    if got_bytes != size_bytes:
        raise WrongLength(size_bytes, got_bytes)


@asynccontextmanager
async def open_glances(catalogue: Catalogue) -> AsyncIterator[Glances]:
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": "glint"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
    )
    async with session:
        yield Glances(catalogue, session)
