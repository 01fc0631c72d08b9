"""`glint scrub`: what waits for its deletion goes, whoever else is at it and whatever ends the command."""

import http.client
import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.glint import Glint, Metrics
from tests.peers.ports import free_port
from tests.preloaded import Guarded, driver
from tests.seeds import seed_of_this_run

DATA = b"the data of an image"


@pytest.fixture(scope="module")
def glint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glint]:
    settings = {"deletion.delayed": True, "deletion.metrics.port": free_port(), "deletion.wakeup_time_s": 0.1}
    with Glint(tmp_path_factory.mktemp("scrub"), settings) as served:
        yield served


def deleted(glint: Glint, count: int) -> list[str]:
    ids = [glint.upload(DATA, name=f"image {number}", mark=str(number), tags=["t"]) for number in range(count)]
    for image_id in ids:
        assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
    return ids


def have_data(glint: Glint, ids: list[str]) -> set[str]:
    return {image_id for image_id in ids if (glint.directory / "images" / image_id).exists()}


def statuses(glint: Glint, ids: list[str]) -> Counter[tuple[str, str]]:
    """Of the images and their locations, together."""
    with closing(sqlite3.connect(glint.directory / "registry.db", timeout=30)) as database:
        rows = database.execute(
            "SELECT i.id, i.status, l.status FROM images i JOIN image_locations l ON image_id = i.id"
        )
        return Counter((image, location) for image_id, image, location in rows if image_id in ids)


def age(glint: Glint) -> None:
    """As after the minutes in which a killed process may still be at it."""
    with closing(sqlite3.connect(glint.directory / "registry.db", timeout=30)) as database:
        database.execute(
            "UPDATE image_locations SET deleted_at = '2020-01-01 00:00:00', updated_at = '2020-01-01 00:00:02' "
            "WHERE status = 'pending_delete'"
        )
        database.commit()


@contextmanager
def scrubbing(glint: Glint, folder: Path, *arguments: str) -> Iterator[tuple[int, Guarded, Path]]:
    """The command as a process of its own, and where its output goes."""
    output = folder / f"scrub-{random.randrange(2**32)}"
    with output.open("wb") as out, output.with_suffix(".log").open("wb") as err:
        command = ("scrub", *arguments)
        guarded = driver().start(command, glint.environment_of_commands, folder, out=out, err=err, grace_s=1)
    with closing(guarded):
        yield int(guarded.stdout.readline()), guarded, output


