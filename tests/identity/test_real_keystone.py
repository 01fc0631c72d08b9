"""The same against a real Keystone."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cache.tokens import TokenCache, TokenCacheConfig
from metrics import Instruments
from proxy.authentication import KeystoneAuthentication
from proxy.policy import Policy
from tests.peers.keystone import Keystone as RealKeystone
from tests.peers.memcached import Memcached
from upstream.errors import Denied, Unauthenticated, Unavailable
from upstream.identity import Keystone, KeystoneConfig
from upstream.types import Context

POLICY = Policy()  # making one reads entry points, which no coroutine may


def config_of(server: RealKeystone, **changes: object) -> KeystoneConfig:
    known = {"auth_url": server.url.removesuffix("/v3"), "username": "glance", "password": "secret"}
    return KeystoneConfig.model_validate(
        known | {"http_request_max_retries": 0, "delay_auth_decision": False} | changes
    )


class Edge:
    def __init__(self, server: RealKeystone, memcached: Memcached, *, ttl_s: int = 300) -> None:
        config = config_of(server)
        section = {"ttl_s": ttl_s, "memcached_servers": [memcached.address], "secret_key": "a secret key"}
        self.keystone = Keystone(config, Instruments(), deadline_s=100, attempt_s=60)
        self.tokens = TokenCache(TokenCacheConfig.model_validate(section), Instruments(), invalid=Unauthenticated)
        self.authenticator = KeystoneAuthentication(config, self.keystone, self.tokens, POLICY)

    async def ask(self, token: str, service: str = "", path: str = "/v2/images") -> Context:
        headers = {"X-Auth-Token": token, "X-Service-Token": service}
        return await self.authenticator.authenticate(headers, method="GET", path=path, request_id="")

    async def is_shared(self, token: str) -> bool:
        """Whether memcached has the token: it is written after the answer was given."""
        assert self.tokens._seal is not None
        return await self.tokens._recall(self.tokens._seal.name(token.encode())) is not None


@pytest.fixture(autouse=True)
def _memcached_may_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a busy machine; and is asked all the same."""
    monkeypatch.setattr("cache.memcached._TIMEOUT_S", 30.0)


@pytest.fixture
async def edge(keystone: RealKeystone, memcached: Memcached) -> AsyncIterator[Edge]:
    edge = Edge(keystone, memcached)
    async with edge.keystone, edge.tokens:
        yield edge


@pytest.mark.parametrize(
    ("user", "project", "roles", "is_admin"),
    [
        ("admin", "admin", {"admin", "manager", "member", "reader"}, True),
        ("demo", "demo", {"member", "reader"}, False),
        ("alt", "alt", {"member", "reader"}, False),
        ("viewer", "demo", {"reader"}, False),
        ("nova", "service", {"admin", "manager", "member", "reader", "service"}, True),
    ],
)
async def test_each_user_is_who_keystone_says(
    edge: Edge, keystone: RealKeystone, user: str, project: str, roles: set[str], is_admin: bool
) -> None:
    token = await asyncio.to_thread(keystone.token, user)
    context = await edge.ask(token)
    assert context.user_id == await asyncio.to_thread(keystone.user_id, user)
    assert context.project_id == await asyncio.to_thread(keystone.project_id, project)
    assert context.roles == roles
    assert context.is_admin is is_admin
    assert (context.user_domain_id, context.project_domain_id) == ("default", "default")


async def test_a_hundred_requests_with_a_fresh_token_are_one_validation(edge: Edge, keystone: RealKeystone) -> None:
    token = await asyncio.to_thread(keystone.token, "demo")
    before = await asyncio.to_thread(keystone.validations)
    await asyncio.gather(*(edge.ask(token) for _ in range(100)))
    assert await asyncio.to_thread(keystone.validations) == before + 1


async def test_another_process_finds_the_token_in_memcached(
    edge: Edge, keystone: RealKeystone, memcached: Memcached
) -> None:
    token = await asyncio.to_thread(keystone.token, "demo")
    context = await edge.ask(token)
    async with asyncio.timeout(30):
        while not await edge.is_shared(token):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    before = await asyncio.to_thread(keystone.validations)
    other = Edge(keystone, memcached)
    async with other.keystone, other.tokens:
        assert await other.ask(token) == context
    assert await asyncio.to_thread(keystone.validations) == before


