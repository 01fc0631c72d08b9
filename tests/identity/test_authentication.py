"""From headers to a Context: whom the edge lets in, with a Keystone that does as it is told."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from cache.tokens import TokenCache, TokenCacheConfig
from metrics import Instruments
from proxy.authentication import KeystoneAuthentication, NoAuthentication
from proxy.policy import Policy
from tests.identity.fake_keystone import LONG_AGO, FakeKeystone, answer, document
from upstream.errors import Denied, Unauthenticated, Unavailable
from upstream.identity import Keystone
from upstream.types import Context

USER, SERVICE = "the-user's-token", "the-service's-token"
POLICY = Policy()  # making one reads entry points, which no coroutine may
GET: Mapping[str, str] = {"method": "GET", "path": "/v2/images", "request_id": "req-1"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeKeystone]:
    fake = FakeKeystone()
    fake.tokens[USER] = document(roles=("Member", "reader"))
    fake.tokens[SERVICE] = document(user="nova", project="service", roles=("service", "admin"))
    async with fake.serving():
        yield fake


class Edge:
    """Calls the authenticator as the middleware does."""

    def __init__(self, authenticator: KeystoneAuthentication) -> None:
        self.authenticator = authenticator

    async def ask(self, *, method: str = "GET", path: str = "/v2/images", **tokens: str) -> Context:
        names = {"user": "X-Auth-Token", "storage": "x-storage-token", "service": "X-Service-Token"}
        headers = CIMultiDict({names[kind]: token for kind, token in tokens.items()})
        return await self.authenticator.authenticate(headers, method=method, path=path, request_id="req-1")


@asynccontextmanager
async def edge_of(fake: FakeKeystone, policy: Policy | None = None, **changes: Any) -> AsyncIterator[Edge]:
    config = fake.config(http_request_max_retries=0, **changes)
    policy = policy or POLICY
    cache = TokenCache(TokenCacheConfig(), Instruments(), invalid=Unauthenticated)
    async with Keystone(config, Instruments(), deadline_s=100, attempt_s=30) as keystone, cache as tokens:
        yield Edge(KeystoneAuthentication(config, keystone, tokens, policy))


async def test_a_user_gets_in_with_the_roles_of_the_token(fake: FakeKeystone) -> None:
    async with edge_of(fake) as edge:
        context = await edge.ask(user=f" {USER} ")
    assert (context.user_id, context.project_id) == ("demo", "p1")
    assert context.roles == {"member", "reader"}
    assert (context.is_admin, context.request_id, context.token) == (False, "req-1", USER)
    assert USER not in repr(context)


async def test_the_old_name_of_the_header_works_and_the_new_one_wins(fake: FakeKeystone) -> None:
    async with edge_of(fake) as edge:
        assert (await edge.ask(storage=USER)).user_id == "demo"
        assert (await edge.ask(user=USER, storage="unknown")).user_id == "demo"


async def test_an_admin_is_one_by_the_policy(fake: FakeKeystone) -> None:
    fake.tokens[USER] = document(roles=("ADMIN",))
    async with edge_of(fake) as edge:
        assert (await edge.ask(user=USER)).is_admin


async def test_a_changed_policy_is_asked_again_about_remembered_tokens(fake: FakeKeystone, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    await asyncio.to_thread(path.write_text, "{}\n")
    policy = await asyncio.to_thread(Policy, path)
    async with edge_of(fake, policy) as edge, asyncio.TaskGroup() as group:
        assert not (await edge.ask(user=USER)).is_admin
        watching = group.create_task(policy.watch(0.01))
        await asyncio.to_thread(path.write_text, "context_is_admin: role:reader\n")
        async with asyncio.timeout(30):
            while not (await edge.ask(user=USER)).is_admin:  # noqa: ASYNC110 - the policy tells nobody
                await asyncio.sleep(0.01)
        watching.cancel()
    assert fake.counts["validate"] == 1


@pytest.mark.parametrize("token", ["", "unknown", "two words", "\udcff", "x" * 9000])
async def test_a_bad_token_is_refused(fake: FakeKeystone, token: str) -> None:
    async with edge_of(fake) as edge:
        with pytest.raises(Unauthenticated) as caught:
            await edge.ask(user=token)
    assert not token or token not in str(caught.value)


async def test_identity_headers_of_a_client_are_not_believed(fake: FakeKeystone) -> None:
    spoofed = {"X-Roles": "admin", "X-Identity-Status": "Confirmed", "X-User-Id": "root", "X-Project-Id": "p2"}
    async with edge_of(fake) as edge:
        with pytest.raises(Unauthenticated):
            await edge.authenticator.authenticate(CIMultiDict(spoofed), **GET)
        context = await edge.authenticator.authenticate(CIMultiDict(spoofed | {"X-Auth-Token": USER}), **GET)
    assert (context.user_id, context.project_id, context.is_admin) == ("demo", "p1", False)


async def test_a_token_that_ran_out_is_refused_even_if_keystone_still_likes_it(fake: FakeKeystone) -> None:
    async with edge_of(fake) as edge:
        fake.faults.append(answer(201, document(), **{"X-Subject-Token": "own"}))
        fake.own.add("own")
        fake.faults.append(answer(200, document(expires_at=LONG_AGO)))
        with pytest.raises(Unauthenticated):
            await edge.ask(user=USER)


async def test_the_challenge_names_the_public_keystone(fake: FakeKeystone) -> None:
    async with edge_of(fake) as edge:
        assert edge.authenticator.challenge == f'Keystone uri="{fake.url}"'
    async with edge_of(fake, www_authenticate_uri="https://keystone.example.org") as edge:
        assert edge.authenticator.challenge == 'Keystone uri="https://keystone.example.org"'


async def test_a_service_adds_its_roles_and_vouches_for_an_expired_token(fake: FakeKeystone) -> None:
    fake.tokens["old"] = document(expires_at=LONG_AGO)
    async with edge_of(fake) as edge:
        context = await edge.ask(user="old", service=SERVICE)
        assert context.user_id == "demo"
        assert context.service_roles == {"service", "admin"}
        assert not context.is_admin
        with pytest.raises(Unauthenticated):
            await edge.ask(user="old")


@pytest.mark.parametrize("service", ["unknown", "two words", USER])
async def test_with_delay_a_bad_service_token_is_as_good_as_none(fake: FakeKeystone, service: str) -> None:
    fake.tokens["old"] = document(expires_at=LONG_AGO)
    async with edge_of(fake) as edge:
        assert (await edge.ask(user=USER, service=service)).service_roles == frozenset()
        with pytest.raises(Unauthenticated):
            await edge.ask(user="old", service=service)


@pytest.mark.parametrize("service", ["unknown", "two words", USER])
async def test_without_delay_a_bad_service_token_is_refused(fake: FakeKeystone, service: str) -> None:
    async with edge_of(fake, delay_auth_decision=False) as edge:
        with pytest.raises(Unauthenticated):
            await edge.ask(user=USER, service=service)


async def test_which_roles_make_a_service_is_configured(fake: FakeKeystone) -> None:
    async with edge_of(fake, service_token_roles=["Member"]) as edge:
        assert (await edge.ask(user=USER, service=USER)).service_roles == {"member", "reader"}
        assert (await edge.ask(user=USER, service=SERVICE)).service_roles == frozenset()


async def test_an_outage_of_keystone_looks_as_in_glance_or_is_told(fake: FakeKeystone) -> None:
    fake.faults.append(answer(503))
    async with edge_of(fake) as edge:
        with pytest.raises(Unauthenticated):
            await edge.ask(user=USER)
        assert (await edge.ask(user=USER)).user_id == "demo"
        fake.faults.append(answer(503))
        assert (await edge.ask(user=USER)).user_id == "demo", "who is known stays known"
    fake.faults.clear()
    async with edge_of(fake, delay_auth_decision=False) as edge:
        fake.faults.append(answer(503))
        with pytest.raises(Unavailable):
            await edge.ask(user=USER)


async def test_refused_credentials_of_ours_are_not_taken_for_a_bad_token(fake: FakeKeystone) -> None:
    fake.password = "another"
    async with edge_of(fake, delay_auth_decision=False) as edge:
        with pytest.raises(Denied):
            await edge.ask(user=USER)
    async with edge_of(fake) as edge:
        with pytest.raises(Unauthenticated):
            await edge.ask(user=USER)
        fake.password = "secret"
        edge.authenticator._keystone._refused_until_s = time.monotonic()
        assert (await edge.ask(user=USER)).user_id == "demo"


async def test_access_rules_hold_for_each_request_unless_a_service_vouches(fake: FakeKeystone) -> None:
    rules = [{"service": "image", "method": "GET", "path": "/v2/images/*"}]
    fake.tokens[USER] = document(application_credential={"id": "a", "access_rules": rules})
    async with edge_of(fake) as edge:
        await edge.ask(user=USER, path="/v2/images/1")
        with pytest.raises(Unauthenticated):
            await edge.ask(user=USER, path="/v2/images/1/file")
        with pytest.raises(Unauthenticated):
            await edge.ask(user=USER, method="DELETE", path="/v2/images/1")
        await edge.ask(user=USER, method="DELETE", path="/v2/images/1", service=SERVICE)


async def test_a_kerberos_token_is_refused(fake: FakeKeystone) -> None:
    fake.tokens[USER] = document(bind={"kerberos": "demo@EXAMPLE"})
    async with edge_of(fake) as edge:
        with pytest.raises(Unauthenticated):
            await edge.ask(user=USER)


async def test_without_authentication_everybody_is_an_admin_whom_the_policy_allows_all() -> None:
    context = await NoAuthentication().authenticate({"X-Auth-Token": "whatever"}, **GET)
    assert (context.is_admin, context.request_id, context.user_id) == (True, "req-1", None)
    assert POLICY.is_admin(context)
    assert NoAuthentication().challenge is None
