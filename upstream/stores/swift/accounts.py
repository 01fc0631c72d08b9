"""Tokens of Swift: one per account, kept in memory, renewed before they run out."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
import structlog
from yarl import URL

from upstream.errors import Denied, Unauthenticated, Unavailable
from upstream.http import translated
from upstream.identity.context import expires_at_s, is_token
from upstream.identity.keystone import versioned
from upstream.stores.swift.config import Reference, SwiftStoreConfig
from upstream.stores.swift.login import login_body, login_headers, storage_url, use_s

log = structlog.get_logger()

_ANSWER_MAX_BYTES = 1024 * 1024
_REFUSED_PAUSE_S = 10.0  # Keystone may lock an account out after some wrong passwords in a row
_LIFE_UNKNOWN_S = 3600.0  # of a token of tempauth that does not say; a 401 tells in time


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """A token, and the account it is for. `storage_url` has no slash at its end."""

    token: str = field(repr=False)
    storage_url: str
    renew_at_s: float  # time.monotonic


class Account:
    """One user's token. Safe to use from many tasks at once: whoever comes while it is renewed waits and shares it."""

    def __init__(
        self, store_id: str, reference: Reference, config: SwiftStoreConfig, session: aiohttp.ClientSession
    ) -> None:
        self._id, self._reference, self._config, self._session = store_id, reference, config, session
        self._renewing = asyncio.Lock()
        self._grant: Grant | None = None
        self._refused_until_s = 0.0

    async def grant(self, refused: Grant | None = None) -> Grant:
        """A token that is good for a while, and another one than the `refused`. Raises Denied, Unavailable."""
        if (grant := self._usable(refused)) is not None:
            return grant
        async with self._renewing:
            if (grant := self._usable(refused)) is None:
                grant = self._grant = await self._log_in()
            return grant

    def _usable(self, refused: Grant | None) -> Grant | None:
        grant = self._grant
        return None if grant is None or grant is refused or time.monotonic() >= grant.renew_at_s else grant

    async def _log_in(self) -> Grant:
        if time.monotonic() < self._refused_until_s:
            raise Denied(f"{self._id} was refused by its own credentials a moment ago")
        began_s = time.monotonic()
        token, url, life_s = await (self._by_tempauth() if self._reference.auth_version == 1 else self._by_keystone())
        url = str(self._config.endpoint or url).rstrip("/")
        if not is_token(token) or not url:
            raise Unavailable(self._id, "its login gave no usable token or no storage URL")
        log.info("store.token_renewed", store=self._id, life_s=round(life_s))
        return Grant(token, url, began_s + use_s(life_s, self._config.renew_before_s))

    async def _by_tempauth(self) -> tuple[str, str, float]:
        headers, _ = await self._ask("GET", self._reference.auth_address, login_headers(self._reference), None)
        life = headers.get("X-Auth-Token-Expires", "")
        life_s = float(life) if life.isascii() and life.isdigit() else _LIFE_UNKNOWN_S
        return headers.get("X-Auth-Token", ""), headers.get("X-Storage-Url", ""), life_s

    async def _by_keystone(self) -> tuple[str, str, float]:
        url = f"{versioned(self._reference.auth_address)}/auth/tokens"
        body = json.dumps(login_body(self._reference)).encode()
        headers, answer = await self._ask("POST", url, {"Content-Type": "application/json"}, body)
        try:
            document = json.loads(answer)
            life_s = expires_at_s(document) - time.time()
            found = storage_url(document, self._config)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Unauthenticated) as error:
            raise Unavailable(self._id, "its login was answered with something that is no token") from error
        if found is None and self._config.endpoint is None:
            wanted = f"{self._config.service_type}, {self._config.endpoint_type}, {self._config.region or 'any region'}"
            raise Denied(f"{self._id} has no endpoint in the catalogue of its user: {wanted}")
        return headers.get("X-Subject-Token", ""), found or "", life_s

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of a login that succeeded. A redirect would show the key where nobody configured it."""
        limit_s = self._config.connect_s + self._config.first_byte_s
        with translated(self._id):
            async with (
                asyncio.timeout(limit_s),
                self._session.request(method, URL(url), headers=headers, data=body, allow_redirects=False) as response,
            ):
                answer = b""
                async for piece in response.content.iter_chunked(65536):
                    answer += piece
                    if len(answer) > _ANSWER_MAX_BYTES:
                        raise Unavailable(self._id, f"its login was answered with more than {_ANSWER_MAX_BYTES} bytes")
        if response.status in (401, 403):
            self._refused_until_s = time.monotonic() + _REFUSED_PAUSE_S
            log.error("store.credentials_refused", store=self._id, status=response.status)
            raise Denied(f"{self._id} was refused by its own credentials ({response.status})")
        if response.status not in (200, 201, 204):
            raise Unavailable(self._id, f"its login was answered with {response.status}")
        return response.headers, answer
