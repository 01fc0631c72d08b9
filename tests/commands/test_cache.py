"""`glint cache` against a real Glint, and on its folder."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.commands.cache import RUNS
from proxy.commands.errors import CommandFailed, NoAnswer
from proxy.commands.places import Options
from proxy.config import Config, load
from tests.commands.conftest import Image, World
from tests.commands.terminal import on_terminal
from tests.origin import MIB
from tests.peers import Keystone, free_port

Captured = pytest.CaptureFixture[str]


def cache(
    name: str, config: Config, options: Options | None = None, environment: Mapping[str, str] | None = None
) -> bool:
    return asyncio.run(RUNS[name](config, options or Options(), environment or {}))


def stopped(world: World) -> Config:
    """The configuration of a Glint with the same folder, where none listens."""
    return load(world.glint.config_path, [f"server.port={free_port()}"])


@pytest.fixture
def cached(world: World) -> Image:
    """An image that was downloaded once and once more: its bytes are an entry with a hit."""
    image = world.image()
    for _ in range(2):
        assert world.glint.get(f"/v2/images/{image.id}/file").content == image.content.read()
        world.settle()
    return image


def test_list_shows_ids_names_sizes_and_hits(world: World, cached: Image, capsys: Captured) -> None:
    assert cache("list", world.config)
    head, row, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "NAME", "SIZE", "HITS", "LAST", "USED", "AGE"]
    assert row.split()[:5] == [cached.id, cached.name, "1.00", "MiB", "1"]
    assert total == "1 image, 1.00 MiB"


def test_list_in_json_is_one_document_per_entry(world: World, cached: Image, capsys: Captured) -> None:
    assert cache("list", world.config, Options(as_json=True))
    document = json.loads(capsys.readouterr().out)
    assert document["node"] == world.glint.url
    assert (document["id"], document["name"]) == (cached.id, cached.name)
    assert (document["size_bytes"], document["hits"]) == (MIB, 1)


def test_an_empty_cache_is_said_to_be_empty(world: World, capsys: Captured) -> None:
    assert cache("list", world.config)
    assert capsys.readouterr().out == "nothing is cached\n"


def test_show_tells_of_images_that_are_cached_and_that_are_not(world: World, cached: Image, capsys: Captured) -> None:
    absent = world.image()
    assert cache("show", world.config, Options(images=(cached.name, absent.id)))
    out = capsys.readouterr().out
    assert f"id         {cached.id}\nname       {cached.name}\nstate      cached\non disk    1.00 MiB\n" in out
    assert f"id     {absent.id}\nname   {absent.name}\nstate  absent\n" in out


def test_show_on_the_folder_tells_what_lies_there(world: World, cached: Image, capsys: Captured) -> None:
    entry = world.entry(cached)
    kept = entry.read_bytes()
    assert cache("show", stopped(world), Options(images=(cached.id,), as_json=True))
    document = json.loads(capsys.readouterr().out)
    assert (document["state"], document["present_bytes"], document["name"]) == ("cached", len(kept), None)


def test_stats_adds_what_the_metrics_port_counted(world: World, cached: Image, capsys: Captured) -> None:
    deadline_s = time.monotonic() + 30
    while not world.glint.metrics().value("glint_downloads_total", outcome="hit"):  # counted when it has been sent
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert cache("stats", world.config, Options(as_json=True))
    document = json.loads(capsys.readouterr().out)
    assert document["entries"] == 1
    assert document["committed_bytes"] + document["reserved_bytes"] + document["free_bytes"] == 64 * MIB
    assert document["hits"] >= 1
    assert document["misses"] >= 1
    assert document["fills_in_flight"] == 0

    assert cache("stats", world.config)
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (lines["entries"], lines["used"], lines["limit"]) == ("1", "1.00 MiB (2%)", "64.0 MiB")
    assert cached.id not in lines


def test_evict_says_what_became_free_and_fails_for_what_is_not_there(
    world: World, cached: Image, capsys: Captured
) -> None:
    absent = world.image()
    assert not cache("evict", world.config, Options(images=(cached.name, absent.id, "nobody")))
    captured = capsys.readouterr()
    assert captured.out == f"{cached.name}: evicted, 1.00 MiB freed\n"
    assert captured.err.splitlines() == [
        f"glint: {absent.id} is not in the cache at {world.glint.url}",
        "glint: no image has the id or the name 'nobody'",
    ]
    assert not world.entry(cached).exists()


def test_the_exit_status_of_evict_tells_whether_it_was_there(world: World, cached: Image) -> None:
    arguments, environment = ["cache", "evict", cached.id], {"GLINT_CONFIG": str(world.glint.config_path)}
    assert CliRunner().invoke(app, arguments, env=environment).exit_code == 0
    assert CliRunner().invoke(app, arguments, env=environment).exit_code == 1


def test_clear_takes_everything(world: World, cached: Image, capsys: Captured) -> None:
    assert cache("clear", world.config)
    assert capsys.readouterr().out == f"{world.glint.url}: 1 image evicted, 1.00 MiB freed\n"
    assert not world.is_cached(cached)


@pytest.mark.parametrize("offline", [False, True])
def test_pinned_images_are_marked_in_lists_until_they_are_unpinned(
    world: World, cached: Image, capsys: Captured, offline: bool
) -> None:
    there = Options(images=(cached.id,), offline=offline)
    assert cache("pin", world.config, there)
    assert capsys.readouterr().out == f"{cached.id}: pinned\n"
    assert world.glint.get("/v2/cache/pins").json == {"pinned_images": [cached.id]}
    assert cache("list", world.config, there)
    head, row, _ = capsys.readouterr().out.splitlines()
    assert (head.split()[-1], row.split()[-1]) == ("PINNED", "yes")
    assert cache("show", world.config, there)
    assert "\npinned     yes\n" in capsys.readouterr().out

    as_json = Options(images=(cached.id,), offline=offline, as_json=True)
    assert cache("unpin", world.config, as_json)
    assert json.loads(capsys.readouterr().out)["pinned"] is False
    assert cache("list", world.config, as_json)
    assert json.loads(capsys.readouterr().out)["pinned"] is False


def test_pinning_what_is_not_cached_fails_and_says_what_to_do(world: World, cached: Image, capsys: Captured) -> None:
    absent = world.image()
    advice = f"`glint prewarm --pin {absent.name}` brings it in and pins it"
    assert not cache("pin", world.config, Options(images=(absent.name, cached.name, "nobody")))
    captured = capsys.readouterr()
    assert captured.out == f"{cached.name}: pinned\n"
    assert captured.err.splitlines() == [
        f"glint: {absent.name} is not in the cache at {world.glint.url}; {advice}",
        "glint: no image has the id or the name 'nobody'",
    ]
    assert not cache("unpin", world.config, Options(images=(absent.name,)))
    assert capsys.readouterr().err == f"glint: {absent.name} is not in the cache at {world.glint.url}\n"


def test_verify_says_of_each_image_that_it_is_whole(world: World, cached: Image, capsys: Captured) -> None:
    assert cache("verify", world.config, Options(images=(cached.name,)))
    assert capsys.readouterr().out == f"{cached.name}: 1.00 MiB, whole\n"
    assert cache("verify", world.config, Options(everything=True, offline=True))
    assert capsys.readouterr().out == f"{cached.id}: 1.00 MiB, whole\n"


def test_verify_finds_the_damaged_one_and_a_running_glint_fetches_it_anew(
    world: World, cached: Image, capsys: Captured
) -> None:
    other = world.image()
    world.glint.get(f"/v2/images/{other.id}/file")
    world.settle()
    world.damage(cached)
    assert not cache("verify", world.config, Options(everything=True))
    captured = capsys.readouterr()
    assert f"{other.name} ({other.id}): 1.00 MiB, whole" in captured.out
    assert captured.err.splitlines() == [
        f"glint: {cached.name} ({cached.id}): damaged, so it was moved to quarantine/; it is being fetched anew",
        f"glint: {world.glint.url}: 2 images, 2.00 MiB read, 1 damaged",
    ]
    assert len(world.quarantined(cached)) == 1
    world.until_cached(cached)
    assert world.entry(cached).read_bytes() == cached.content.read()
    assert cache("verify", world.config, Options(everything=True))
    assert capsys.readouterr().out.endswith("2 images, 2.00 MiB read, all whole\n")


def test_verify_on_the_folder_takes_the_damaged_one_out_of_service(
    world: World, cached: Image, capsys: Captured
) -> None:
    world.damage(cached)
    assert not cache("verify", world.config, Options(images=(cached.id,), offline=True))
    assert capsys.readouterr().err == (
        f"glint: {cached.id}: damaged, so it was moved to quarantine/; "
        "the next download, or `glint prewarm`, fetches it anew\n"
    )
    assert len(world.quarantined(cached)) == 1
    assert world.glint.get(f"/v2/images/{cached.id}/file").content == cached.content.read()
    assert world.gets(cached) == 2


def test_verify_fails_for_what_is_not_there(world: World, cached: Image, capsys: Captured) -> None:
    absent = world.image()
    assert not cache("verify", world.config, Options(images=(absent.name, cached.name, "nobody"), as_json=True))
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "node": world.glint.url,
        "id": cached.id,
        "size_bytes": MIB,
        "verdict": "whole",
        "refetched": False,
    }
    assert captured.err.splitlines() == [
        f"glint: {absent.name} is not in the cache at {world.glint.url}",
        "glint: no image has the id or the name 'nobody'",
    ]


def test_verifying_an_empty_cache_finds_nothing_wrong(world: World, capsys: Captured) -> None:
    assert cache("verify", world.config, Options(everything=True))
    assert capsys.readouterr().out == f"{world.glint.url}: nothing is cached\n"


def test_the_exit_status_of_verify_tells_whether_all_is_whole(world: World, cached: Image) -> None:
    environment = {"GLINT_CONFIG": str(world.glint.config_path)}
    assert CliRunner().invoke(app, ["cache", "verify", cached.id], env=environment).exit_code == 0
    world.damage(cached)
    assert CliRunner().invoke(app, ["cache", "verify", "--all"], env=environment).exit_code == 1
    world.until_cached(cached)
    for wrong in (["cache", "verify"], ["cache", "verify", "--all", cached.id]):
        assert CliRunner().invoke(app, wrong, env=environment).exit_code == 2


def test_verify_shows_a_bar_of_bytes_on_a_terminal(world: World, cached: Image) -> None:
    with on_terminal(world.glint, "cache", "verify", "--all") as terminal:
        screen = terminal.rest()
        assert terminal.process.wait(10) == 0
    assert "1.0/1.0 MiB" in screen
    assert f"{cached.name} ({cached.id}): 1.00 MiB, whole" in screen


def test_without_a_running_glint_the_folder_answers(world: World, cached: Image, capsys: Captured) -> None:
    config = stopped(world)
    assert cache("list", config)
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split()[:4] == [cached.id, "-", "1.00", "MiB"]
    assert f"using the folder {world.glint.cache_dir}" in captured.err
    assert cache("stats", config, Options(as_json=True))
    assert json.loads(capsys.readouterr().out)["entries"] == 1


def test_work_on_the_folder_does_not_disturb_the_running_glint(world: World, cached: Image, capsys: Captured) -> None:
    assert cache("evict", world.config, Options(images=(cached.id,), offline=True))
    assert capsys.readouterr().out == f"{cached.id}: evicted, 1.00 MiB freed\n"
    assert world.glint.get("/v2/cache/usage").json["entries"] == 0
    assert world.glint.get(f"/v2/images/{cached.id}/file").content == cached.content.read()
    assert world.gets(cached) == 2
    world.settle()
    assert cache("clear", world.config, Options(offline=True))
    assert not world.is_cached(cached)


def test_names_need_a_running_glint(world: World, cached: Image, capsys: Captured) -> None:
    assert not cache("evict", world.config, Options(images=(cached.name,), offline=True))
    assert "without a running Glint only ids are known" in capsys.readouterr().err
    assert world.is_cached(cached)


def test_a_folder_that_holds_no_cache_is_told_and_left_alone(tmp_path: Path) -> None:
    config = load(None, [f"cache.dir={tmp_path / 'nothing'}"])
    with pytest.raises(CommandFailed, match="holds no cache; see "):
        cache("list", config, Options(offline=True))
    assert not (tmp_path / "nothing").exists()


def test_a_node_that_was_named_and_does_not_answer_is_an_error(world: World) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NoAnswer, match="nobody listens there"):
        cache("list", world.config, Options(nodes=(dead,)))


def test_something_else_than_a_glint_is_told(world: World) -> None:
    world.origin.add("v2/cache", world.image().content)
    with pytest.raises(CommandFailed, match="is no Glint"):
        cache("list", world.config, Options(nodes=(f"http://127.0.0.1:{world.origin.port}",)))


def test_a_guarded_glint_is_asked_as_the_user_of_the_environment(
    guarded: World, keystone: Keystone, capsys: Captured
) -> None:
    assert cache("stats", guarded.config, environment=keystone.openrc("admin"))
    with pytest.raises(CommandFailed, match="needs the role admin"):
        cache("stats", guarded.config, environment=keystone.openrc("demo"))


@pytest.mark.parametrize("nodes", [(), ("https://127.0.0.1:1",)])
def test_a_missing_file_of_authorities_is_told(guarded: World, nodes: tuple[str, ...]) -> None:
    environment = {"OS_CACERT": "/no/such/ca.pem", "OS_AUTH_URL": "https://127.0.0.1:1", "OS_USERNAME": "u"}
    with pytest.raises(CommandFailed, match=r"OS_CACERT: /no/such/ca\.pem cannot be used: No such file"):
        cache("stats", guarded.config, Options(nodes=nodes), environment | {"OS_PASSWORD": "p"})
