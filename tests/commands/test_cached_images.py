"""/v2/cache over the wire."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands.conftest import World
from tests.glint import Glint
from tests.origin import MIB, Fault, Gate, Origin
from tests.peers import Keystone
from tests.peers.driven_clients import DrivenClients

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def wait_for(world: World, image_id: str, *states: str) -> str:
    """The state that came, of those that end the waiting."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        state = str(world.glint.get(f"/v2/cache/{image_id}").json["state"])
        if state in states:
            return state
        time.sleep(0.02)
    raise TimeoutError(state)


def test_an_image_asked_for_is_fetched_listed_and_deleted(world: World) -> None:
    image = world.image()
    assert world.status(image)["state"] == "absent"

    asked = world.glint.request("PUT", f"/v2/cache/{image.id}")
    assert (asked.status, asked.content) == (202, b"")
    assert wait_for(world, image.id, "cached", "failed") == "cached"
    assert world.status(image) == {
        "image_id": image.id,
        "state": "cached",
        "present_bytes": image.content.size_bytes,
        "size_bytes": image.content.size_bytes,
        "digest": "verified",
        "error": None,
        "pinned": False,
    }
    listed = world.glint.get("/v2/cache").json
    assert [set(row) for row in listed["cached_images"]] == [
        {"image_id", "hits", "last_accessed", "last_modified", "size", "checksum"}
    ]
    assert listed["cached_images"][0]["image_id"] == image.id
    assert listed["cached_images"][0]["size"] == image.content.size_bytes
    assert listed["queued_images"] == []

    deleted = world.glint.request("DELETE", f"/v2/cache/{image.id}")
    assert (deleted.status, deleted.content) == (204, b"")
    assert not world.is_cached(image)
    assert not world.entry(image).exists()


def test_usage_counts_entries_promises_and_the_limit(world: World) -> None:
    gate = Gate(at=1000)
    filling, cached = world.image(fault=Fault(gate=gate)), world.image()
    world.glint.get(f"/v2/images/{cached.id}/file")
    world.glint.request("PUT", f"/v2/cache/{filling.id}")
    gate.wait_reached()

    world.until_cached(cached)
    usage = world.glint.get("/v2/cache/usage").json
    assert usage["entries"] == 1
    assert usage["limit_bytes"] == 64 * 1024 * 1024
    assert usage["committed_bytes"] == usage["reserved_bytes"] >= cached.content.size_bytes
    gate.open()


def test_an_image_that_is_being_fetched_is_queued_for_glances_clients(world: World) -> None:
    gate = Gate(at=500_000)
    image = world.image(fault=Fault(gate=gate))
    world.glint.request("PUT", f"/v2/cache/{image.id}")
    gate.wait_reached()
    wait_for(world, image.id, "filling")
    assert world.glint.get("/v2/cache").json == {"cached_images": [], "queued_images": [image.id]}
    gate.open()
    assert wait_for(world, image.id, "cached", "failed") == "cached"
    assert world.glint.get("/v2/cache").json["queued_images"] == []


def test_a_failed_image_says_why(world: World) -> None:
    image = world.image(fault=Fault(flip_at=77))
    world.glint.request("PUT", f"/v2/cache/{image.id}")
    assert wait_for(world, image.id, "failed", "cached") == "failed"
    assert "sha512" in world.status(image)["error"]


def test_an_image_in_a_local_file_store_needs_nothing(world: World) -> None:
    image_id = world.glint.upload(b"local bytes")
    assert world.glint.request("PUT", f"/v2/cache/{image_id}").status == 202
    assert world.glint.get(f"/v2/cache/{image_id}").json["state"] == "local"
    assert world.glint.get("/v2/cache").json == {"cached_images": [], "queued_images": []}


def test_an_image_that_is_not_active_is_refused(world: World) -> None:
    image_id = world.glint.create()
    answer = world.glint.request("PUT", f"/v2/cache/{image_id}")
    assert answer.status == 400
    assert b"queued" in answer.content


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_image_is_not_found(world: World, method: str) -> None:
    assert world.glint.request(method, f"/v2/cache/{UNKNOWN}").status == 404
    assert world.glint.request(method, "/v2/cache/..%2f..").status == 404


def test_deleting_an_image_that_is_not_cached_is_no_error(world: World) -> None:
    assert world.glint.request("DELETE", f"/v2/cache/{world.image().id}").status == 204


