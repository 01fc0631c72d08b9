"""The shared queue in a real Glint of two workers: whoever is asked knows, and whoever dies is stood in for."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.commands.conftest import Image, World
from tests.commands.terminal import on_terminal
from tests.descriptors import locker_of
from tests.glint import Glint
from tests.origin import MIB, Fault, Gate, Origin
from tests.stopping import stopped

_ASKED = 16  # connections, so that each of two workers very likely answers some


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = {"server.workers": 2, "cache.size_max": "64 MiB", "cache.prewarms_max": 1, "cache.stall_s": 4}
    with Origin() as origin, Glint(tmp_path_factory.mktemp("two"), settings) as glint:
        until_complete(glint)
        yield World(glint, origin)


def until_complete(glint: Glint) -> None:
    """Wait for the second worker, which may answer later than the first."""
    deadline_s = time.monotonic() + 30
    while glint.metrics().value("glint_workers") < 2:
        assert time.monotonic() < deadline_s, glint.log
        time.sleep(0.02)


@pytest.fixture
def workers(two: World) -> Iterator[World]:
    yield two
    two.release()
    two.settle()
    assert two.glint.request("DELETE", "/v2/cache").status == 204


def everywhere(world: World, path: str) -> Any:
    """What all workers say, which is the same."""
    answers = answers_of(world, path)
    assert all(answer == answers[0] for answer in answers), answers
    return answers[0]


def answers_of(world: World, path: str) -> list[Any]:
    return [world.glint.get(path).json for _ in range(_ASKED)]


def gated(world: World) -> tuple[Image, Gate]:
    gate = Gate(at=MIB // 2)
    return world.image(fault=Fault(gate=gate)), gate


def filler_of(world: World, image: Image) -> int:
    """The worker that fills the image. Others open its file now and then, to see whether it is filled."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        for path in (world.glint.cache_dir / "fills").glob(f"{image.id}.*"):
            if (pid := locker_of(path)) in world.glint.worker_pids:
                return pid
        time.sleep(0.01)
    raise TimeoutError(image)


def until_cached(world: World, *images: Image) -> None:
    deadline_s = time.monotonic() + 30
    while not all(world.status(image)["digest"] == "verified" for image in images):
        assert time.monotonic() < deadline_s, [world.status(image) for image in images]
        time.sleep(0.02)


def test_every_worker_gives_the_same_answer(workers: World) -> None:
    (image, gate), bad = gated(workers), workers.image(fault=Fault(flip_at=5))
    workers.glint.request("PUT", f"/v2/cache/{bad.id}")
    workers.settle()
    assert everywhere(workers, f"/v2/cache/{bad.id}")["state"] == "failed"

    workers.glint.request("PUT", f"/v2/cache/{image.id}")
    gate.wait_reached()
    filler_of(workers, image)
    states = [workers.status(image)["state"] for _ in range(_ASKED)]
    assert states == ["filling"] * _ASKED
    assert everywhere(workers, "/v2/cache")["queued_images"] == [image.id]
    gate.open()
    until_cached(workers, image)
    workers.glint.request("PUT", f"/v2/cache/{image.id}/pin")
    assert everywhere(workers, f"/v2/cache/{image.id}") == {
        "image_id": image.id,
        "state": "cached",
        "present_bytes": MIB,
        "size_bytes": MIB,
        "digest": "verified",
        "error": None,
        "pinned": True,
    }


def test_each_worker_takes_its_part_of_the_queue(workers: World) -> None:
    images = [gated(workers) for _ in range(3)]
    for image, _ in images:
        workers.glint.request("PUT", f"/v2/cache/{image.id}")
    *running, (waiting, _) = images
    for _, gate in running:
        gate.wait_reached()
    assert {filler_of(workers, image) for image, _ in running} == set(workers.glint.worker_pids)
    assert everywhere(workers, f"/v2/cache/{waiting.id}")["state"] == "queued"
    for _, gate in images:
        gate.open()
    until_cached(workers, *(image for image, _ in images))


def test_a_prewarm_shares_the_fill_that_a_client_started_in_whichever_worker(workers: World) -> None:
    images = [gated(workers) for _ in range(4)]
    with ThreadPoolExecutor(len(images)) as clients:
        downloads = [clients.submit(workers.glint.get, f"/v2/images/{image.id}/file") for image, _ in images]
        for image, gate in images:
            gate.wait_reached()
            workers.glint.request("PUT", f"/v2/cache/{image.id}")
        workers.release()
        for download, (image, _) in zip(downloads, images, strict=True):
            assert download.result(20).content == image.content.read()
    until_cached(workers, *(image for image, _ in images))
    assert [workers.gets(image) for image, _ in images] == [1] * len(images)


def test_what_is_dropped_through_one_worker_is_asked_for_nowhere(workers: World) -> None:
    image, gate = gated(workers)
    workers.glint.request("PUT", f"/v2/cache/{image.id}")
    gate.wait_reached()
    assert workers.glint.request("DELETE", f"/v2/cache/{image.id}").status == 204
    assert everywhere(workers, "/v2/cache")["queued_images"] == []
    gate.open()


def test_a_prewarm_goes_on_when_the_worker_that_fills_is_killed(workers: World) -> None:
    image, gate = gated(workers)
    with on_terminal(workers.glint, "prewarm", image.id) as terminal:
        gate.wait_reached()
        os.kill(filler_of(workers, image), signal.SIGKILL)
        assert "digest verified" in terminal.rest()
        assert terminal.process.wait(10) == 0
    assert workers.entry(image).read_bytes() == image.content.read()
    assert workers.gets(image) == 2
    assert everywhere(workers, f"/v2/cache/{image.id}")["digest"] == "verified"


def test_what_is_queued_goes_on_by_itself_after_a_crash_of_all(workers: World) -> None:
    running, waiting = [gated(workers) for _ in range(2)], [workers.image() for _ in range(2)]
    for image in [image for image, _ in running] + waiting:
        workers.glint.request("PUT", f"/v2/cache/{image.id}")
    for _, gate in running:
        gate.wait_reached()
    workers.glint.kill()
    assert workers.glint.run("cache", "list", "--offline").stdout.endswith("4 queued\n")
    workers.glint.start()
    until_complete(workers.glint)
    until_cached(workers, *(image for image, _ in running), *waiting)
    assert all(workers.entry(image).read_bytes() == image.content.read() for image in waiting)


@pytest.mark.long
def test_what_a_hanging_worker_holds_is_brought_in_by_another(workers: World) -> None:
    image, gate = gated(workers)
    workers.glint.request("PUT", f"/v2/cache/{image.id}")
    gate.wait_reached()
    with stopped(filler_of(workers, image), workers.glint.directory):
        until_cached(workers, image)
    assert workers.entry(image).read_bytes() == image.content.read()
    gate.open()  # with the next bytes of its store it sees that it was gone round
    deadline_s = time.monotonic() + 30
    while {answer["digest"] for answer in answers_of(workers, f"/v2/cache/{image.id}")} != {"verified"}:
        assert time.monotonic() < deadline_s, "the one that hung never notices that another has brought it in"
