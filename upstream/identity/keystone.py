"""The questions Glint asks Keystone: who am I to you, whose token is this, and what your resources say."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import structlog

from metrics import Instruments
from upstream.errors import Denied, Unauthenticated, Unavailable
from upstream.identity.config import KeystoneConfig
from upstream.identity.context import Document, context_of, expires_at_s, is_token

log = structlog.get_logger(__name__)

_SERVICE = "Keystone"
_ANSWER_MAX_BYTES = 1024 * 1024
_RENEW_BEFORE_S = 60.0
_REFUSED_PAUSE_S = 10.0  # Keystone may lock an account out after some wrong passwords in a row
_BACKOFF_S = 0.1
_BACKOFF_MAX_S = 2.0


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes = field(repr=False)
    subject_token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _OwnToken:
    value: str = field(repr=False)
    renew_at_s: float  # time.monotonic


class Keystone:
    """Asks Keystone with the service's own credentials. Safe to use from many tasks at once.

    Open it before use: `async with Keystone(...) as keystone`. At most `concurrent_max` questions run at a time, each
    ends within `deadline_s`, its attempts and the waiting for its turn included.
    """

    def __init__(
        self,
        config: KeystoneConfig,
        instruments: Instruments,
        *,
        deadline_s: float = 30.0,
        attempt_s: float = 10.0,
        concurrent_max: int = 32,
    ) -> None:
        assert config.auth_url is not None
        assert config.username is not None
        assert config.password is not None
        self._config, self._instruments = config, instruments
        self._url = versioned(config.auth_url)
        self._login = json.dumps(_login_body(config)).encode()
        self._deadline_s, self._attempt_s, self._concurrent_max = deadline_s, attempt_s, concurrent_max
        self._turns = asyncio.Semaphore(concurrent_max)
        self._logging_in = asyncio.Lock()
        self._own: _OwnToken | None = None
        self._refused_until_s = 0.0
        self._refusal_told = False
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self._attempt_s, sock_connect=self._config.http_connect_timeout_s)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrent_max + 1),  # a login goes beside the questions
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=timeout,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def validate(self, token: str, *, allow_expired: bool = False) -> Document:
        """What Keystone says about `token`, without the catalog.

        `allow_expired` is for a token that came with a valid service token: one that has run out is then good too,
        within Keystone's own window. Raises Unauthenticated if the token is not good, Unavailable, and Denied if
        Keystone refuses our own credentials.
        """
        if not is_token(token):
            raise Unauthenticated("The token is malformed")
        async with self._turn():
            return await self._validate(token, allow_expired=allow_expired)

    async def _validate(self, token: str, *, allow_expired: bool) -> Document:
        params = {"nocatalog": "1"} | ({"allow_expired": "1"} if allow_expired else {})
        for _ in range(2):  # our own token may have been revoked: once more with a new one
            own = await self._own_token()
            headers = {"X-Auth-Token": own.value, "X-Subject-Token": token, "OpenStack-Identity-Access-Rules": "1"}
            answer = await self._ask("validate", "GET", headers=headers, params=params)
            match answer.status:
                case 200:
                    self._refusal_told = False
                    return self._read(answer)
                case 404:
                    raise Unauthenticated("Keystone does not know the token, or it has expired or was revoked")
                case 401:
                    self._own = None if self._own is own else self._own
                case 403:
                    break
                case status:
                    raise Unavailable(_SERVICE, f"answered a validation with status {status}")
        raise self._refused("Keystone does not let Glint's user validate tokens; it needs the role admin or service")

    async def resource(self, path: str, params: Mapping[str, str]) -> Document:
        """A JSON object that Keystone shows to Glint's own user, as `/limits`. Raises Unavailable, Denied."""
        async with self._turn():
            for _ in range(2):  # as in _validate
                own = await self._own_token()
                answer = await self._ask(
                    "resource", "GET", path=path, headers={"X-Auth-Token": own.value}, params=params
                )
                if answer.status != 401:
                    break
                self._own = None if self._own is own else self._own
        if answer.status in (401, 403):
            raise self._refused(f"Keystone does not show {path} to Glint's user; it needs the role admin or service")
        if answer.status != 200:
            raise Unavailable(_SERVICE, f"answered {path} with status {answer.status}")
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise self._malformed(f"answered {path} with something that is no JSON") from error
        if not isinstance(document, dict):
            raise self._malformed(f"answered {path} with something that is no object")
        return document

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline_s), self._turns:
                yield
        except TimeoutError as error:
            self._instruments.keystone_errors.labels("timeout").inc()
            raise Unavailable(_SERVICE, f"no answer within {self._deadline_s:g} s") from error

    async def _own_token(self) -> _OwnToken:
        """Ours, renewed when it nears its end. Those who come while it is renewed wait and share it."""
        if self._own is not None and time.monotonic() < self._own.renew_at_s:
            return self._own
        async with self._logging_in:
            if self._own is None or time.monotonic() >= self._own.renew_at_s:
                self._own = await self._authenticate()
            return self._own

    async def _authenticate(self) -> _OwnToken:
        if time.monotonic() < self._refused_until_s:
            raise Denied("Keystone refused Glint's own credentials a moment ago")
        answer = await self._ask("authenticate", "POST", headers={"Content-Type": "application/json"}, data=self._login)
        if answer.status in (401, 403):
            raise self._refused("Keystone refuses Glint's own credentials; check auth.keystone")
        if answer.status != 201 or not answer.subject_token or not is_token(answer.subject_token):
            raise self._malformed(f"answered a login with status {answer.status} and no usable token")
        life_s = expires_at_s(self._read(answer)) - time.time()
        return _OwnToken(answer.subject_token, time.monotonic() + max(life_s - _RENEW_BEFORE_S, life_s / 2))

    def _refused(self, message: str) -> Denied:
        """Until the pause is over no login is tried; a token we still have is."""
        self._refused_until_s = time.monotonic() + _REFUSED_PAUSE_S
        self._instruments.keystone_errors.labels("refused").inc()
        if not self._refusal_told:
            self._refusal_told = True
            config = self._config
            log.error("keystone.refused", message=message, username=config.username, project=config.project_name)
        return Denied(message)

    def _malformed(self, reason: str) -> Unavailable:
        self._instruments.keystone_errors.labels("malformed").inc()
        return Unavailable(_SERVICE, reason)

    def _read(self, answer: _Answer) -> Document:
        try:
            document = json.loads(answer.body)
            context_of(document, None, "")
            expires_at_s(document)
        except (ValueError, RecursionError, Unauthenticated) as error:
            raise self._malformed("answered with something that is no token description") from error
        document["token"].pop("catalog", None)
        return {"token": document["token"]}

    async def _ask(
        self,
        operation: str,
        method: str,
        *,
        path: str = "/auth/tokens",
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> _Answer:
        """One answer below 500, tried as often as configured. Raises Unavailable."""
        reason = ""
        for attempt in range(self._config.http_request_max_retries + 1):
            if attempt:
                await asyncio.sleep(backoff_s(attempt))
            try:
                with self._instruments.keystone_seconds.labels(operation).time():
                    answer = await self._exchange(method, path, headers=headers, params=params, data=data)
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                kind = "timeout" if isinstance(error, TimeoutError) else "unreachable"
                reason = f"{type(error).__name__} at {self._url}"
            else:
                if answer.status < 500 and answer.status != 429:
                    return answer
                kind, reason = "server_error", f"status {answer.status} from {self._url}"
            self._instruments.keystone_errors.labels(kind).inc()
        raise Unavailable(_SERVICE, reason)

    async def _exchange(self, method: str, path: str, **request: Any) -> _Answer:
        assert self._session is not None
        url = f"{self._url}{path}"
        # A redirect would carry tokens to a place nobody configured.
        async with self._session.request(method, url, allow_redirects=False, **request) as response:
            body = b""
            async for piece in response.content.iter_chunked(65536):
                body += piece
                if len(body) > _ANSWER_MAX_BYTES:
                    raise aiohttp.ClientPayloadError(f"an answer of more than {_ANSWER_MAX_BYTES} bytes")
            return _Answer(response.status, body, response.headers.get("X-Subject-Token"))


def versioned(auth_url: str) -> str:
    """The URL of the v3 API, with or without which `auth_url` may be written."""
    url = auth_url.rstrip("/")
    return url if url.endswith("/v3") else f"{url}/v3"


def backoff_s(attempt: int) -> float:
    """How long to wait before the `attempt`-th retry, spread so that many clients do not come back at once."""
    return random.uniform(0.5, 1.0) * min(_BACKOFF_MAX_S, _BACKOFF_S * 2.0**attempt)  # noqa: S311 - no secret


def _login_body(config: KeystoneConfig) -> dict[str, Any]:
    assert config.password is not None
    user = {
        "name": config.username,
        "domain": {"name": config.user_domain_name},
        "password": config.password.get_secret_value(),
    }
    project = {"name": config.project_name, "domain": {"name": config.project_domain_name}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": project}}}
