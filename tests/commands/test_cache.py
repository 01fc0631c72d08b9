"""`glint cache` against a real Glint, and on its folder."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.commands.cache import RUNS, Options
from proxy.commands.errors import CommandFailed, NoAnswer
from proxy.config import Config, load
from tests.commands.conftest import Image, World
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