def test_an_entry_whose_image_another_glint_deleted_is_shown_and_can_be_deleted(world: World) -> None:
    image = world.image()
    world.glint.request("PUT", f"/v2/cache/{image.id}")
    wait_for(world, image.id, "cached")
    with closing(sqlite3.connect(world.glint.directory / "registry.db")) as registry, registry:
        registry.execute("UPDATE images SET deleted = 1, status = 'deleted' WHERE id = ?", (image.id,))

    assert world.glint.get(f"/v2/images/{image.id}").status == 404
    assert world.status(image)["state"] == "cached"
    assert world.glint.request("DELETE", f"/v2/cache/{image.id}").status == 204
    assert world.glint.request("DELETE", f"/v2/cache/{image.id}").status == 404
    assert not world.entry(image).exists()


def test_a_pinned_image_is_named_among_the_pins_until_it_is_unpinned(world: World) -> None:
    image = world.image()
    world.glint.request("PUT", f"/v2/cache/{image.id}")
    wait_for(world, image.id, "cached")
    pinned = world.glint.request("PUT", f"/v2/cache/{image.id}/pin")
    assert (pinned.status, pinned.content) == (204, b"")
    assert world.status(image)["pinned"] is True
    assert world.glint.get("/v2/cache/pins").json == {"pinned_images": [image.id]}

    for _ in range(2):
        assert world.glint.request("DELETE", f"/v2/cache/{image.id}/pin").status == 204
    assert world.status(image)["pinned"] is False
    assert world.glint.get("/v2/cache/pins").json == {"pinned_images": []}


def test_what_is_pinned_is_not_evicted_for_room(world: World) -> None:
    pinned, *others = [world.image(20 * MIB) for _ in range(4)]
    for image in (pinned, *others):
        world.glint.get(f"/v2/images/{image.id}/file")
        world.settle()
        if image is pinned:
            world.glint.request("PUT", f"/v2/cache/{image.id}/pin")
    assert world.is_cached(pinned)
    assert not world.is_cached(others[0])
    assert world.is_cached(others[-1])


def test_an_image_that_is_not_cached_cannot_be_pinned_and_it_is_said_what_to_do(world: World) -> None:
    image = world.image()
    answer = world.glint.request("PUT", f"/v2/cache/{image.id}/pin")
    assert answer.status == 409
    assert f"glint prewarm --pin {image.id}".encode() in answer.content
    assert world.glint.request("DELETE", f"/v2/cache/{image.id}/pin").status == 204


def test_verifying_tells_what_an_entry_is_and_a_damaged_one_is_fetched_anew(world: World) -> None:
    image = world.image()
    path = f"/v2/cache/{image.id}/verify"
    assert world.glint.request("POST", path).json["verdict"] == "absent"
    world.glint.request("PUT", f"/v2/cache/{image.id}")
    wait_for(world, image.id, "cached")
    assert world.glint.request("POST", path).json == {"image_id": image.id, "verdict": "whole", "refetched": False}

    world.damage(image)
    assert world.glint.request("POST", path).json == {"image_id": image.id, "verdict": "damaged", "refetched": True}
    assert len(world.quarantined(image)) == 1
    world.until_cached(image)
    assert world.glint.request("POST", path).json["verdict"] == "whole"
    assert world.gets(image) == 2


def test_pruning_evicts_to_where_eviction_ahead_of_need_ends(tmp_path: Path) -> None:
    """57 of 64 MiB is less than eviction begins at (90 %), and more than it ends at (85 %)."""
    settings = {"cache.size_max": "64 MiB", "cache.min_age_s": 0}
    with Origin() as origin, Glint(tmp_path / "glint", settings) as glint:
        world = World(glint, origin)
        images = [world.image(19 * MIB) for _ in range(3)]
        for image in images:
            glint.get(f"/v2/images/{image.id}/file")
            world.settle()
        pruned = glint.request("POST", "/v2/cache/prune").json
        assert pruned["total_files_pruned"] == 1
        assert 19 * MIB <= pruned["total_bytes_pruned"] < 20 * MIB
        assert [world.is_cached(image) for image in images] == [False, True, True]
        again = glint.request("POST", "/v2/cache/prune").json
        assert again == {"total_files_pruned": 0, "total_bytes_pruned": 0}


def test_cleaning_removes_what_was_found_damaged(world: World) -> None:
    image = world.image()
    world.glint.request("PUT", f"/v2/cache/{image.id}")
    wait_for(world, image.id, "cached")
    world.damage(image)
    world.glint.request("POST", f"/v2/cache/{image.id}/verify")
    assert len(world.quarantined(image)) == 1
    cleaned = world.glint.request("POST", "/v2/cache/clean")
    assert (cleaned.status, cleaned.content) == (200, b"")
    assert world.quarantined(image) == []


