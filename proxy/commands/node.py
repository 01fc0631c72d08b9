"""A running Glint as its commands see it: the few calls of its API that they need, over HTTP."""

import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from cache import CacheState, CacheStatus, Proof, Verdict
from proxy.commands.errors import NoAnswer, Refused
from proxy.commands.login import TOKEN_NEEDED, find_token, trusted
from proxy.config import Config, ServerConfig

_ANSWER_S = 60.0
_CONNECT_S = 5.0
_PAGE = 500
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound
_MARKUP = re.compile(r"(<br ?/>|\s)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    id: str
    name: str | None
    status: str
    size_bytes: int | None
    fields: Mapping[str, Any]

    @property
    def label(self) -> str:
        return self.name or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedImage:
    """An entry as `GET /v2/cache` tells it; times are in seconds since 1970."""

    id: str
    size_bytes: int
    hits: int
    used_at_s: float
    created_at_s: float
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What an entry was found to be. `refetched`: it was damaged, and a service brings it in again."""

    verdict: Verdict
    refetched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUsage:
    entries: int
    committed_bytes: int
    reserved_bytes: int
    limit_bytes: int
    leaving_bytes: int = 0
    quarantined_bytes: int = 0

    @property
    def free_bytes(self) -> int:
        """Damaged entries are kept only as long as nothing else needs their room."""
        return max(0, self.limit_bytes - self.committed_bytes - self.reserved_bytes - self.leaving_bytes)


class Node:
    """All calls raise NoAnswer and Refused."""

    def __init__(self, url: str, session: aiohttp.ClientSession, token: str | None) -> None:
        self.url = url.rstrip("/")
        self._session, self._token = session, token

    async def image(self, image_id: str) -> ImageInfo | None:
        try:
            return _image(await self._call("GET", f"/v2/images/{quote(image_id, safe='')}"))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def images(self, parameters: Sequence[tuple[str, str]]) -> list[ImageInfo]:
        """All images that these filters of the API choose, page after page."""
        found: list[ImageInfo] = []
        query = [*parameters, ("visibility", "all"), ("limit", str(_PAGE))]
        while True:
            page = await self._call("GET", "/v2/images", query)
            found += [_image(document) for document in page["images"]]
            if "next" not in page:
                return found
            query = [pair for pair in query if pair[0] != "marker"] + [("marker", found[-1].id)]

    async def entries(self) -> tuple[list[CachedImage], list[str]]:
        """What is cached, the most recently used first, and the ids of what is queued."""
        document, pins = await self._call("GET", "/v2/cache"), await self._call("GET", "/v2/cache/pins")
        cached = [
            CachedImage(
                id=row["image_id"],
                size_bytes=row["size"],
                hits=row["hits"],
                used_at_s=row["last_accessed"],
                created_at_s=row["last_modified"],
                pinned=row["image_id"] in pins["pinned_images"],
            )
            for row in document["cached_images"]
        ]
        return sorted(cached, key=lambda entry: entry.used_at_s, reverse=True), document["queued_images"]

    async def usage(self) -> CacheUsage:
        return CacheUsage(**await self._call("GET", "/v2/cache/usage"))

    async def status(self, image_id: str) -> CacheStatus:
        document = await self._call("GET", _cached(image_id))
        return CacheStatus(
            state=CacheState(document["state"]),
            present_bytes=document["present_bytes"],
            size_bytes=document["size_bytes"],
            digest=Proof(document["digest"]),
            error=document["error"],
            pinned=document["pinned"],
        )

    async def ask(self, image_id: str) -> None:
        """Returns at once; `status` tells how it goes."""
        await self._call("PUT", _cached(image_id))

    async def evict(self, image_id: str) -> int | None:
        """The bytes that became free, None if it was not cached."""
        cached, _ = await self.entries()
        size_bytes = next((entry.size_bytes for entry in cached if entry.id == image_id), None)
        if size_bytes is not None:
            await self._call("DELETE", _cached(image_id))
        return size_bytes

    async def pin(self, image_id: str, *, pinned: bool) -> bool:
        """False if it is not cached, so that it cannot be pinned."""
        try:
            await self._call("PUT" if pinned else "DELETE", f"{_cached(image_id)}/pin")
        except Refused as error:
            if error.status == 409:
                return False
            raise
        return True

    async def verify(self, image_id: str, on_read: Callable[[int], None] = lambda _: None) -> Verified:
        """Returns when the whole entry was read back, however long that takes; nothing is said before."""
        answer = await self._call("POST", f"{_cached(image_id)}/verify", answer_s=None)
        return Verified(verdict=Verdict(answer["verdict"]), refetched=answer["refetched"])

    async def _call(
        self,
        method: str,
        path: str,
        parameters: Sequence[tuple[str, str]] = (),
        *,
        answer_s: float | None = _ANSWER_S,
    ) -> Any:
        headers = {"Accept": "application/json"} | ({"X-Auth-Token": self._token} if self._token else {})
        try:
            async with self._session.request(
                method,
                f"{self.url}{path}",
                params=list(parameters),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=answer_s, sock_connect=_CONNECT_S),
            ) as answer:
                body = await answer.read()
                if answer.status >= 300:
                    raise Refused(self._complaint(answer.status, body), answer.status)
                return json.loads(body) if body else None
        except (aiohttp.ClientConnectionError, TimeoutError, ConnectionError) as error:
            raise NoAnswer(f"no Glint answers at {self.url}: {_reason(error)}") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise NoAnswer(f"what answers at {self.url} is no Glint ({type(error).__name__})") from error

    def _complaint(self, status: int, body: bytes) -> str:
        if status == 401:
            return f"{self.url} wants a valid token: {TOKEN_NEEDED}"
        try:
            said = _MARKUP.sub(" ", json.loads(body)["message"]).strip()
        except (ValueError, KeyError, TypeError):
            said = f"answered with status {status}"
        hint = " By default this needs the role admin." if status == 403 else ""
        return f"{self.url}: {said}{hint}"


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientSSLError():
            return "its certificate is not trusted; OS_CACERT names the file of its authority"
        case aiohttp.ClientConnectorDNSError():
            return "its name cannot be resolved"
        case aiohttp.ClientConnectorError():
            return "nobody listens there; is `glint serve` running?"
        case TimeoutError():
            return "it took too long"
        case _:
            return f"the connection ended ({type(error).__name__})"


@asynccontextmanager
async def open_nodes(
    config: Config, urls: Sequence[str], environment: Mapping[str, str]
) -> AsyncIterator[tuple[Node, ...]]:
    """The Glints at `urls`, or the one that this configuration starts. Raises LoginFailed.

    Where that one asks for no token, none is got; for others it is if the environment names somebody.
    """
    is_open = config.auth.kind == "none" and config.registry.kind != "glance"
    service = config.auth.keystone if config.auth.kind == "keystone" else None
    token = None if is_open and not urls else await find_token(environment, service)
    async with AsyncExitStack() as stack:
        tls = _own_tls(config.server) if not urls else trusted(environment)
        connector = aiohttp.TCPConnector(ssl=tls, limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        yield tuple(Node(url, session, token) for url in (urls or [own_url(config.server)]))


def own_url(server: ServerConfig) -> str:
    """Where the Glint of this configuration listens."""
    scheme = "https" if server.tls.certificate else "http"
    return f"{scheme}://{connectable(server.host)}:{server.port}"


def connectable(host: str) -> str:
    """The host part of a URL by which something that listens on `host` is reached from the same machine."""
    host = _ANYWHERE.get(host, host)
    return f"[{host}]" if ":" in host else host


def short_name(url: str) -> str:
    return urlsplit(url).netloc or url


def _own_tls(server: ServerConfig) -> ssl.SSLContext | bool:
    """Trusts the very certificate that this configuration serves, whichever name it bears."""
    if server.tls.certificate is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(server.tls.certificate)
    except OSError as error:
        raise NoAnswer(f"server.tls.certificate: {server.tls.certificate} cannot be read: {error.strerror}") from error
    return context


def _cached(image_id: str) -> str:
    return f"/v2/cache/{quote(image_id, safe='')}"


def _image(document: Mapping[str, Any]) -> ImageInfo:
    return ImageInfo(
        id=document["id"],
        name=document.get("name"),
        status=document["status"],
        size_bytes=document.get("size"),
        fields=document,
    )
