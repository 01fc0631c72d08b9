"""What Keystone said about tokens, remembered: in this process, then in memcached, and asked once for all who wait."""

import asyncio
import hashlib
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationInfo, field_validator
from pymemcache.client.base import normalize_server_spec

from cache.memcached import Memcached
from cache.memory import BoundedMemory
from cache.sealing import Forged, Strategy, seal_for
from metrics import Instruments

_REFUSED_S = 3.0
_REFUSED_MAX = 1024
_EXPIRED_TOO = "+"


def _server_address(text: str) -> str:
    expected = f'expected a server such as "127.0.0.1:11211" or "unix:/run/memcached.sock", got {text!r}'
    try:
        address = normalize_server_spec(text)
    except ValueError as error:
        raise ValueError(expected) from error
    if isinstance(address, tuple) and not (address[0] and 0 < address[1] < 65536):
        raise ValueError(expected)
    return text


class TokenCacheConfig(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """The `token_cache:` section of config.yaml. A revoked token may be taken for good for up to `ttl_s` more."""

    ttl_s: int = Field(default=300, ge=0)
    memory_entries: int = Field(default=10000, ge=1)
    memcached_servers: tuple[Annotated[str, AfterValidator(_server_address)], ...] = ()
    security_strategy: Strategy = "mac"
    secret_key: SecretStr | None = Field(default=None, validate_default=True)

    @field_validator("secret_key")
    @classmethod
    def _needed(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        strategy = info.data.get("security_strategy", "none")
        if info.data.get("memcached_servers") and strategy != "none" and not (value and value.get_secret_value()):
            raise ValueError(f"expected a secret, as security_strategy is {strategy} and there are memcached_servers")
        return value


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TokenBody:
    """A valid token's document. The same object is given out as long as it is remembered.

    `expires_at_s` is in seconds since 1970.
    """

    document: Mapping[str, Any] = field(repr=False)
    expires_at_s: float


Validate = Callable[[str], Awaitable[TokenBody]]


@dataclass(frozen=True, slots=True)
class _Question:
    """One look-up that goes beyond memory. `key` tells apart what `name`, the token's in memory, does not."""

    key: str
    name: str
    token: str = field(repr=False)
    validate: Validate


class TokenCache:
    """Documents of valid tokens. An entry lives `ttl_s` at most and never beyond its token; each use checks both.

    `invalid` is the error with which `validate` says that a token is not good. It alone is remembered, for 3 s and
    1024 tokens at most, so that a client that insists does not reach Keystone with every request.

    Open it before use: `async with TokenCache(...) as tokens`. It owns one task per token that is being looked up;
    leaving cancels those that still run, and with them whoever waits.
    """

    def __init__(
        self,
        config: TokenCacheConfig,
        instruments: Instruments,
        *,
        invalid: type[Exception],
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        secret = config.secret_key.get_secret_value() if config.secret_key is not None else None
        self._ttl_s, self._invalid = config.ttl_s, invalid
        self._now, self._monotonic = now, monotonic
        self._instruments = instruments
        self._memory_hit = instruments.token_lookups.labels("memory")
        self._memory = BoundedMemory(config.memory_entries)  # name: (body, monotonic end)
        self._refused = BoundedMemory(_REFUSED_MAX)  # name: monotonic end
        self._flights: dict[str, asyncio.Future[TokenBody]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._process_key = os.urandom(32)
        servers = config.memcached_servers
        self._memcached = Memcached(servers, instruments) if servers else None
        self._seal = seal_for(config.security_strategy, secret) if servers else None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            if self._memcached is not None:
                await self._memcached.close()

    async def get(self, token: str, validate: Validate, *, allow_expired: bool = False) -> TokenBody:
        """What is known about `token`; `validate` is asked if nothing is, once for all who ask meanwhile.

        Raises what `validate` raises. The first to ask may go away: the question goes on for the others.
        With `allow_expired`, `validate` may answer for a token that has run out. Such an answer is not remembered.
        Questions with and without it are kept apart, as their answers differ; what is remembered is good for both.
        """
        name = self._name(token)
        entry = await self._memory.get(name)
        if entry is not None:
            body: TokenBody = entry[0]
            if self._monotonic() < entry[1] and self._now() < body.expires_at_s:
                self._memory_hit.inc()
                return body
        question = name + _EXPIRED_TOO if allow_expired else name
        flight = self._flights.get(question)
        if flight is None:
            if self._monotonic() < (await self._refused.get(question) or 0.0):
                self._instruments.token_lookups.labels("rejected").inc()
                raise self._invalid("The token was refused a moment ago")
            flight = self._depart(_Question(question, name, token, validate))
        else:
            self._instruments.token_lookups.labels("joined").inc()
        # A waiter that is cancelled must not cancel what the others wait for.
        return await asyncio.shield(flight)

    async def forget(self, token: str) -> None:
        """Ask anew at the next use, here and in processes that share the memcached but have not read it yet.

        Who waits for an answer now still gets it; it is not remembered in this process.
        """
        name = self._name(token)
        await self._memory.delete(name)
        for question in (name, name + _EXPIRED_TOO):
            self._flights.pop(question, None)
            await self._refused.delete(question)
        if self._memcached is not None and self._seal is not None:
            await self._memcached.delete(self._seal.name(_encoded(token)))

    def _name(self, token: str) -> str:
        """Keyed, so that who sees a name cannot try tokens. BLAKE2 needs no HMAC for that."""
        return hashlib.blake2b(_encoded(token), key=self._process_key, digest_size=32).hexdigest()

    def _depart(self, question: _Question) -> asyncio.Future[TokenBody]:
        """Nothing here awaits, so nobody can start a second flight between look-up and start."""
        flight: asyncio.Future[TokenBody] = asyncio.get_running_loop().create_future()
        task = self._group.create_task(self._fly(question, flight))
        self._flights[question.key] = flight
        self._tasks.add(task)

        def land(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            flight.cancel()  # nothing after an answer; cancelled before it began, the task could give none
            if self._is_wanted(question, flight):
                del self._flights[question.key]

        task.add_done_callback(land)
        return flight

    async def _fly(self, question: _Question, flight: asyncio.Future[TokenBody]) -> None:
        """Answer `flight`. Nothing is raised: an error here would end the flights of all other tokens."""
        shared_name = self._seal.name(_encoded(question.token)) if self._seal is not None else None
        try:
            found = await self._recall(shared_name) if shared_name is not None else None
            body, end_s = found or (await question.validate(question.token), self._now() + self._ttl_s)
        except self._invalid as error:
            if self._is_wanted(question, flight):
                await self._refused.set(question.key, self._monotonic() + _REFUSED_S)
            self._answer(question, flight, "rejected", error)
            return
        except Exception as error:  # noqa: BLE001 - it is raised at everybody who waits
            self._answer(question, flight, "failed", error)
            return
        left_s = min(end_s, body.expires_at_s) - self._now()
        is_wanted = self._is_wanted(question, flight)
        if is_wanted and left_s > 0:
            await self._memory.set(question.name, (body, self._monotonic() + left_s))
        self._answer(question, flight, "memcached" if found else "keystone", body)
        if is_wanted and not found and shared_name is not None and left_s >= 1:
            await self._share(shared_name, body, end_s, math.floor(left_s))

    def _is_wanted(self, question: _Question, flight: asyncio.Future[TokenBody]) -> bool:
        """Whether the answer may be remembered: the token was not forgotten since the flight began."""
        return self._flights.get(question.key) is flight

    def _answer(
        self, question: _Question, flight: asyncio.Future[TokenBody], outcome: str, answer: TokenBody | Exception
    ) -> None:
        """From here on the token's next look-up is a new one, also while this one still writes to memcached."""
        if self._is_wanted(question, flight):
            del self._flights[question.key]
        self._instruments.token_lookups.labels(outcome).inc()
        if isinstance(answer, Exception):
            flight.set_exception(answer)
        else:
            flight.set_result(answer)

    async def _recall(self, name: str) -> tuple[TokenBody, float] | None:
        """From memcached: the body, and when it is to be forgotten. Whatever is wrong with a value makes it a miss."""
        assert self._memcached is not None
        assert self._seal is not None
        value = await self._memcached.get(name)
        if value is None:
            return None
        try:
            said = self._seal.open(name, value)
            document, expires_at_s, end_s = dict(said["document"]), float(said["expires_at_s"]), float(said["end_s"])
        except (Forged, KeyError, TypeError, ValueError):
            self._instruments.memcached_errors.labels("verify").inc()
            return None
        end_s = min(end_s, self._now() + self._ttl_s)  # written under a longer ttl_s, or by a clock ahead of ours
        return (TokenBody(document, expires_at_s), end_s) if self._now() < min(end_s, expires_at_s) else None

    async def _share(self, name: str, body: TokenBody, end_s: float, expire_s: int) -> None:
        assert self._memcached is not None
        assert self._seal is not None
        document = {"document": body.document, "expires_at_s": body.expires_at_s, "end_s": end_s}
        await self._memcached.set(name, self._seal.close(name, document), expire_s)


def _encoded(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")  # a header may hold any byte
