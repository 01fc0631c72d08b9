"""What the parity table cannot show of members and deactivated images: limits, races, and a cache that is full."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.api.client import Client, served_with
from tests.content import Noise
from tests.origin import Origin
from tests.served import config_for, serving
from upstream.types import Context


async def add(client: Client, image: str, member: str) -> int:
    return (await client.ask("POST", f"{image}/members", json={"member": member})).status


@pytest.mark.parametrize(("quota", "statuses"), [(2, [200, 200, 413]), (0, [413] * 3), (-1, [200] * 3)])
async def test_members_go_up_to_the_quota(tmp_path: Path, quota: int, statuses: list[int]) -> None:
    async with serving(config_for(tmp_path, {"api": {"image_member_quota": quota}})) as served:
        client = Client(served)
        image = await client.create()
        assert [await add(client, image, member) for member in "abc"] == statuses


async def test_the_default_quota_is_128(client: Client) -> None:
    image = await client.create()
    statuses = [await add(client, image, f"p{number}") for number in range(129)]
    assert statuses == [200] * 128 + [413]


async def test_of_many_adds_at_once_one_succeeds_and_the_others_are_conflicts(client: Client) -> None:
    image = await client.create()
    statuses = await asyncio.gather(*(add(client, image, "other") for _ in range(8)))
    assert sorted(statuses) == [200] + [409] * 7


class Somebody:
    """Who asks is a member of a project, whatever the headers say."""

    challenge: str | None = None
    context = Context(project_id="p", roles=frozenset({"member", "reader"}))

    async def authenticate(self, headers: Mapping[str, str], *, method: str, path: str, request_id: str) -> Context:
        return replace(self.context, request_id=request_id)


async def test_a_deactivated_image_stops_at_once_although_it_is_cached(client: Client, origin: Origin) -> None:
    """For everybody but admins, and its locations are hidden from them."""
    noise = origin.add("noise", Noise(1000))
    image_id = await client.served.register(noise, origin.url("noise"), visibility="public")
    file = f"/v2/images/{image_id}/file"
    async with served_with(client.served, authenticator=Somebody()) as somebody:
        assert (await somebody.ask("GET", file)).body == noise.read()
        await client.served.until_cached(image_id)
        assert (await client.ask("POST", f"/v2/images/{image_id}/actions/deactivate")).status == 204
        assert (await somebody.ask("GET", file)).status == 403
        assert (await client.ask("GET", file)).body == noise.read()
        seen = await client.served.services.registry.images.get(Somebody.context, image_id)
        assert seen.locations == ()
        assert (await client.ask("POST", f"/v2/images/{image_id}/actions/reactivate")).status == 204
        assert (await somebody.ask("GET", file)).body == noise.read()


async def test_of_many_who_deactivate_or_reactivate_at_once_all_have_their_wish(client: Client) -> None:
    """As if they had come one after the other: an image that is there already stays as it is."""
    image = await client.upload(b"data")
    for action, status in (("deactivate", "deactivated"), ("reactivate", "active")):
        answers = await asyncio.gather(*(client.ask("POST", f"{image}/actions/{action}") for _ in range(8)))
        assert [answer.status for answer in answers] == [204] * 8
        assert (await client.ask("GET", image)).json["status"] == status