def until_gone(glint: Glint, ids: list[str], count: int, *, unless: Guarded, before: int | None = None) -> None:
    """Wait until the data of `count` more images are gone, or the command has ended."""
    most, deadline_s = (len(ids) if before is None else before) - count, time.monotonic() + 30
    while len(have_data(glint, ids)) > most and unless.poll() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def documents(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_dry_run_tells_and_does_nothing(glint: Glint) -> None:
    ids = deleted(glint, 2)
    told = glint.run("scrub", "--dry-run")
    assert told.returncode == 0
    assert f"{ids[0]} in local: {len(DATA)} B\n" in told.stdout
    assert "would be worked at" in told.stdout
    found = documents(glint.run("scrub", "--dry-run", "--json").stdout)
    assert set(ids) <= {each["image"] for each in found}
    assert have_data(glint, ids) == set(ids)


def test_what_is_due_is_deleted_and_told(glint: Glint) -> None:
    glint.run("scrub")
    ids = deleted(glint, 3)
    done = glint.run("scrub", "--json")
    assert done.returncode == 0
    assert {(each["image"], each["store"], each["ended"]) for each in documents(done.stdout)} == {
        (image_id, "local", "deleted") for image_id in ids
    }
    assert have_data(glint, ids) == set()
    assert statuses(glint, ids) == {("deleted", "deleted"): 3}
    again = glint.run("scrub")
    assert (again.returncode, again.stdout) == (0, "0 locations: nothing is due\n")


def test_data_wait_for_their_time(glint: Glint) -> None:
    ids = deleted(glint, 1)
    assert glint.run("scrub", "--set", "deletion.scrub_time_s=3600").stdout == "0 locations: nothing is due\n"
    assert have_data(glint, ids) == set(ids)
    assert glint.run("scrub").stdout == "1 location: 1 deleted\n"


def test_an_image_is_restored_with_all_that_it_had(glint: Glint) -> None:
    (image_id,) = deleted(glint, 1)
    can = glint.run("scrub", "--restore", image_id, "--dry-run")
    assert can.stdout == f"image 0 ({image_id}): can be restored, {len(DATA)} B in 1 location\n"
    assert glint.get(f"/v2/images/{image_id}").status == 404
    restored = glint.run("scrub", "--restore", image_id, "--json")
    assert documents(restored.stdout) == [{"image": image_id, "name": "image 0", "locations": 1, "restored": True}]
    image = glint.get(f"/v2/images/{image_id}").json
    assert (image["status"], image["mark"], image["tags"]) == ("active", "0", ["t"])
    glint.run("scrub")
    assert glint.get(f"/v2/images/{image_id}/file").content == DATA


def test_what_cannot_be_restored_is_told_why(glint: Glint) -> None:
    scrubbed, gone = deleted(glint, 2)
    (glint.directory / "images" / gone).unlink()
    alive = glint.upload(DATA)
    assert "cannot be restored: local has no data" in glint.run("scrub", "--restore", gone).stderr
    glint.run("scrub")
    for image_id, reason in ((scrubbed, "is deleted: only one that is"), (alive, "is active: only one that is")):
        told = glint.run("scrub", "--restore", image_id)
        assert (told.returncode, told.stdout) == (1, "")
        assert reason in told.stderr
    assert "No image found with ID x" in glint.run("scrub", "--restore", "x").stderr
    assert glint.run("scrub", "--restore", scrubbed, "--daemon").returncode == 2


def test_of_several_at_once_each_deletes_what_the_others_do_not(glint: Glint, tmp_path: Path) -> None:
    glint.run("scrub")
    ids = deleted(glint, 12)
    with (
        scrubbing(glint, tmp_path, "--json") as (_, first, one),
        scrubbing(glint, tmp_path, "--json", "--set", "deletion.scrub_pool_size=4") as (_, second, two),
    ):
        assert (first.wait(60), second.wait(60)) == (0, 0)
    ends = Counter((each["image"], each["ended"]) for output in (one, two) for each in documents(output.read_text()))
    assert [ends[image_id, "deleted"] for image_id in ids] == [1] * len(ids)
    assert not [ended for _, ended in ends if ended not in {"deleted", "taken"}]
    assert statuses(glint, ids) == {("deleted", "deleted"): len(ids)}


@pytest.mark.parametrize("rounds", [2, pytest.param(60, marks=pytest.mark.long)])
def test_killed_at_any_moment_nothing_is_half_done(glint: Glint, tmp_path: Path, rounds: int) -> None:
    ids = deleted(glint, 12)
    chance = random.Random(seed_of_this_run())
    for _ in range(rounds):
        before = len(have_data(glint, ids))
        with scrubbing(glint, tmp_path, "--set", f"deletion.scrub_pool_size={chance.choice([1, 3])}") as (
            pid,
            guarded,
            _,
        ):
            until_gone(glint, ids, chance.randrange(1, 4), unless=guarded, before=before)
            if guarded.poll() is None:
                os.kill(pid, signal.SIGKILL)
        for (image, location), count in statuses(glint, ids).items():
            assert (image, location) in {("deleted", "deleted"), ("pending_delete", "pending_delete")}, count
        assert statuses(glint, ids)["deleted", "deleted"] <= len(ids) - len(have_data(glint, ids))
    age(glint)
    assert glint.run("scrub").returncode == 0
    assert have_data(glint, ids) == set()
    assert statuses(glint, ids) == {("deleted", "deleted"): len(ids)}


def test_a_daemon_goes_on_until_it_is_told_to_stop(glint: Glint, tmp_path: Path) -> None:
    glint.run("scrub")
    with scrubbing(glint, tmp_path, "--daemon") as (pid, guarded, output):
        for _ in range(2):
            ids = deleted(glint, 3)
            until_gone(glint, ids, len(ids), unless=guarded)
        port = glint.settings["deletion.metrics.port"]
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            connection.request("GET", "/metrics")
            numbers = Metrics(connection.getresponse().read().decode())
        assert numbers.value("glint_deletions_total", outcome="deleted") >= 4
        rest = deleted(glint, 20)
        os.kill(pid, signal.SIGTERM)
        assert guarded.wait(30) == 0
    log = output.with_suffix(".log").read_text()
    assert '"event":"scrub.stopped"' in log
    assert '"event":"location.scrubbed"' in log
    found = statuses(glint, rest)
    assert found["pending_delete", "pending_delete"] == len(have_data(glint, rest))
    assert found["deleted", "deleted"] + found["pending_delete", "pending_delete"] == len(rest)


def test_a_scrub_without_a_registry_says_so(glint: Glint) -> None:
    told = glint.run("scrub", "--set", "registry.url=postgresql://nobody@127.0.0.1:1/none")
    assert (told.returncode, told.stdout) == (1, "")
    assert "unavailable" in told.stderr
    assert glint.run("scrub", "--set", "registry.kind=glance", "--set", "registry.glance.url=http://x").returncode == 1
