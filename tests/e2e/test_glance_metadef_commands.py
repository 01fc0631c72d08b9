"""All commands of python-glanceclient for metadata definitions, as they come: `glance md-…`."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import covers
from tests.peers.clients import ClientFailed
from tests.peers.driven_clients import DrivenClients
from tests.peers.environments import ensure_environment
from tests.peers.keystone import Keystone
from tests.served import Served

Command = Callable[..., Awaitable[str]]
NAMESPACE = "Acme::Hardware"


@pytest.fixture
def glance(
    glint: Served, keystone: Keystone, driven: DrivenClients, request: pytest.FixtureRequest
) -> Iterator[Command]:
    """Runs one command as admin, or as `by`, and returns its table. The test has to run what it `covers`."""
    driven.ran.clear()

    async def run(*arguments: str | Path, by: str = "admin", stdin: str = "") -> str:
        env = keystone.openrc(by, image_url=glint.url)
        return (await asyncio.to_thread(driven.glance, env, *arguments, stdin=stdin.encode())).text

    yield run
    said = {name for mark in request.node.iter_markers("covers") for name in mark.args}
    assert said <= driven.ran, said - driven.ran


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


@covers(
    "glance md-namespace-create --owner --protected --visibility --description --display-name",
    "glance md-namespace-update --owner --protected --visibility --description --display-name --namespace",
    "glance md-namespace-show --max-column-width",
    "glance md-namespace-list --visibility --page-size",
    "glance md-namespace-delete",
)
async def test_namespaces_are_created_shown_listed_updated_and_deleted(glance: Command) -> None:
    made = values(
        await glance(
            *("md-namespace-create", NAMESPACE, "--display-name", "Hardware", "--description", "What it runs on"),
            *("--visibility", "public", "--protected", "True", "--owner", "its-project"),
        )
    )
    assert (made["namespace"], made["visibility"], made["protected"]) == (NAMESPACE, "public", "True")
    assert made["owner"] == "its-project"
    await glance("md-namespace-create", "Acme::Other", "--visibility", "private")

    shown = values(await glance("md-namespace-show", NAMESPACE, "--max-column-width", "100", by="demo"))
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
    more = ("--namespace", "Acme::New", "--visibility", "private", "--description", "D", "--owner", "another")
    renamed = values(await glance("md-namespace-update", NAMESPACE, *more))
    assert (renamed["namespace"], renamed["visibility"]) == ("Acme::New", "private")
    assert (renamed["description"], renamed["owner"]) == ("D", "another")
    await glance("md-namespace-delete", "Acme::New")
    assert rows(await glance("md-namespace-list")) == [["Acme::Other"]]


@covers("glance md-namespace-import --file")
async def test_a_file_that_glance_ships_is_imported(glance: Command) -> None:
    path = ensure_environment("glance") / "etc" / "glance" / "metadefs" / "compute-libvirt-image.json"
    document = await asyncio.to_thread(lambda: json.loads(path.read_text()))
    imported = values(await glance("md-namespace-import", "--file", path))
    assert imported["namespace"] == document["namespace"]
    names = [row[0] for row in rows(await glance("md-property-list", document["namespace"], by="demo"))]
    assert sorted(names) == sorted(document["properties"])
    from_stdin = await glance("md-namespace-import", stdin=json.dumps({"namespace": "Acme::Stdin"}))
    assert values(from_stdin)["namespace"] == "Acme::Stdin"


@covers(
    "glance md-resource-type-associate --properties-target --prefix --name",
    "glance md-resource-type-deassociate",
    "glance md-resource-type-list",
    "glance md-namespace-resource-type-list",
    "glance md-namespace-show --resource-type",
    "glance md-namespace-list --resource-types",
)
async def test_resource_types_are_associated_listed_and_dissociated(glance: Command) -> None:
    await make(glance)
    await glance("md-property-create", NAMESPACE, "--name", "cores", "--title", "Cores", "--type", "integer", *SCHEMA)
    options = ("--name", "OS::Nova::Server", "--prefix", "hw:", "--properties-target", "image")
    table = await glance("md-resource-type-associate", NAMESPACE, *options)
    assert values(table)["prefix"] == "hw:"
    assert rows(await glance("md-namespace-resource-type-list", NAMESPACE)) == [["OS::Nova::Server", "hw:", "image"]]
    assert rows(await glance("md-resource-type-list", by="demo")) == [["OS::Nova::Server"]]
    shown = await glance("md-namespace-show", NAMESPACE, "--resource-type", "OS::Nova::Server")
    assert "hw:cores" in shown
    await glance("md-namespace-create", "Acme::Other")
    assert rows(await glance("md-namespace-list", "--resource-types", "OS::Nova::Server")) == [[NAMESPACE]]
    await glance("md-resource-type-deassociate", NAMESPACE, "OS::Nova::Server")
    assert rows(await glance("md-namespace-resource-type-list", NAMESPACE)) == []


SCHEMA = ("--schema", '{"description": "How many", "minimum": 1, "default": "2", "readonly": false}')


@covers(
    "glance md-property-create --name --title --schema --type",
    "glance md-property-update --name --title --schema",
    "glance md-property-show --max-column-width",
    "glance md-property-list",
    "glance md-property-delete",
    "glance md-namespace-properties-delete",
)
async def test_properties_are_created_shown_listed_updated_and_deleted(glance: Command) -> None:
    await make(glance)
    new = ("md-property-create", NAMESPACE, "--title", "Cores", "--type", "integer", *SCHEMA)
    made = values(await glance(*new, "--name", "cores"))
    assert (made["name"], made["minimum"], made["default"]) == ("cores", "1", "2")
    with pytest.raises(ClientFailed, match="409"):
        await glance(*new, "--name", "cores")
    await glance(*new, "--name", "threads")
    assert (
        values(await glance("md-property-show", NAMESPACE, "cores", "--max-column-width", "100"))["description"]
        == "How many"
    )
    assert rows(await glance("md-property-list", NAMESPACE)) == [
        ["cores", "Cores", "integer"],
        ["threads", "Cores", "integer"],
    ]
    more = ("--name", "cpus", "--title", "CPUs", "--schema", '{"type": "integer", "minimum": 2}')
    changed = values(await glance("md-property-update", NAMESPACE, "cores", *more))
    assert (changed["name"], changed["title"], changed["minimum"]) == ("cpus", "CPUs", "2")
    await glance("md-property-delete", NAMESPACE, "cpus")
    assert rows(await glance("md-property-list", NAMESPACE)) == [["threads", "Cores", "integer"]]
    await glance("md-namespace-properties-delete", NAMESPACE)
    assert rows(await glance("md-property-list", NAMESPACE)) == []


@covers(
    "glance md-object-create --name --schema",
    "glance md-object-update --name --schema",
    "glance md-object-show --max-column-width",
    "glance md-object-property-show --max-column-width",
    "glance md-object-list",
    "glance md-object-delete",
    "glance md-namespace-objects-delete",
)
async def test_objects_are_created_shown_listed_updated_and_deleted(glance: Command) -> None:
    await make(glance)
    properties = {"bus": {"title": "Bus", "type": "string", "enum": ["scsi", "virtio"]}}
    schema: Any = {"description": "A disk", "required": ["bus"], "properties": properties}
    new = ("md-object-create", NAMESPACE, "--schema", json.dumps(schema))
    made = values(await glance(*new, "--name", "disk"))
    assert (made["name"], made["description"], made["properties"]) == ("disk", "A disk", '["bus"]')
    await glance(*new, "--name", "tape")
    assert (
        values(await glance("md-object-show", NAMESPACE, "disk", "--max-column-width", "100"))["required"] == '["bus"]'
    )
    bus = values(await glance("md-object-property-show", NAMESPACE, "disk", "bus", "--max-column-width", "100"))
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


@covers(
    "glance md-tag-create --name",
    "glance md-tag-create-multiple --names --delim",
    "glance md-tag-update --name",
    "glance md-tag-list",
    "glance md-tag-show",
    "glance md-tag-delete",
    "glance md-namespace-tags-delete",
)
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
