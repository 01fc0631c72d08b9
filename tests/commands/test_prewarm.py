"""`glint prewarm` against a real Glint."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cache import CacheState, CacheStatus
from proxy.commands.errors import CommandFailed
from proxy.commands.forecast import Room, room_for
from proxy.commands.node import CacheUsage, ImageInfo
from proxy.commands.prewarm import Options, run
from proxy.commands.selection import Selection
from proxy.config import Config
from tests.commands.conftest import Image, World
from tests.commands.terminal import on_terminal
from tests.glint import Glint
from tests.origin import MIB, Fault, Gate, Origin
from tests.peers import Keystone, free_port
from tests.preloaded import driver

NOBODY: Mapping[str, str] = {}


def prewarm(config: Config, asked: Options, environment: Mapping[str, str] = NOBODY) -> bool:
    return asyncio.run(run(config, asked, environment))


def options(*names: str, **fields: Any) -> Options:
    choice = {key: fields.pop(key) for key in ("tags", "properties", "everything") if key in fields}
    return Options(selection=Selection(names=names, **choice), **fields)


def by_id(*images: Image, **fields: Any) -> Options:
    return options(*(image.id for image in images), **fields)


def test_the_second_run_verifies_and_asks_the_store_for_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    image = world.image()
    first = world.glint.run("prewarm", image.id)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith(f"{image.name} ({image.id}): 1.00 MiB fetched in ")
    assert first.stdout.endswith("digest verified\n")
    assert world.entry(image).read_bytes() == image.content.read()

    assert prewarm(world.config, by_id(image))
    assert capsys.readouterr().out == f"{image.name} ({image.id}): 1.00 MiB, was cached, digest verified\n"
    assert world.gets(image) == 1


def test_an_entry_that_was_damaged_on_disk_is_fetched_anew(world: World) -> None:
    image = world.image()
    assert prewarm(world.config, by_id(image))
    good = world.entry(image).read_bytes()
    world.entry(image).chmod(0o600)
    world.entry(image).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))

    assert prewarm(world.config, by_id(image))
    assert world.entry(image).read_bytes() == good
    assert world.gets(image) == 2


def test_a_failed_image_is_told_and_the_others_go_on(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = [world.image(), world.image()], world.image(fault=Fault(flip_at=5))
    assert not prewarm(world.config, by_id(good[0], bad, good[1]))
    assert all(world.is_cached(image) for image in good)
    assert not world.is_cached(bad)
    complaints = capsys.readouterr().err.splitlines()
    assert complaints[0].startswith(f"glint: {bad.name} ({bad.id}): failed: sha512 ")
    assert complaints[1:] == ["glint: 1 of 3 images failed"]


def test_a_name_means_the_only_image_that_has_it(world: World) -> None:
    image = world.image(name="jammy: 22.04, minimal")
    assert prewarm(world.config, options("jammy: 22.04, minimal"))
    assert world.is_cached(image)


def test_names_that_mean_none_or_several_stop_it_and_all_are_told(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    twins, clear = [world.image(name="twin") for _ in range(2)], world.image()
    assert not prewarm(world.config, options("twin", clear.id, "nobody"))
    complaint = capsys.readouterr().err
    assert all(image.id in complaint for image in twins)
    assert "no image has the id or the name 'nobody'" in complaint
    assert world.gets(clear) == 0


def test_tags_and_properties_choose_active_images_that_have_all_of_them(world: World) -> None:
    both = world.image(tags=["hot", "x"], os_distro="ubuntu")
    tag_only, other = world.image(tags=["hot"]), world.image(tags=["hot"], os_distro="debian")
    world.glint.create(tags=["hot"], os_distro="ubuntu")  # queued: has no data
    assert prewarm(world.config, options(tags=("hot",), properties={"os_distro": "ubuntu"}))
    assert [world.is_cached(image) for image in (both, tag_only, other)] == [True, False, False]


def test_a_choice_that_finds_nothing_is_a_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert not prewarm(world.config, options(tags=("no-such-tag",)))
    assert capsys.readouterr().err == "glint: there is no active image with the tag 'no-such-tag'\n"


def test_a_property_named_like_a_parameter_chooses_no_image_by_accident(world: World) -> None:
    image = world.image()
    assert not prewarm(world.config, options(properties={"limit": "7"}))
    assert not world.is_cached(image)


def test_json_is_one_document_per_image(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = world.image(), world.image(fault=Fault(flip_at=5))
    assert not prewarm(world.config, by_id(good, bad, as_json=True))
    documents = {line["id"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert documents[good.id] | {"duration_s": 0} == {
        "node": world.glint.url,
        "id": good.id,
        "name": good.name,
        "ok": True,
        "state": "cached",
        "digest": "verified",
        "size_bytes": MIB,
        "present_bytes": MIB,
        "pinned": False,
        "fetched": True,
        "duration_s": 0,
        "error": None,
    }
    assert (documents[bad.id]["ok"], documents[bad.id]["state"]) == (False, "failed")


def test_prewarmed_images_are_pinned_on_request(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    image, local = world.image(), world.glint.upload(b"local")
    assert prewarm(world.config, options(image.id, local, pin=True))
    assert any(line.endswith(", digest verified, pinned") for line in capsys.readouterr().out.splitlines())
    assert world.glint.get("/v2/cache/pins").json == {"pinned_images": [image.id]}


def test_an_image_without_data_is_told_as_such(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    image_id = world.glint.create(name="empty")
    assert not prewarm(world.config, options(image_id))
    assert "is queued" in capsys.readouterr().err


def test_a_local_image_is_on_disk_already(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert prewarm(world.config, options(world.glint.upload(b"local")))
    assert "5 B, lies in a local store" in capsys.readouterr().out


def test_a_node_that_does_not_answer_is_told_and_the_others_are_served(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    image, dead = world.image(), f"http://127.0.0.1:{free_port()}"
    assert not prewarm(world.config, by_id(image, nodes=(world.glint.url, dead)))
    assert world.is_cached(image)
    assert f"glint: no Glint answers at {dead}: nobody listens there" in capsys.readouterr().err


def test_after_the_timeout_the_node_goes_on(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    gate = Gate(at=1000)
    image = world.image(fault=Fault(gate=gate))
    assert not prewarm(world.config, by_id(image, timeout_s=0.5))
    assert "not done after 0.5 s; the node goes on with it" in capsys.readouterr().err
    gate.open()
    assert prewarm(world.config, by_id(image))
    assert world.gets(image) == 1


def test_no_more_images_than_asked_for_are_fetched_at_once(world: World) -> None:
    gates = [Gate(at=1000) for _ in range(3)]
    images = [world.image(fault=Fault(gate=gate)) for gate in gates]
    with ThreadPoolExecutor(1) as beside:
        verdict = beside.submit(prewarm, world.config, by_id(*images, concurrency=1, timeout_s=60))
        for begun in (1, 2, 3):
            deadline_s = time.monotonic() + 30
            while not (held := [gate for gate in gates if gate.held]):
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            time.sleep(0.3)  # in which others would begin as well
            assert sum(world.gets(image) for image in images) == begun
            held[0].open()
            gates.remove(held[0])
        assert verdict.result(60)


def test_a_dry_run_tells_the_bytes_and_fetches_none(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cached, absent = world.image(), world.image(2 * MIB)
    assert prewarm(world.config, by_id(cached))
    capsys.readouterr()
    assert prewarm(world.config, by_id(cached, absent, dry_run=True))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(": cached, nothing to fetch")
    assert lines[1].endswith(": 2.00 MiB would be fetched")
    assert lines[2].endswith(
        "2.00 MiB of 2 images would be fetched; 63.0 MiB of 64.0 MiB are free: they fit",
    )
    assert world.gets(absent) == 0


def test_a_dry_run_of_what_cannot_fit_is_a_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert not prewarm(world.config, by_id(world.image(65 * MIB), dry_run=True))
    assert "they do not fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sizes", "committed", "room"),
    [((10, 20), 0, Room.FREE), ((10, 20), 50, Room.EVICTING), ((40, 30), 0, Room.NONE), ((), 64, Room.FREE)],
)
def test_room_is_free_or_made_by_evicting_or_not_to_be_had(sizes: tuple[int, ...], committed: int, room: Room) -> None:
    usage = CacheUsage(entries=1, committed_bytes=committed * MIB, reserved_bytes=0, limit_bytes=64 * MIB)
    absent = CacheStatus(state=CacheState.ABSENT, present_bytes=0, size_bytes=0)
    images = [ImageInfo(id="x", name=None, status="active", size_bytes=size * MIB, fields={}) for size in sizes]
    assert room_for([(image, absent) for image in images], usage) is room


def test_ctrl_c_leaves_the_fills_alone(world: World, tmp_path: Path) -> None:
    gate = Gate(at=1000)
    image = world.image(fault=Fault(gate=gate))
    complaint, environment = tmp_path / "complaint", world.glint.environment_of_commands
    with complaint.open("wb") as err, (tmp_path / "out").open("wb") as out:
        command = driver().start(["prewarm", image.id], environment, tmp_path, out=out, err=err, grace_s=1)
    with closing(command):
        pid = int(command.stdout.readline())
        gate.wait_reached()
        os.kill(pid, signal.SIGINT)
        assert command.wait(30) == 130
    assert complaint.read_text().partition(";")[0] == "glint: interrupted"

    gate.open()
    world.until_cached(image)


def test_a_terminal_gets_progress_bars(world: World) -> None:
    gate = Gate(at=MIB // 2)
    image = world.image(fault=Fault(gate=gate))
    with on_terminal(world.glint, "prewarm", image.id) as terminal:
        seen = terminal.read_until("0.5/1.0 MiB")
        assert image.name in seen
        assert "fetching" in seen
        gate.open()
        assert "digest verified" in terminal.rest()
        assert terminal.process.wait(10) == 0


@pytest.mark.parametrize("who", ["token", "password", "service"])
def test_a_guarded_glint_gets_a_token_from_the_environment_or_the_configuration(
    guarded: World, keystone: Keystone, who: str
) -> None:
    image = guarded.image(token=keystone.token("admin"))
    environment = {
        "token": {"OS_TOKEN": keystone.token("admin")},
        "password": keystone.openrc("admin"),
        "service": {},
    }[who]
    assert prewarm(guarded.config, by_id(image), environment)
    assert guarded.entry(image).exists()


def test_a_refused_login_is_told_without_the_password(guarded: World, keystone: Keystone) -> None:
    environment = keystone.openrc("admin") | {"OS_PASSWORD": "not-the-right-one"}
    with pytest.raises(CommandFailed, match="refuses the login; check OS_USERNAME and OS_PASSWORD") as failed:
        prewarm(guarded.config, options("x"), environment)
    assert "not-the-right-one" not in str(failed.value)


def test_an_invalid_token_and_one_without_the_role_are_told_apart(
    guarded: World, keystone: Keystone, capsys: pytest.CaptureFixture[str]
) -> None:
    image = guarded.image(token=keystone.token("admin"), visibility="public")
    assert not prewarm(guarded.config, by_id(image), {"OS_TOKEN": "gAAAA-no-token"})
    assert "wants a valid token: set OS_TOKEN" in capsys.readouterr().err
    assert not prewarm(guarded.config, by_id(image), {"OS_TOKEN": keystone.token("demo")})
    assert "By default this needs the role admin." in capsys.readouterr().err


def test_without_authentication_no_token_is_sent_anywhere(world: World) -> None:
    """Keystone is not even asked: there is nobody at OS_AUTH_URL."""
    image = world.image()
    dead = {"OS_AUTH_URL": f"http://127.0.0.1:{free_port()}", "OS_USERNAME": "u", "OS_PASSWORD": "p"}
    assert prewarm(world.config, by_id(image), dead)


def test_a_node_that_is_killed_and_comes_back_ends_its_work(tmp_path: Path) -> None:
    with Origin() as origin, Glint(tmp_path) as glint:
        gate = Gate(at=1000)
        world = World(glint, origin)
        image = world.image(fault=Fault(gate=gate))
        with ThreadPoolExecutor(1) as beside:
            verdict = beside.submit(prewarm, world.config, by_id(image))
            gate.wait_reached()
            glint.kill()
            glint.start()
            assert verdict.result(60)
        assert world.entry(image).read_bytes() == image.content.read()
        assert world.gets(image) == 2
