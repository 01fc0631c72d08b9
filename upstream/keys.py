"""Barbican, where the certificates of signed images and the keys of encrypted ones lie, asked with the user's token."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol
from uuid import UUID

import aiohttp
from pydantic import BaseModel, Field

from upstream.errors import Denied, Invalid, NotFound, Unavailable
from upstream.http import translated

_SERVICE = "the key manager"
_SERVICE_TYPE = "key-manager"
_ANSWER_S = 60.0
_SECRET_MAX_BYTES = 256 * 1024


class KeyManagerConfig(BaseModel, frozen=True, extra="forbid"):
    """The `key_manager:` section of config.yaml."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://[^/]")  # None: as Keystone's catalogue says it
    interface: Literal["internal", "public", "admin"] = "public"
    region_name: str | None = None  # None: any


class Catalogue(Protocol):
    """What Keystone answers a GET."""

    async def resource(self, path: str, params: Mapping[str, str]) -> Mapping[str, Any]: ...


class Keys:
    """Safe to use from many tasks at once. No redirect is followed: the token is for the key manager alone."""

    def __init__(self, config: KeyManagerConfig, catalogue: Catalogue | None, session: aiohttp.ClientSession) -> None:
        self._config, self._catalogue, self._session = config, catalogue, session

    async def certificate(self, certificate_id: str, token: str | None) -> bytes:
        """The certificate as it was stored, PEM. Raises Invalid, NotFound, Denied, Unavailable."""
        place = await self._place(certificate_id)
        described = await self._get(place, certificate_id, token, accept="application/json")
        try:
            document = json.loads(described)
            kind, media_type = document["secret_type"], document["content_types"]["default"]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise Invalid(f"{_SERVICE} answered with something that is no secret") from error
        if kind != "certificate":
            raise Invalid(f"The secret {certificate_id} is no certificate")
        return await self._get(f"{place}/payload", certificate_id, token, accept=str(media_type))

    async def delete(self, key_id: str, token: str | None) -> None:
        """Raises Invalid, NotFound, Denied, Unavailable."""
        await self._ask("DELETE", await self._place(key_id), key_id, token)

    async def _place(self, secret_id: str) -> str:
        """The URL of a secret. Raises Invalid for an id that is none, and where there is no key manager."""
        try:
            named = str(UUID(secret_id))
        except ValueError:
            raise Invalid(f"{secret_id[:80]!r} is not the id of a secret") from None
        base = self._config.endpoint or await self._catalogued()
        return f"{base.rstrip('/').removesuffix('/v1')}/v1/secrets/{named}"

    async def _catalogued(self) -> str:
        if self._catalogue is None:
            raise Invalid("Without Keystone there is no catalogue that could name a key manager")
        document = await self._catalogue.resource("/auth/catalog", {})
        return endpoint_of(document, self._config)

    async def _get(self, url: str, secret_id: str, token: str | None, *, accept: str) -> bytes:
        return await self._ask("GET", url, secret_id, token, accept=accept)

    async def _ask(self, method: str, url: str, secret_id: str, token: str | None, *, accept: str = "*/*") -> bytes:
        headers = {"Accept": accept} | ({"X-Auth-Token": token} if token else {})
        with translated(_SERVICE):
            async with (
                asyncio.timeout(_ANSWER_S),
                self._session.request(method, url, headers=headers, allow_redirects=False) as response,
            ):
                body = await response.content.read(_SECRET_MAX_BYTES + 1)
                while len(body) <= _SECRET_MAX_BYTES and (more := await response.content.readany()):
                    body += more
        match response.status:
            case 200 | 204 if len(body) <= _SECRET_MAX_BYTES:
                return body
            case 200:
                raise Invalid(f"{_SERVICE} answered with more than {_SECRET_MAX_BYTES} bytes")
            case 404:
                raise NotFound("secret", secret_id)
            case 401 | 403:
                raise Denied(f"{_SERVICE} does not let you have the secret {secret_id}")
            case status:
                raise Unavailable(_SERVICE, f"it answered with status {status}")


def endpoint_of(document: Mapping[str, Any], config: KeyManagerConfig) -> str:
    """Raises Invalid if the catalogue names none, Unavailable if it cannot be read."""
    try:
        for service in document["catalog"]:
            for endpoint in service.get("endpoints", ()) if service.get("type") == _SERVICE_TYPE else ():
                is_here = config.region_name in {None, endpoint.get("region"), endpoint.get("region_id")}
                if is_here and endpoint.get("interface") == config.interface:
                    return str(endpoint["url"])
    except (KeyError, TypeError, AttributeError) as error:
        raise Unavailable("Keystone", "its catalog cannot be read") from error
    raise Invalid(f"The catalogue names no {config.interface} endpoint of a key manager")


@asynccontextmanager
async def open_keys(config: KeyManagerConfig, catalogue: Catalogue | None) -> AsyncIterator[Keys]:
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "glint"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
    )
    async with session:
        yield Keys(config, catalogue, session)
