"""All commands of python-glanceclient for metadata definitions, as they come: `glance md-…`."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.peers.clients import ClientFailed, Clients
from tests.peers.driven_clients import DrivenClients
from tests.peers.environments import ensure_environment
from tests.peers.keystone import Keystone
from tests.served import Served

Command = Callable[..., Awaitable[str]]
NAMESPACE = "Acme::Hardware"


@pytest.fixture
def glance(glint: Served, keystone: Keystone, driven: DrivenClients) -> Command:
    """Runs one command as admin, or as `by`, and returns its table."""

    async def run(*arguments: str | Path, by: str = "admin", stdin: str = "") -> str:
        env = keystone.openrc(by, image_url=glint.url)
        return (await asyncio.to_thread(driven.glance, env, *arguments, stdin=stdin.encode())).text

    return run


def rows(table: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]


def values(table: str) -> dict[str, str]:
    """What a table of properties and values says; a value that takes several lines is put together."""
    found: dict[str, str] = {}
    last = ""
    for name, value in rows(table):
        last = name or last
        found[last] = found.get(last, "") + value
    return found


async def make(glance: Command, *options: str) -> None:
    await glance("md-namespace-create", NAMESPACE, *options)


async def test_namespaces_are_created_shown_listed_updated_and_deleted(glance: Command) -> None:
    made = values(
        await glance(
            *("md-namespace-create", NAMESPACE, "--display-name", "Hardware", "--description", "What it runs on"),
            *("--visibility", "public", "--protected", "True"),
        )
    )
    assert (made["namespace"], made["visibility"], made["protected"]) == (NAMESPACE, "public", "True")
    await glance("md-namespace-create", "Acme::Other", "--visibility", "private")

    shown = values(await glance("md-namespace-show", NAMESPACE, by="demo"))
    assert (shown["display_name"], shown["description"]) == ("Hardware", "What it runs on")
    assert rows(await glance("md-namespace-list", "--page-size", "1")) == [["Acme::Other"], [NAMESPACE]]
    assert rows(await glance("md-namespace-list", "--visibility", "private")) == [["Acme::Other"]]
    assert rows(await glance("md-namespace-list", by="demo")) == [[NAMESPACE]]
    with pytest.raises(ClientFailed, match="404"):
        await glance("md-namespace-show", "Acme::Other", by="demo")
    with pytest.raises(ClientFailed, match="403"):
        await glance("md-namespace-delete", NAMESPACE)

    changed = values(await glance("md-namespace-update", NAMESPACE, "--protected", "False", "--display-name", "Iron"))
    assert (changed["display_name"], changed["description"], changed["protected"]) == (
        "Iron",
        "What it runs on",
        "False",
    )
    await glance("md-namespace-delete", NAMESPACE)
    assert rows(await glance("md-namespace-list")) == [["Acme::Other"]]


async def test_a_file_that_glance_ships_is_imported(glance: Command) -> None:
    path = ensure_environment("glance") / "etc" / "glance" / "metadefs" / "compute-libvirt-image.json"
    document = await asyncio.to_thread(lambda: json.loads(path.read_text()))
    imported = values(await glance("md-namespace-import", "--file", path))
    assert imported["namespace"] == document["namespace"]
    names = [row[0] for row in rows(await glance("md-property-list", document["namespace"], by="demo"))]
    assert sorted(names) == sorted(document["properties"])
    from_stdin = await glance("md-namespace-import", stdin=json.dumps({"namespace": "Acme::Stdin"}))
    assert values(from_stdin)["namespace"] == "Acme::Stdin"


async def test_resource_types_are_associated_listed_and_dissociated(glance: Command) -> None:
    await make(glance)
    await glance("md-property-create", NAMESPACE, "--name", "cores", "--title", "Cores", "--type", "integer", *SCHEMA)
    table = await glance("md-resource-type-associate", NAMESPACE, "--name", "OS::Nova::Server", "--prefix", "hw:")
    assert values(table)["prefix"] == "hw:"
    assert rows(await glance("md-namespace-resource-type-list", NAMESPACE)) == [["OS::Nova::Server", "hw:", ""]]
    assert rows(await glance("md-resource-type-list", by="demo")) == [["OS::Nova::Server"]]
    shown = await glance("md-namespace-show", NAMESPACE, "--resource-type", "OS::Nova::Server")
    assert "hw:cores" in shown
    await glance("md-namespace-create", "Acme::Other")
    assert rows(await glance("md-namespace-list", "--resource-types", "OS::Nova::Server")) == [[NAMESPACE]]
    await glance("md-resource-type-deassociate", NAMESPACE, "OS::Nova::Server")
    assert rows(await glance("md-namespace-resource-type-list", NAMESPACE)) == []


SCHEMA = ("--schema", '{"description": "How many", "minimum": 1, "default": "2", "readonly": false}')


async def test_properties_are_created_shown_listed_updated_and_deleted(glance: Command) -> None:
    await make(glance)
    new = ("md-property-create", NAMESPACE, "--title", "Cores", "--type", "integer", *SCHEMA)
    made = values(await glance(*new, "--name", "cores"))
    assert (made["name"], made["minimum"], made["default"]) == ("cores", "1", "2")
    with pytest.raises(ClientFailed, match="409"):
        await glance(*new, "--name", "cores")
    await glance(*new, "--name", "threads")
    assert values(await glance("md-property-show", NAMESPACE, "cores"))["description"] == "How many"
    assert rows(await glance("md-property-list", NAMESPACE)) == [
        ["cores", "Cores", "integer"],
        ["threads", "Cores", "integer"],
    ]
    changed = values(await glance("md-property-update", NAMESPACE, "cores", "--name", "cpus", "--title", "CPUs"))
    assert (changed["name"], changed["title"], changed["minimum"]) == ("cpus", "CPUs", "1")
    await glance("md-property-delete", NAMESPACE, "cpus")
    assert rows(await glance("md-property-list", NAMESPACE)) == [["threads", "Cores", "integer"]]
    await glance("md-namespace-properties-delete", NAMESPACE)
    assert rows(await glance("md-property-list", NAMESPACE)) == []


async def test_objects_are_created_shown_listed_updated_and_deleted(glance: Command) -> None:
    await make(glance)
    properties = {"bus": {"title": "Bus", "type": "string", "enum": ["scsi", "virtio"]}}
    schema: Any = {"description": "A disk", "required": ["bus"], "properties": properties}
    new = ("md-object-create", NAMESPACE, "--schema", json.dumps(schema))
    made = values(await glance(*new, "--name", "disk"))
    assert (made["name"], made["description"], made["properties"]) == ("disk", "A disk", '["bus"]')
    await glance(*new, "--name", "tape")
    assert values(await glance("md-object-show", NAMESPACE, "disk"))["required"] == '["bus"]'
    bus = values(await glance("md-object-property-show", NAMESPACE, "disk", "bus"))
    assert (bus["title"], re.findall(r"\w+", bus["enum"])) == ("Bus", ["scsi", "virtio"])
    assert rows(await glance("md-object-list", NAMESPACE)) == [["disk", "A disk"], ["tape", "A disk"]]
    changed = await glance(
        *("md-object-update", NAMESPACE, "disk", "--name", "ssd", "--schema", '{"description": "Fast"}')
    )
    assert (values(changed)["name"], values(changed)["description"]) == ("ssd", "Fast")
    await glance("md-object-delete", NAMESPACE, "ssd")
    assert rows(await glance("md-object-list", NAMESPACE)) == [["tape", "A disk"]]
    await glance("md-namespace-objects-delete", NAMESPACE)
    assert rows(await glance("md-object-list", NAMESPACE)) == []


async def test_tags_are_created_shown_listed_updated_and_deleted(glance: Command) -> None:
    await make(glance)
    assert values(await glance("md-tag-create", NAMESPACE, "--name", "gold"))["name"] == "gold"
    # Not with --append: the pinned client fails of itself then, before it sends anything.
    made = await glance("md-tag-create-multiple", NAMESPACE, "--names", "silver,tin")
    assert rows(made) == [["silver"], ["tin"]]
    assert sorted(rows(await glance("md-tag-list", NAMESPACE))) == [["silver"], ["tin"]]
    assert values(await glance("md-tag-show", NAMESPACE, "tin", by="admin"))["name"] == "tin"
    assert values(await glance("md-tag-update", NAMESPACE, "tin", "--name", "lead"))["name"] == "lead"
    await glance("md-tag-delete", NAMESPACE, "lead")
    with pytest.raises(ClientFailed, match="404"):
        await glance("md-tag-show", NAMESPACE, "lead")
    await glance("md-tag-create-multiple", NAMESPACE, "--names", "a;b", "--delim", ";")
    assert sorted(rows(await glance("md-tag-list", NAMESPACE))) == [["a"], ["b"]]
    await glance("md-namespace-tags-delete", NAMESPACE)
    assert rows(await glance("md-tag-list", NAMESPACE)) == []


async def test_every_command_for_metadata_definitions_is_used_here(clients: Clients) -> None:
    helped = (await clients.glance({}, "help")).text
    commands = set(re.findall(r"^\s+(md-[a-z-]+)", helped, re.MULTILINE))
    assert len(commands) == 30
    text = await asyncio.to_thread(Path(__file__).read_text)
    assert {command for command in commands if f'"{command}"' not in text} == set()