async def test_a_token_that_keystone_never_gave_is_refused(edge: Edge) -> None:
    with pytest.raises(Unauthenticated):
        await edge.ask("gAAAAABnonsense")


async def test_a_revoked_token_is_refused_at_the_latest_when_the_time_to_live_is_over(
    keystone: RealKeystone, memcached: Memcached
) -> None:
    edge = Edge(keystone, memcached, ttl_s=1)
    token = await asyncio.to_thread(keystone.token, "demo")
    async with edge.keystone, edge.tokens:
        await edge.ask(token)
        await asyncio.to_thread(keystone.revoke, token)
        async with asyncio.timeout(30):
            while await lets_in(edge, token):  # noqa: ASYNC110 - time alone brings the end
                await asyncio.sleep(0.05)


async def lets_in(edge: Edge, token: str) -> bool:
    try:
        await edge.ask(token)
    except Unauthenticated:
        return False
    return True


async def test_a_service_vouches_with_a_real_service_token(edge: Edge, keystone: RealKeystone) -> None:
    user, nova = await asyncio.gather(
        asyncio.to_thread(keystone.token, "demo"), asyncio.to_thread(keystone.token, "nova")
    )
    assert "service" in (await edge.ask(user, nova)).service_roles


async def test_an_application_credential_reaches_only_what_its_rules_name(edge: Edge, keystone: RealKeystone) -> None:
    def restricted_token() -> str:
        owner = keystone.token("demo")
        rules = [{"service": "image", "method": "GET", "path": "/v2/images/{image_id}"}]
        fields = {"name": "limited", "secret": "s", "roles": [{"name": "reader"}], "access_rules": rules}
        path = f"/users/{keystone.user_id('demo')}/application_credentials"
        made = keystone.api.call("POST", path, {"application_credential": fields}, token=owner)[1]
        credential = {"id": made["application_credential"]["id"], "secret": "s"}
        identity = {"methods": ["application_credential"], "application_credential": credential}
        return str(keystone.api.call("POST", "/auth/tokens", {"auth": {"identity": identity}})[0]["X-Subject-Token"])

    token = await asyncio.to_thread(restricted_token)
    assert (await edge.ask(token, path="/v2/images/1")).roles == {"reader"}
    with pytest.raises(Unauthenticated):
        await edge.ask(token, path="/v2/images")


async def test_a_system_token_belongs_to_no_project_and_may_read_no_image(edge: Edge, keystone: RealKeystone) -> None:
    def system_token() -> str:
        user = {"name": "admin", "domain": {"id": "default"}, "password": "secret"}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"system": {"all": True}}}}
        return str(keystone.api.call("POST", "/auth/tokens", body)[0]["X-Subject-Token"])

    context = await edge.ask(await asyncio.to_thread(system_token))
    assert (context.project_id, context.system_scope) == (None, "all")
    assert not POLICY.allows("get_images", context, {})


async def test_wrong_credentials_of_ours_are_told(keystone: RealKeystone) -> None:
    token = await asyncio.to_thread(keystone.token, "demo")
    async with Keystone(config_of(keystone, password="wrong"), Instruments()) as client:
        with pytest.raises(Denied):
            await client.validate(token)


async def test_a_user_without_the_right_role_cannot_validate(keystone: RealKeystone) -> None:
    token = await asyncio.to_thread(keystone.token, "admin")
    config = config_of(keystone, username="demo", project_name="demo")
    async with Keystone(config, Instruments()) as client:
        with pytest.raises(Denied, match="role"):
            await client.validate(token)


async def test_a_frozen_keystone_is_an_outage_and_is_well_after_it(keystone: RealKeystone) -> None:
    token = await asyncio.to_thread(keystone.token, "demo")
    async with Keystone(config_of(keystone), Instruments(), attempt_s=1.5) as client:
        with keystone.frozen(), pytest.raises(Unavailable):
            await client.validate(token)
        async with asyncio.timeout(60):
            while not await answers(client, token):  # noqa: ASYNC110 - it first works off what it missed
                await asyncio.sleep(0.1)


async def answers(client: Keystone, token: str) -> bool:
    try:
        return bool((await client.validate(token))["token"]["user"]["name"] == "demo")
    except Unavailable:
        return False
