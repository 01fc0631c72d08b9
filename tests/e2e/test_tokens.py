"""Who gets in: tokens against a real Keystone, with memcached alive, dead and hanging."""

import asyncio

from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached
from tests.served import Served


async def status(glint: Served, headers: dict[str, str]) -> int:
    async with glint.session.get(f"{glint.url}/v2/images", headers=headers) as answer:
        await answer.read()
        return answer.status


async def test_fifty_requests_with_a_new_token_are_one_validation(glint: Served, keystone: Keystone) -> None:
    token = await asyncio.to_thread(keystone.token, "demo")
    before = await asyncio.to_thread(keystone.validations)
    answers = await asyncio.gather(*(status(glint, {"X-Auth-Token": token}) for _ in range(50)))
    assert set(answers) == {200}
    assert await asyncio.to_thread(keystone.validations) == before + 1


async def test_no_token_and_a_token_of_another_cloud_are_401_with_where_to_get_one(
    glint: Served, keystone: Keystone
) -> None:
    foreign = "gAAAAABkZm9yZWlnbi10b2tlbi1vZi1hbm90aGVyLWNsb3VkLXRoYXQtbm9ib2R5LWhlcmUta25vd3M"
    for headers in ({}, {"X-Auth-Token": foreign}, {"X-Auth-Token": "not a token"}):
        async with glint.session.get(f"{glint.url}/v2/images", headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{keystone.url}"'


async def test_identity_headers_of_a_client_mean_nothing(glint: Served) -> None:
    spoofed = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-Project-Id": "p", "X-User-Id": "u"}
    assert await status(glint, spoofed) == 401


async def test_a_dead_memcached_costs_nobody_an_answer(glint: Served, keystone: Keystone, memcached: Memcached) -> None:
    tokens = [await asyncio.to_thread(keystone.token, user) for user in ("demo", "alt", "viewer")]
    assert await status(glint, {"X-Auth-Token": tokens[0]}) == 200
    await asyncio.to_thread(memcached.stop)
    try:
        assert await status(glint, {"X-Auth-Token": tokens[1]}) == 200
    finally:
        await asyncio.to_thread(memcached.start)
    await asyncio.to_thread(memcached.freeze)
    try:
        assert await status(glint, {"X-Auth-Token": tokens[2]}) == 200
    finally:
        await asyncio.to_thread(memcached.thaw)


async def test_no_token_lies_in_memcached_under_its_own_name(
    glint: Served, keystone: Keystone, memcached: Memcached
) -> None:
    """It is written after the answer was given, and not at all where memcached takes a moment too long."""
    dumped = b""
    async with asyncio.timeout(60):
        while b"key=" not in dumped:
            token = await asyncio.to_thread(keystone.token, "demo")
            assert await status(glint, {"X-Auth-Token": token}) == 200
            dumped = await asyncio.to_thread(memcached.command, b"lru_crawler metadump all\r\n", until=b"END\r\n")
            assert token.encode() not in dumped
