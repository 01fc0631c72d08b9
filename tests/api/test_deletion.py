"""Images and their data on the way out: what stays when a store says no or nothing, and what is done about it later."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from proxy.deletion.restoring import restore
from proxy.deletion.scrubber import Ended
from tests.api.client import OCTETS, Client
from tests.content import Noise
from tests.served import config_for, serving
from upstream.errors import Conflict, Denied, NotFound, Unavailable
from upstream.registry import LEFTOVER, DueLocation, ImageChanges
from upstream.registry.sql.registry import SqlRegistry
from upstream.registry.sql.tables import image_locations, images
from upstream.types import GLINT, Location

DATA = Noise(3_000_001, seed=77).read()
Refuse = Callable[..., Awaitable[None]]


@asynccontextmanager
async def two_stores(folder: Path, **changes: Any) -> AsyncIterator[Client]:
    second = {"kind": "file", "dir": folder / "second", "weight": -1}
    backends = {"second": {**second, **changes.pop("second", {})}}
    async with serving(config_for(folder, {"stores": {"backends": backends}, **changes})) as served:
        yield Client(served)


async def in_both(client: Client, folder: Path) -> str:
    path = await client.upload(DATA)
    copy = folder / "second" / path[-36:]
    copy.write_bytes(DATA)
    await add_location(client, path, Location(url=f"file://{copy}", metadata={"store": "second"}))
    return path


async def add_location(client: Client, path: str, location: Location) -> None:
    changes = ImageChanges(added_locations=(location,))
    await client.served.services.registry.images.update(GLINT, path[-36:], changes)


async def rows_of(client: Client, path: str) -> tuple[str, list[tuple[str, str]]]:
    """The image's status in the database, and of its locations the store or what they are, with theirs."""
    registry = client.served.services.registry
    assert isinstance(registry, SqlRegistry)
    async with registry.database.statement() as connection:
        status = await connection.scalar(select(images.c.status).where(images.c.id == path[-36:]))
        table = image_locations.c
        found = await connection.execute(
            select(table.meta_data, table.status).where(table.image_id == path[-36:]).order_by(table.id)
        )
        return str(status), [(row.meta_data["store"], row.status) for row in found]


async def scrub(client: Client) -> Sequence[tuple[str | None, Ended]]:
    """One pass over everything, as `glint scrub`: which store, and how it ended."""
    ends: list[tuple[str | None, Ended]] = []

    def tell(found: DueLocation, ended: Ended, _: str) -> None:
        ends.append((found.location.store, ended))

    await client.served.services.scrubber.run(of_pending_images=True, tell=tell)
    return ends


def refusing(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, store: str, call: str = "delete"
) -> None:
    """Let one store refuse, as a Ceph does whose image something uses, or one that is down."""
    guarded = client.served.services.stores._opened[store]

    async def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(guarded, call, refuse)


@pytest.mark.parametrize(
    ("error", "status"), [(Conflict("in use"), 409), (Denied("no"), 403), (Unavailable("local", "away"), 503)]
)
async def test_an_image_whose_store_says_no_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async with two_stores(tmp_path) as client:
        path = await client.upload(DATA, tags=["t"], wanted="yes")
        before = await client.show(path)
        refusing(client, monkeypatch, error, "local")
        assert (await client.ask("DELETE", path)).status == status
        assert await client.show(path) == before
        assert (await client.ask("GET", f"{path}/file")).body == DATA
        monkeypatch.undo()
        assert (await client.ask("DELETE", path)).status == 204
        assert list((tmp_path / "images").iterdir()) == []


async def test_a_store_that_may_refuse_is_asked_before_any_data_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_stores(tmp_path) as client:
        path = await in_both(client, tmp_path)
        stores = client.served.services.stores
        hard = stores._config.backends["second"]
        monkeypatch.setattr(type(hard), "refuses_while_used", property(lambda backend: backend.weight == -1))
        refusing(client, monkeypatch, Conflict("a clone uses it"), "second")
        assert (await client.ask("DELETE", path)).status == 409
        assert await rows_of(client, path) == ("active", [("local", "active"), ("second", "active")])
        assert (tmp_path / "images" / path[-36:]).read_bytes() == DATA


async def test_an_image_keeps_what_is_left_of_it_when_a_later_store_says_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_stores(tmp_path) as client:
        path = await in_both(client, tmp_path)
        refusing(client, monkeypatch, Conflict("in use"), "second")
        assert (await client.ask("DELETE", path)).status == 409
        assert await rows_of(client, path) == ("active", [("local", "deleted"), ("second", "active")])
        assert (await client.ask("GET", f"{path}/file")).body == DATA