def test_a_damaged_entry_whose_image_is_gone_is_not_fetched_anew(world: World) -> None:
    image = world.image()
    world.glint.request("PUT", f"/v2/cache/{image.id}")
    wait_for(world, image.id, "cached")
    world.damage(image)
    with closing(sqlite3.connect(world.glint.directory / "registry.db")) as registry, registry:
        registry.execute("UPDATE images SET deleted = 1, status = 'deleted' WHERE id = ?", (image.id,))
    answer = world.glint.request("POST", f"/v2/cache/{image.id}/verify")
    assert answer.json == {"image_id": image.id, "verdict": "damaged", "refetched": False}
    assert world.glint.request("POST", f"/v2/cache/{image.id}/verify").status == 404


@pytest.mark.parametrize(("method", "path"), [("PUT", "pin"), ("DELETE", "pin"), ("POST", "verify")])
def test_pinning_and_verifying_what_nobody_knows_is_not_found(world: World, method: str, path: str) -> None:
    assert world.glint.request(method, f"/v2/cache/{UNKNOWN}/{path}").status == 404
    assert world.glint.request(method, f"/v2/cache/..%2f../{path}").status == 404


def test_the_real_clients_queue_and_list(guarded: World, keystone: Keystone, driven: DrivenClients) -> None:
    image = guarded.image(token=keystone.token("admin"))
    admin = keystone.openrc("admin", image_url=guarded.glint.url)
    driven.openstack(admin, "cached", "image", "queue", image.id)
    deadline = time.monotonic() + 30
    while f"| {image.id} | cached |" not in (listed := driven.glance(admin, "cache-list").text):
        assert time.monotonic() < deadline, listed
    assert f"| {image.content.size_bytes} |" in listed


@pytest.mark.parametrize(("target", "cached_left", "queued_left"), [("cache", 0, 1), ("queue", 1, 0), ("", 0, 0)])
def test_clearing_takes_what_the_header_names(world: World, target: str, cached_left: int, queued_left: int) -> None:
    gate = Gate(at=1000)
    cached, queued = world.image(), world.image(fault=Fault(gate=gate))
    world.glint.request("PUT", f"/v2/cache/{cached.id}")
    wait_for(world, cached.id, "cached")
    world.glint.request("PUT", f"/v2/cache/{queued.id}")
    gate.wait_reached()

    headers = {"x-image-cache-clear-target": target}
    assert world.glint.request("DELETE", "/v2/cache", headers=headers).status == 204
    left = world.glint.get("/v2/cache").json
    assert (len(left["cached_images"]), len(left["queued_images"])) == (cached_left, queued_left)
    gate.open()


def test_clearing_something_unknown_is_refused(world: World) -> None:
    answer = world.glint.request("DELETE", "/v2/cache", headers={"x-image-cache-clear-target": "both"})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/usage"),
        ("GET", "/pins"),
        ("DELETE", ""),
        ("GET", "/{id}"),
        ("PUT", "/{id}"),
        ("DELETE", "/{id}"),
        ("PUT", "/{id}/pin"),
        ("DELETE", "/{id}/pin"),
        ("POST", "/{id}/verify"),
        ("POST", "/clean"),
        ("POST", "/prune"),
        ("GET", "/nodes/{id}"),
    ],
)
def test_only_admins_may_use_the_cache(guarded: World, keystone: Keystone, method: str, path: str) -> None:
    image_id = guarded.glint.create(token=keystone.token("demo"))
    answer = guarded.glint.request(method, f"/v2/cache{path.format(id=image_id)}", token=keystone.token("demo"))
    assert answer.status == 403


@pytest.mark.parametrize("name", ["..", "...", "%2e%2e", "..%00", "index.db", "a" * 300])
def test_what_is_no_name_of_an_entry_reaches_no_file(world: World, name: str) -> None:
    before = lying_in(world)
    for method, path in (("DELETE", "cached_images"), ("PUT", "queued_images"), ("DELETE", "queued_images")):
        assert world.glint.request(method, f"/v2/{path}/{name}").status in {200, 400, 404}  # `..` is another path
    assert world.glint.request("DELETE", f"/v2/cache/{name}").status in {400, 404}
    assert lying_in(world) == before


def lying_in(world: World) -> set[str]:
    """What is in the cache's folder, but for the queue's lock, which is made when it is first needed."""
    return {path.name for path in world.glint.cache_dir.iterdir()} - {"queue.lock"}
