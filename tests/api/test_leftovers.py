"""What a crash inside of DELETE /v2/stores/{store}/{image} leaves is finished by the next who looks."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from proxy.deletion import claims
from proxy.deletion.claims import UNHEARD_S
from proxy.deletion.scrubber import Ended
from tests.api.client import Client
from tests.content import Noise
from tests.served import Served, config_for, serving
from upstream.errors import Conflict, Denied, Unavailable
from upstream.registry import DueLocation, DueQuery, ImageChanges
from upstream.registry.sql.registry import SqlRegistry
from upstream.registry.sql.tables import image_locations
from upstream.types import GLINT, Image, Location, Status

WAIT_S = 30.0
DATA = Noise(5000, seed=4).read()


def _two_stores(folder: Path) -> Mapping[str, Any]:
    return {"stores": {"backends": {"second": {"kind": "file", "dir": folder / "second"}}}}


async def _crashed(client: Client, folder: Path) -> Image:
    """An image in two stores, as a process leaves it that dies before the second store has deleted."""
    path = await client.upload(DATA)
    image_id = path[-36:]
    copy = folder / "second" / image_id
    copy.write_bytes(DATA)
    registry = client.served.services.registry
    image = await registry.images.get(GLINT, image_id)
    leaving = Location(url=f"file://{copy}", metadata={"store": "second"}, status=Status.PENDING_DELETE)
    await registry.images.update(GLINT, image_id, ImageChanges(locations=(*image.locations, leaving)))
    await _age(registry, image_id)
    return image


async def _age(registry: Any, image_id: str) -> None:
    assert isinstance(registry, SqlRegistry)
    moment = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=UNHEARD_S + 1)
    async with registry.database.write() as connection:
        rows = update(image_locations).where(image_locations.c.image_id == image_id)
        await connection.execute(rows.values(updated_at=moment))


async def _statuses(client: Client, image_id: str) -> list[str]:
    registry = client.served.services.registry
    assert isinstance(registry, SqlRegistry)
    rows = image_locations.select().where(image_locations.c.image_id == image_id).order_by(image_locations.c.id)
    async with registry.database.statement() as connection:
        return [row.status for row in await connection.execute(rows)]


async def test_the_next_start_deletes_what_a_crash_left(tmp_path: Path) -> None:
    config = config_for(tmp_path, _two_stores(tmp_path))
    async with serving(config) as served:
        image = await _crashed(Client(served), tmp_path)
    async with serving(config) as served:
        await served.until(lambda: not (tmp_path / "second" / image.id).exists())
        async with asyncio.timeout(30):
            while await _statuses(Client(served), image.id) != ["active", "deleted"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await served.fetch(image.id) == DATA


@pytest.mark.parametrize("error", [Conflict("in use"), Unavailable("second", "away"), Denied("no")])
async def test_data_that_their_store_does_not_delete_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with serving(config_for(tmp_path, _two_stores(tmp_path))) as served:
        client = Client(served)
        image = await _crashed(client, tmp_path)

        async def refuse(location: Location) -> None:
            raise error

        monkeypatch.setattr(served.services.stores, "delete", refuse)
        await served.services.scrubber.run(of_pending_images=False)
        assert await _statuses(client, image.id) == ["active", "pending_delete"]


async def test_data_that_were_registered_anew_stay(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, _two_stores(tmp_path))) as served:
        client = Client(served)
        image = await _crashed(client, tmp_path)
        copy = tmp_path / "second" / image.id
        again = Location(url=f"file://{copy}", metadata={"store": "second"})
        changes = ImageChanges(locations=(*image.locations, again))
        await served.services.registry.images.update(GLINT, image.id, changes)
        await served.services.scrubber.run(of_pending_images=False)
        assert await _statuses(client, image.id) == ["active", "deleted", "active"]
        assert copy.read_bytes() == DATA


async def test_what_lies_in_a_store_of_another_host_is_left_to_it(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, _two_stores(tmp_path))) as served:
        image = await _crashed(Client(served), tmp_path)
    async with serving(config_for(tmp_path)) as served:
        await served.services.scrubber.run(of_pending_images=False)
        assert await _statuses(Client(served), image.id) == ["active", "pending_delete"]


async def test_what_somebody_may_still_be_deleting_is_left_alone(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, _two_stores(tmp_path))) as served:
        client = Client(served)
        image = await _crashed(client, tmp_path)
        query = DueQuery(deleted_before=datetime.now(UTC), unheard_s=UNHEARD_S)
        (found,) = await served.services.registry.locations.due(query)
        assert found.location.id is not None
        await served.services.registry.locations.claim(image.id, found.location.id, UNHEARD_S)
        await served.services.scrubber.run(of_pending_images=False)
        assert await _statuses(client, image.id) == ["active", "pending_delete"]


@dataclass(slots=True)
class Deletion:
    """One that goes on until it is told to."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_broken_off: bool = False
    ended: Ended | None = None


@asynccontextmanager
async def _slow_deletion(served: Served, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deletion]:
    """A scrub whose store takes its time; left when it has ended."""
    deletion = Deletion()

    async def delete(_: Location) -> None:
        deletion.begun.set()
        try:
            await deletion.go_on.wait()
        except asyncio.CancelledError:
            deletion.is_broken_off = True
            raise

    def tell(_: DueLocation, ended: Ended, __: str) -> None:
        deletion.ended = ended

    monkeypatch.setattr(served.services.stores, "delete", delete)
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(served.services.scrubber.run(of_pending_images=False, tell=tell))
        await deletion.begun.wait()
        yield deletion


async def _away(*_: object) -> datetime:
    raise Unavailable("the registry", "away")


async def _leaving(client: Client, image_id: str) -> Any:
    registry = client.served.services.registry
    assert isinstance(registry, SqlRegistry)
    rows = image_locations.select().where(image_locations.c.image_id == image_id).order_by(image_locations.c.id.desc())
    async with registry.database.statement() as connection:
        return (await connection.execute(rows)).first()


async def test_a_claim_is_renewed_as_long_as_a_store_deletes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_RENEW_S", 0.02)
    async with serving(config_for(tmp_path, _two_stores(tmp_path))) as served:
        client = Client(served)
        image = await _crashed(client, tmp_path)
        async with _slow_deletion(served, monkeypatch) as deletion:
            first = await _leaving(client, image.id)
            while (await _leaving(client, image.id)).updated_at <= first.updated_at:  # noqa: ASYNC110 - in a database
                await asyncio.sleep(0.02)
            deletion.go_on.set()
        assert (deletion.ended, deletion.is_broken_off) == (Ended.DELETED, False)
        assert await _statuses(client, image.id) == ["active", "deleted"]


@pytest.mark.parametrize("why", ["another has it", "the registry is away"])
async def test_who_loses_his_claim_stops_deleting_and_leaves_the_location_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    async with serving(config_for(tmp_path, _two_stores(tmp_path))) as served:
        client = Client(served)
        image = await _crashed(client, tmp_path)
        monkeypatch.setattr(claims, "_RENEW_S", 0.02)
        async with _slow_deletion(served, monkeypatch) as deletion:
            if why == "another has it":
                await _age(served.services.registry, image.id)  # other than it was when we claimed it
            else:
                monkeypatch.setattr(served.services.registry.locations, "renew", _away)
                monkeypatch.setattr(claims, "_LEASE_S", 0.1)
        assert (deletion.ended, deletion.is_broken_off) == (Ended.TAKEN, True)
        assert await _statuses(client, image.id) == ["active", "pending_delete"]
        assert (tmp_path / "second" / image.id).exists()