async def test_a_deletion_whose_data_are_gone_is_ended_when_the_registry_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_stores(tmp_path) as client:
        path = await client.upload(DATA)
        registry = client.served.services.registry.images
        real, calls = registry.delete, []

        async def away(*arguments: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == 1:
                raise Unavailable("the registry")
            return await real(*arguments, **named)

        monkeypatch.setattr(registry, "delete", away)
        assert (await client.ask("DELETE", path)).status == 503
        async with asyncio.timeout(60):
            while (await rows_of(client, path))[0] != "deleted":  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_data_in_a_store_of_another_host_wait_for_that_host(tmp_path: Path) -> None:
    async with two_stores(tmp_path) as client:
        path = await in_both(client, tmp_path)
    async with serving(config_for(tmp_path)) as served:
        alone = Client(served)
        assert (await alone.ask("DELETE", path)).status == 204
        assert await rows_of(alone, path) == ("deleted", [("local", "deleted"), ("second", "pending_delete")])
        assert await scrub(alone) == [("second", Ended.ELSEWHERE)]
    async with two_stores(tmp_path) as client:
        await client.served.until(lambda: not (tmp_path / "second" / path[-36:]).exists())


async def test_a_read_only_store_is_told_as_such_and_neither_takes_nor_loses_data(tmp_path: Path) -> None:
    async with two_stores(tmp_path) as client:
        path = await in_both(client, tmp_path)
    async with two_stores(tmp_path, second={"read_only": True}) as client:
        told = {store["id"]: store.get("read-only") for store in (await client.show("/v2/info/stores"))["stores"]}
        assert told == {"local": None, "second": "true", "web": "true"}
        fresh = await client.create()
        headers = {**OCTETS, "X-Image-Meta-Store": "second"}
        assert (await client.ask("PUT", f"{fresh}/file", data=b"x", headers=headers)).status == 410
        assert (await client.ask("GET", f"{path}/file?prefer=second")).body == DATA
        assert (await client.ask("DELETE", f"/v2/stores/second/{path[-36:]}")).status == 204
        assert (await client.show(path))["stores"] == "local"
        assert (await client.ask("DELETE", path)).status == 204
        assert await scrub(client) == []
        assert (tmp_path / "second" / path[-36:]).read_bytes() == DATA
        assert not (tmp_path / "images" / path[-36:]).exists()


async def test_a_read_only_store_cannot_be_the_default(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a store that takes uploads, got 'local'"):
        config_for(tmp_path, {"stores": {"backends": {"local": {"read_only": True}}}})


async def test_a_delayed_deletion_leaves_the_data_to_the_scrub(tmp_path: Path) -> None:
    async with two_stores(tmp_path, deletion={"delayed": True}) as client:
        path = await in_both(client, tmp_path)
        assert (await client.ask("DELETE", path)).status == 204
        assert (await client.ask("GET", path)).status == 404
        waiting = [("local", "pending_delete"), ("second", "pending_delete")]
        assert await rows_of(client, path) == ("pending_delete", waiting)
        await client.served.services.scrubber.run(of_pending_images=False)  # what `glint serve` does by itself
        assert (tmp_path / "images" / path[-36:]).exists()
        assert sorted(await scrub(client)) == [("local", Ended.DELETED), ("second", Ended.DELETED)]
        assert await rows_of(client, path) == ("deleted", [("local", "deleted"), ("second", "deleted")])
        assert [list((tmp_path / name).iterdir()) for name in ("images", "second")] == [[], []]


async def test_a_location_that_is_removed_under_delayed_deletion_goes_by_a_scrub_too(tmp_path: Path) -> None:
    changes = {"deletion": {"delayed": True}, "api": {"show_multiple_locations": True}}
    async with two_stores(tmp_path, **changes) as client:
        by_store, by_patch = await in_both(client, tmp_path), await in_both(client, tmp_path)
        assert (await client.ask("DELETE", f"/v2/stores/second/{by_store[-36:]}")).status == 204
        assert (await client.patch(by_patch, {"op": "remove", "path": "/locations/1"})).status == 200
        for path in (by_store, by_patch):
            assert await rows_of(client, path) == ("active", [("local", "active"), ("second", "pending_delete")])
            assert (tmp_path / "second" / path[-36:]).exists()
            assert (await client.ask("DELETE", path)).status == 204
        await scrub(client)
        assert list((tmp_path / "images").iterdir()) == []


async def test_an_image_whose_data_are_only_staged_has_nothing_to_wait_for(tmp_path: Path) -> None:
    async with two_stores(tmp_path, deletion={"delayed": True}) as client:
        path = await client.create()
        assert (await client.ask("PUT", f"{path}/stage", data=DATA, headers=OCTETS)).status == 204
        assert (tmp_path / "staging" / path[-36:]).exists()
        assert (await client.ask("DELETE", path)).status == 204
        assert not (tmp_path / "staging" / path[-36:]).exists()
        assert await rows_of(client, path) == ("deleted", [])


async def test_a_deactivated_image_is_deleted_later_with_all_its_data(tmp_path: Path) -> None:
    async with two_stores(tmp_path, deletion={"delayed": True}) as client:
        path = await in_both(client, tmp_path)
        assert (await client.ask("POST", f"{path}/actions/deactivate")).status == 204
        assert (await client.ask("DELETE", path)).status == 204
        await scrub(client)
        assert [list((tmp_path / name).iterdir()) for name in ("images", "second")] == [[], []]


@pytest.mark.parametrize("error", [Conflict("in use"), Unavailable("second", "away"), Denied("no")])
async def test_data_that_a_store_does_not_give_up_wait_for_the_next_scrub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with two_stores(tmp_path, deletion={"delayed": True}) as client:
        path = await in_both(client, tmp_path)
        await client.ask("DELETE", path)
        refusing(client, monkeypatch, error, "second")
        ended = Ended.BUSY if isinstance(error, Conflict) else Ended.FAILED
        for _ in range(2):
            assert ("second", ended) in await scrub(client)
            assert await rows_of(client, path) == (
                "pending_delete",
                [("local", "deleted"), ("second", "pending_delete")],
            )
        monkeypatch.undo()
        assert await scrub(client) == [("second", Ended.DELETED)]
        assert (await rows_of(client, path))[0] == "deleted"


async def test_data_that_are_gone_are_no_obstacle_to_a_scrub(tmp_path: Path) -> None:
    async with two_stores(tmp_path, deletion={"delayed": True}) as client:
        path = await in_both(client, tmp_path)
        await client.ask("DELETE", path)
        (tmp_path / "images" / path[-36:]).unlink()
        assert sorted(await scrub(client)) == [("local", Ended.GONE), ("second", Ended.DELETED)]
        assert (await rows_of(client, path))[0] == "deleted"


async def test_a_restored_image_is_there_again_with_its_data(tmp_path: Path) -> None:
    async with two_stores(tmp_path, deletion={"delayed": True}) as client:
        path = await client.upload(DATA, tags=["t"], wanted="yes")
        before = await client.show(path)
        await client.ask("DELETE", path)
        services = client.served.services
        await restore(services.registry, services.stores, path[-36:])
        after = await client.show(path)
        assert after | {"updated_at": ""} == before | {"updated_at": ""}
        assert (await client.ask("GET", f"{path}/file")).body == DATA
        assert await scrub(client) == []


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"short")])
async def test_an_image_whose_data_are_not_all_there_is_not_restored(
    tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    async with two_stores(tmp_path, deletion={"delayed": True}) as client:
        path = await in_both(client, tmp_path)
        await client.ask("DELETE", path)
        spoil(tmp_path / "second" / path[-36:])
        services = client.served.services
        with pytest.raises(Conflict, match="cannot be restored"):
            await restore(services.registry, services.stores, path[-36:])
        assert (await rows_of(client, path))[0] == "pending_delete"
        with pytest.raises(NotFound):
            await restore(services.registry, services.stores, "nothing")


async def test_a_dead_upload_is_deleted_with_what_it_left_in_any_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker leaves it that dies between the store and the registry: `saving`, and nobody knows of the data."""
    async with two_stores(tmp_path) as client:
        paths = [await client.create() for _ in range(2)]
        for path in paths:
            saving = ImageChanges(columns={"status": "saving"})
            await client.served.services.registry.images.update(GLINT, path[-36:], saving)
            (tmp_path / "second" / path[-36:]).write_bytes(DATA)
        assert (await client.ask("DELETE", paths[0])).status == 204
        assert not (tmp_path / "second" / paths[0][-36:]).exists()
        assert await rows_of(client, paths[0]) == ("deleted", [("local", "deleted"), ("second", "deleted")])
        refusing(client, monkeypatch, Unavailable("second", "away"), "second", "remove_leftover")
        assert (await client.ask("DELETE", paths[1])).status == 204
        assert (tmp_path / "second" / paths[1][-36:]).exists()
        monkeypatch.undo()
        assert await scrub(client) == [("second", Ended.DELETED)]
        assert list((tmp_path / "second").iterdir()) == []


async def test_what_a_failed_upload_could_not_remove_is_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has the data, the registry loses the change, and the store is down when they are to be removed."""
    async with two_stores(tmp_path) as client:
        path = await client.create()
        registry = client.served.services.registry.images
        real = registry.update

        async def lost(context: Any, image_id: str, changes: ImageChanges, **named: Any) -> Any:
            if changes.columns.get("status") == "active":
                raise Unavailable("the registry")
            return await real(context, image_id, changes, **named)

        monkeypatch.setattr(registry, "update", lost)
        refusing(client, monkeypatch, Unavailable("local", "away"), "local")
        assert (await client.ask("PUT", f"{path}/file", data=DATA, headers=OCTETS)).status == 503
        assert await rows_of(client, path) == ("queued", [("local", "pending_delete")])
        assert (tmp_path / "images" / path[-36:]).exists()
        assert await scrub(client) == [("local", Ended.FAILED)]
        monkeypatch.undo()
        assert await scrub(client) == [("local", Ended.DELETED)]
        assert list((tmp_path / "images").iterdir()) == []
        assert (await client.ask("PUT", f"{path}/file", data=DATA, headers=OCTETS)).status == 204


async def test_a_new_upload_first_removes_what_an_earlier_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_stores(tmp_path) as client:
        path = await client.create()
        refusing(client, monkeypatch, Unavailable("local", "away"), "local", "write")
        assert (await client.ask("PUT", f"{path}/file", data=b"first", headers=OCTETS)).status == 503
        monkeypatch.undo()
        assert await rows_of(client, path) == ("queued", [("local", "pending_delete")])
        (tmp_path / "images" / path[-36:]).write_bytes(b"fir")  # as a store has it that died over it
        refusing(client, monkeypatch, Unavailable("local", "away"), "local", "remove_leftover")
        assert (await client.ask("PUT", f"{path}/file", data=DATA, headers=OCTETS)).status == 409
        monkeypatch.undo()
        assert (await client.ask("PUT", f"{path}/file", data=DATA, headers=OCTETS)).status == 204
        assert (await client.ask("GET", f"{path}/file")).body == DATA
        assert await scrub(client) == []


async def test_a_leftover_is_never_taken_from_an_image_that_has_it(tmp_path: Path) -> None:
    async with two_stores(tmp_path) as client:
        path = await client.upload(DATA)
        registry = client.served.services.registry
        image = await registry.images.get(GLINT, path[-36:])
        leftover = Location(url=LEFTOVER, metadata={"store": "local"})
        await registry.locations.leave(image.id, [leftover, replace(image.locations[0], id=None)])
        assert await scrub(client) == [("local", Ended.DELETED), ("local", Ended.KEPT)]
        assert (await client.ask("GET", f"{path}/file")).body == DATA


@pytest.mark.parametrize("error", [Conflict("in use"), Unavailable("local", "away"), Denied("no")])
async def test_a_leftover_that_a_store_does_not_give_up_is_never_an_images_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with two_stores(tmp_path) as client:
        path = await client.upload(DATA)
        unproved = Location(url=f"file://{tmp_path}/second/{path[-36:]}", metadata={"store": "second"})
        leftover = Location(url=LEFTOVER, metadata={"store": "second"})
        await client.served.services.registry.locations.leave(path[-36:], [leftover, unproved])
        for call in ("delete", "remove_leftover"):
            refusing(client, monkeypatch, error, "second", call)
        await scrub(client)
        waiting = [("local", "active"), ("second", "pending_delete"), ("second", "pending_delete")]
        assert await rows_of(client, path) == ("active", waiting)


async def test_a_removed_location_whose_store_is_down_is_deleted_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_stores(tmp_path, api={"show_multiple_locations": True}) as client:
        path = await in_both(client, tmp_path)
        refusing(client, monkeypatch, Unavailable("second", "away"), "second")
        assert (await client.patch(path, {"op": "remove", "path": "/locations/1"})).status == 200
        assert (await client.show(path))["stores"] == "local"
        monkeypatch.undo()
        assert await scrub(client) == [("second", Ended.DELETED)]
        assert list((tmp_path / "second").iterdir()) == []
