"""Unified limits, from a real Keystone and from one that fails."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from metrics import Instruments
from tests.identity.fake_keystone import FakeKeystone, answer, cut, hang
from tests.peers.identity_api import LIMITS, REGION
from tests.peers.keystone import Keystone as RealKeystone
from upstream.errors import Denied, Unavailable
from upstream.identity import Keystone, KeystoneConfig, KeystoneLimits, LimitsConfig
from upstream.identity.limits import service_of

CATALOG = {
    "catalog": [
        {
            "id": "s1",
            "type": "image",
            "name": "glance",
            "endpoints": [
                {"interface": "public", "region_id": "one"},
                {"interface": "internal", "region_id": "one"},
                {"interface": "public", "region_id": "two"},
            ],
        },
        {"id": "s2", "type": "image", "name": "other", "endpoints": [{"interface": "public", "region_id": "three"}]},
        {"id": "s3", "type": "compute", "name": "nova", "endpoints": [{"interface": "public", "region_id": "one"}]},
    ]
}


async def test_a_projects_own_limit_is_over_the_registered_one(keystone: RealKeystone) -> None:
    admin = keystone.token("admin")
    service = keystone.api.set_endpoint("limits-test", "limits-test", "http://127.0.0.1:1")
    where = {"service_id": service, "region_id": REGION}
    registered = [{**where, "resource_name": name, "default_limit": 7} for name in LIMITS]
    keystone.api.call("POST", "/registered_limits", {"registered_limits": registered}, token=admin)
    demo = keystone.project_id("demo")
    own = [{**where, "project_id": demo, "resource_name": "image_size_total", "resource_limit": 3}]
    keystone.api.call("POST", "/limits", {"limits": own}, token=admin)
    config = KeystoneConfig.model_validate({"auth_url": keystone.url, "username": "glance", "password": "secret"})
    section = LimitsConfig(service_type="limits-test")
    async with Keystone(config, Instruments()) as client:
        limits = KeystoneLimits(section, client, region=REGION)
        assert await limits.of(demo) == {**dict.fromkeys(LIMITS, 7), "image_size_total": 3}
        assert await limits.of(keystone.project_id("alt")) == dict.fromkeys(LIMITS, 7)
        assert await limits.of(None) == dict.fromkeys(LIMITS, 7)


@pytest.mark.parametrize(
    ("section", "region", "found"),
    [
        ({"service_name": "glance"}, "one", ("s1", "one")),
        ({"service_name": "glance"}, "two", ("s1", "two")),
        ({"service_name": "other"}, None, ("s2", "three")),
        ({"interface": "internal"}, None, ("s1", "one")),
        ({"service_type": "compute"}, None, ("s3", "one")),
    ],
)
def test_the_service_is_found_in_the_catalog(section: dict[str, Any], region: str | None, found: object) -> None:
    assert service_of(CATALOG, LimitsConfig.model_validate(section), region) == found


@pytest.mark.parametrize(
    "catalog", [CATALOG, {}, {"catalog": None}, {"catalog": [1]}, {"catalog": [{"type": "image", "endpoints": [{}]}]}]
)
def test_a_catalog_without_exactly_one_is_no_answer(catalog: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="catalog"):
        service_of(catalog, LimitsConfig(), None)


class LimitedKeystone(FakeKeystone):
    """Knows a limit of 5 for everybody, and counts how often it is asked."""

    limit = 5

    def resources(self) -> dict[str, Any]:
        row = {"resource_name": "image_count_total", "default_limit": self.limit}
        return {
            "auth/catalog": {"catalog": CATALOG["catalog"][1:2]},
            "registered_limits": {"registered_limits": [row]},
            "limits": {"limits": []},
        }


@pytest.fixture
async def fake() -> AsyncIterator[LimitedKeystone]:
    fake = LimitedKeystone()
    async with fake.serving():
        yield fake


@pytest.fixture
async def client(fake: LimitedKeystone, request: pytest.FixtureRequest) -> AsyncIterator[Keystone]:
    """It gives up soon only where the test makes Keystone silent."""
    called_with = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    attempt_s = 1.5 if called_with.get("fault") is hang else 30
    config = fake.config(http_request_max_retries=0)
    async with Keystone(config, Instruments(), deadline_s=100, attempt_s=attempt_s) as client:
        yield client


async def test_keystone_is_asked_once_for_all_who_want_to_know(fake: LimitedKeystone, client: Keystone) -> None:
    limits = KeystoneLimits(LimitsConfig(), client, region=None)
    answers = await asyncio.gather(*(limits.of("p1") for _ in range(20)))
    assert answers == [{"image_count_total": 5}] * 20
    assert fake.counts["limits"] == 1
    fake.limit = 6
    assert await limits.of("p1") == {"image_count_total": 5}
    assert await limits.of("p2") == {"image_count_total": 6}


async def test_a_changed_limit_counts_when_the_old_one_is_too_old(fake: LimitedKeystone, client: Keystone) -> None:
    limits = KeystoneLimits(LimitsConfig(cache_s=0), client, region=None)
    await limits.of("p1")
    fake.limit = 6
    assert await limits.of("p1") == {"image_count_total": 6}


@pytest.mark.parametrize("fault", [answer(500), answer(404), answer(200, "no json"), answer(200, []), cut, hang])
async def test_while_keystone_fails_the_last_limits_count(fake: LimitedKeystone, client: Keystone, fault: Any) -> None:
    limits = KeystoneLimits(LimitsConfig(cache_s=0), client, region=None)
    await limits.of("p1")
    fake.faults.append(fault)
    assert await limits.of("p1") == {"image_count_total": 5}
    fake.faults.append(fault)
    with pytest.raises(Unavailable):
        await limits.of("never asked before")


async def test_a_user_who_may_not_read_limits_is_told_of(fake: LimitedKeystone, client: Keystone) -> None:
    limits = KeystoneLimits(LimitsConfig(), client, region=None)
    await client.resource("/limits", {})  # so that the next question is no login
    fake.faults.append(answer(403))
    with pytest.raises(Denied, match="role admin or service"):
        await limits.of("p1")
