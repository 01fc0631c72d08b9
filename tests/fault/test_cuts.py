"""Bodies that cannot be completed: whoever reads, by whatever way, is cut, and never told that it was all."""

import asyncio
import os
import random
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cache import Outcome, Span
from proxy.prewarm import resolve
from tests.content import KIB, MIB, Noise
from tests.origin import Fault, Gate, Origin
from tests.seeds import seed_of_this_run
from tests.served import Served, config_for, serving
from tests.tls import self_signed

CONTENT = Noise(MIB + 4321, seed=31)
PART = Span(300 * KIB, 500 * KIB)  # less of the image than starts a fill of it
OFFSETS = [30, pytest.param(100, marks=pytest.mark.long)]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a client was given. `is_clean`: it was told that this was all."""

    status: int
    body: bytes
    is_clean: bool


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as served:
        yield served


@pytest.fixture(params=["plain", "TLS"])
async def glint(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    # The store breaks for one image after the other, and is to be asked for the next one all the same.
    changes: dict[str, Any] = {"stores": {"backends": {"web": {"guard": {"circuit_failures_max": None}}}}}
    certificate = None
    if request.param == "TLS":
        certificate, key = await asyncio.to_thread(self_signed, tmp_path)
        changes["server"] = {"tls": {"certificate": certificate, "key": key}}
    async with serving(config_for(tmp_path, changes)) as served:
        if certificate is not None:
            served.session.connector._ssl = ssl.create_default_context(cafile=certificate)  # type: ignore[union-attr]
        yield served


@pytest.mark.parametrize("offsets", OFFSETS)
async def test_a_body_that_ends_at_any_place_is_never_taken_for_whole(
    glint: Served, origin: Origin, monkeypatch: pytest.MonkeyPatch, offsets: int
) -> None:
    monkeypatch.setattr("cache.resume.pause_s", lambda _failures, _chance: 0.001)
    chance = random.Random(seed_of_this_run())
    for number in range(offsets):
        at = chance.randrange(CONTENT.size_bytes)
        in_part = chance.randrange(PART.length)
        ends = {
            **await leader_and_follower(glint, origin, f"fill-{number}", at),
            "hit": await hit(glint, origin, f"hit-{number}", at),
            "range": await range_past_the_cache(glint, origin, f"range-{number}", in_part),
        }
        for actor, end in ends.items():
            start = PART.start if actor == "range" else 0
            assert end.status in {200, 206}, (at, in_part, actor)
            assert not end.is_clean, (at, in_part, actor)
            assert end.body == CONTENT.read(start, start + len(end.body)), (at, in_part, actor)


async def leader_and_follower(glint: Served, origin: Origin, name: str, at: int) -> dict[str, Ended]:
    """Two clients of a fill whose store breaks for good."""
    image_id = await registered(glint, origin, name)
    gate = Gate()
    origin.script(name, Fault(gate=gate, cut_at=at))
    origin.always(name, Fault(refuse=True))
    async with asyncio.TaskGroup() as tasks:
        leader = tasks.create_task(ended(glint, image_id))
        await gate.reached()
        follower = tasks.create_task(ended(glint, image_id))
        await glint.until(lambda: is_joined_by_two(glint, image_id))
        gate.open()
    return {"leader": leader.result(), "follower": follower.result()}


def is_joined_by_two(glint: Served, image_id: str) -> bool:
    flight = glint.services.cache._flights.get(image_id)  # nothing outside tells who waits
    return flight is not None and flight.readers == 2


async def hit(glint: Served, origin: Origin, name: str, at: int) -> Ended:
    """A client of an entry that was cut short on the disk, whose store has gone."""
    image_id = await registered(glint, origin, name)
    await ended(glint, image_id)
    await glint.until_cached(image_id)
    origin.always(name, Fault(refuse=True))
    services = glint.services
    found = await resolve(services.registry, services.stores, image_id)
    assert found is not None
    async with services.cache.open(*found) as held:  # it is known to be good, so nobody looks at its length again
        assert held.outcome is Outcome.HIT
        await asyncio.to_thread(os.truncate, services.config.cache.dir / "entries" / image_id[:2] / image_id, at)
        return await ended(glint, image_id)


async def range_past_the_cache(glint: Served, origin: Origin, name: str, at: int) -> Ended:
    image_id = await registered(glint, origin, name)
    origin.script(name, Fault(cut_at=at))
    origin.always(name, Fault(refuse=True))
    return await ended(glint, image_id, {"Range": f"bytes={PART.start}-{PART.stop - 1}"})


async def registered(glint: Served, origin: Origin, name: str) -> str:
    origin.add(name, CONTENT)
    return await glint.register(CONTENT, origin.url(name))


async def ended(glint: Served, image_id: str, headers: dict[str, str] | None = None) -> Ended:
    async with glint.session.get(glint.file_url(image_id), headers=headers) as answer:
        body = bytearray()
        try:
            async for piece in answer.content.iter_any():
                body += piece
        except (aiohttp.ClientError, ConnectionError):
            return Ended(answer.status, bytes(body), is_clean=False)
        return Ended(answer.status, bytes(body), is_clean=True)
