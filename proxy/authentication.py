"""From the headers of a request to the Context of who asks."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol
from weakref import WeakKeyDictionary

import structlog

from cache import TokenBody, TokenCache
from proxy.policy import Policy
from upstream.errors import Denied, Unauthenticated, Unavailable
from upstream.identity import Keystone, KeystoneConfig, context_of, expires_at_s, is_bound, is_token, permits, roles_of
from upstream.types import Context

log = structlog.get_logger(__name__)

_REQUIRED = "The request you have made requires authentication."


class Authenticator(Protocol):
    """Says who asks. `headers` is looked into without regard to case, as aiohttp's are."""

    @property
    def challenge(self) -> str | None:
        """What WWW-Authenticate says in every answer with status 401."""

    async def authenticate(self, headers: Mapping[str, str], *, method: str, path: str, request_id: str) -> Context:
        """Raises Unauthenticated, and Unavailable or Denied if nobody can tell."""


class NoAuthentication:
    """Everybody is an administrator, with the roles that one has. Headers say nothing here.

    Glance's own context without authentication has no roles at all, so that its present policy forbids everything.
    """

    challenge: str | None = None

    async def authenticate(self, headers: Mapping[str, str], *, method: str, path: str, request_id: str) -> Context:
        return Context(is_admin=True, roles=frozenset({"admin", "member", "reader"}), request_id=request_id)


class KeystoneAuthentication:
    """X-Auth-Token (or X-Storage-Token) and X-Service-Token, as keystonemiddleware reads them before Glance.

    Identity headers such as X-Roles, which that middleware writes for Glance, are never read: nothing to spoof.
    """

    def __init__(
        self,
        config: KeystoneConfig,
        keystone: Keystone,
        tokens: TokenCache,
        policy: Policy,
        *,
        allow_anonymous_access: bool = False,
    ) -> None:
        self._keystone, self._tokens, self._policy = keystone, tokens, policy
        self._delays = config.delay_auth_decision
        self._is_open = allow_anonymous_access and self._delays
        self._service_roles = frozenset(role.lower() for role in config.service_token_roles)
        self.challenge: str | None = f'Keystone uri="{config.www_authenticate_uri or config.auth_url}"'
        # What a remembered document says does not change, so it is read once; only the policy may change its answer.
        self._contexts: WeakKeyDictionary[TokenBody, tuple[int, Context]] = WeakKeyDictionary()

    async def authenticate(self, headers: Mapping[str, str], *, method: str, path: str, request_id: str) -> Context:
        """Raises Unauthenticated, or with `allow_anonymous_access` lets anybody in to read what is open to all.

        Raises Unavailable or Denied when Keystone cannot tell.
        """
        try:
            return await self._authenticated(headers, method=method, path=path, request_id=request_id)
        except Unauthenticated:
            if not self._is_open:
                raise
            return Context(read_only=True, request_id=request_id)

    async def _authenticated(self, headers: Mapping[str, str], *, method: str, path: str, request_id: str) -> Context:
        """Raises Unauthenticated; Unavailable or Denied when Keystone cannot tell.

        With `delay_auth_decision`, an outage of Keystone looks as it does in Glance (401), and a bad service token is
        as good as none; without, the outage is told as one (503), and a bad service token is refused.
        """
        token = (headers.get("X-Auth-Token") or headers.get("X-Storage-Token") or "").strip()
        if not is_token(token):
            raise Unauthenticated(_REQUIRED)
        try:
            service = await self._service(headers.get("X-Service-Token"))
            if service is None:
                body = await self._tokens.get(token, self._validate)
            else:
                body = await self._tokens.get(token, self._validate_expired, allow_expired=True)
        except (Unavailable, Denied) as error:
            if not self._delays:
                raise
            log.warning("keystone.undecided", error=type(error).__name__, reason=str(error))
            raise Unauthenticated(_REQUIRED) from error
        context = self._context(token, body)
        if service is None and not _stands_alone(body, method=method, path=path):
            raise Unauthenticated(_REQUIRED)
        service_roles = roles_of(service.document) if service is not None else frozenset()
        return context.of_request(request_id, service_roles)

    async def _service(self, header: str | None) -> TokenBody | None:
        """The service that calls for the user, None if there is none or, with `delay_auth_decision`, no good one."""
        token = (header or "").strip()
        if not token:
            return None
        try:
            return await self._good_service(token)
        except (Unauthenticated, Unavailable, Denied):
            if not self._delays:
                raise
            return None

    async def _good_service(self, token: str) -> TokenBody:
        if not is_token(token):
            raise Unauthenticated(_REQUIRED)
        body = await self._tokens.get(token, self._validate)
        may_call = not self._service_roles.isdisjoint(roles_of(body.document))
        if not may_call or body.expires_at_s <= time.time() or is_bound(body.document):
            raise Unauthenticated(_REQUIRED)
        return body

    def _context(self, token: str, body: TokenBody) -> Context:
        generation = self._policy.generation
        known = self._contexts.get(body)
        if known is None or known[0] != generation:
            context = context_of(body.document, None, "", token=token)
            known = generation, replace(context, is_admin=self._policy.is_admin(context))
            self._contexts[body] = known
        return known[1]

    async def _validate(self, token: str) -> TokenBody:
        document = await self._keystone.validate(token)
        return TokenBody(document, expires_at_s(document))

    async def _validate_expired(self, token: str) -> TokenBody:
        document = await self._keystone.validate(token, allow_expired=True)
        return TokenBody(document, expires_at_s(document))


def _stands_alone(body: TokenBody, *, method: str, path: str) -> bool:
    """Whether the token is good without a service that answers for it: alive, not bound, and within its rules."""
    is_alive = time.time() < body.expires_at_s
    return is_alive and not is_bound(body.document) and permits(body.document, method=method, path=path)
