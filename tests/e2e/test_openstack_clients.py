"""The clients that people use, as they come: each story is one that a user of the cloud would tell."""

import asyncio
from pathlib import Path

import pytest

from tests.content import MIB, Noise
from tests.origin import Origin
from tests.peers.clients import ClientFailed, Clients, Finished
from tests.peers.driven_clients import DrivenClients
from tests.peers.keystone import Keystone
from tests.served import Served

CONTENT = Noise(3 * MIB + 1, seed=21)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(CONTENT.read())
    return path


async def test_an_image_goes_in_is_listed_changed_saved_and_deleted_by_the_openstack_command(
    glint: Served, keystone: Keystone, clients: Clients, driven: DrivenClients, disk: Path, tmp_path: Path
) -> None:
    """Data go in and out by the program itself, and in between it is driven: see `test_every_command.py`."""
    env = keystone.openrc("demo", image_url=glint.url)

    async def openstack(*words: str) -> Finished:
        return await asyncio.to_thread(driven.openstack, env, *words)

    flags = ["--disk-format", "raw", "--container-format", "bare", "--property", "os_distro=debian", "--tag", "gold"]
    created = (await clients.openstack(env, "image", "create", "-f", "json", *flags, "--file", disk, "deb")).json()
    shown = await openstack("image", "show", "-f", "json", "deb")
    listed = await openstack("image", "list", "-f", "json", "--property", "os_distro=debian", "--long")
    assert shown.json()["status"] == "active"
    assert shown.json()["size"] == CONTENT.size_bytes
    assert shown.json()["checksum"] == CONTENT.digest("md5")
    assert shown.json()["tags"] == ["gold"]
    assert [row["ID"] for row in listed.json()] == [created["id"]]

    await openstack("image", "set", "--property", "os_version=13", "--min-ram", "512", "--shared", "deb")
    changed = (await openstack("image", "show", "-f", "json", created["id"])).json()
    assert (changed["properties"]["os_version"], changed["min_ram"], changed["visibility"]) == ("13", 512, "shared")

    saved = tmp_path / "saved.raw"
    await clients.openstack(env, "image", "save", "--file", saved, "deb")
    assert await asyncio.to_thread(saved.read_bytes) == CONTENT.read()

    await openstack("image", "delete", "deb")
    with pytest.raises(ClientFailed, match="No Image found for deb"):
        await openstack("image", "show", "deb")


async def test_a_protected_image_is_not_deleted_and_the_command_says_why(
    glint: Served, keystone: Keystone, driven: DrivenClients
) -> None:
    env = keystone.openrc("demo", image_url=glint.url)
    await asyncio.to_thread(driven.openstack, env, "image", "create", "--protected", "--disk-format", "raw", "kept")
    with pytest.raises(ClientFailed, match="protected"):
        await asyncio.to_thread(driven.openstack, env, "image", "delete", "kept")


SDK_STORY = """
import hashlib, json, sys
import openstack

cloud = openstack.connect()
image = cloud.create_image("sdk", filename=sys.argv[1], disk_format="raw", container_format="bare", wait=True)
assert image.status == "active", image.status
found = cloud.image.find_image("sdk")
assert found.id == image.id
assert [one.id for one in cloud.image.images(name="sdk")] == [image.id]
body = cloud.image.download_image(image, stream=True)
digest = hashlib.sha512()
for chunk in body.iter_content(1024 * 1024):
    digest.update(chunk)
assert digest.hexdigest() == found.hash_value
cloud.image.update_image(image, min_disk=2, os_distro="debian")
cloud.image.add_tag(image, "silver")
again = cloud.image.get_image(image.id)
assert again.min_disk == 2 and again.os_distro == "debian" and again.tags == ["silver"], again
cloud.image.remove_tag(image, "silver")
cloud.image.delete_image(image)
assert cloud.image.find_image("sdk") is None
print(json.dumps({"digest": digest.hexdigest()}))
"""


async def test_openstacksdk_creates_finds_downloads_tags_and_deletes(
    glint: Served, keystone: Keystone, clients: Clients, disk: Path
) -> None:
    env = keystone.openrc("demo", image_url=glint.url)
    assert (await clients.python(env, SDK_STORY, disk)).json() == {"digest": CONTENT.digest()}


GLANCECLIENT_DOWNLOAD = """
import os, sys
from glanceclient import Client
from keystoneauth1 import loading, session

options = {name: os.environ["OS_" + name.upper()] for name in (
    "auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")}
auth = loading.get_plugin_loader("password").load_from_options(**options)
glance = Client("2", session=session.Session(auth=auth), endpoint_override=sys.argv[1])
body = glance.images.data(sys.argv[2], do_checksum=True)
print(sum(len(chunk) for chunk in body))
"""


async def test_glanceclient_verifies_the_hash_of_what_it_gets(
    glint: Served, keystone: Keystone, clients: Clients, disk: Path
) -> None:
    env = keystone.openrc("demo", image_url=glint.url)
    flags = ["--disk-format", "raw", "--container-format", "bare", "--name", "checked"]
    await clients.glance(env, "image-create", *flags, "--file", disk)
    listed = (await clients.openstack(env, "image", "list", "-f", "json", "--name", "checked")).json()
    image_id = listed[0]["ID"]
    got = await clients.python(env, GLANCECLIENT_DOWNLOAD, glint.url, image_id)
    assert int(got.text) == CONTENT.size_bytes

    stored = glint.services.config.cache.dir.parent / "images" / image_id
    await asyncio.to_thread(_flip_first_byte, stored)
    with pytest.raises(ClientFailed, match=r"[Cc]orrupt|checksum|hash"):
        await clients.python(env, GLANCECLIENT_DOWNLOAD, glint.url, image_id)


async def test_other_projects_see_an_image_only_when_it_is_shown_to_them(
    glint: Served, keystone: Keystone, driven: DrivenClients
) -> None:
    demo, alt = (keystone.openrc(user, image_url=glint.url) for user in ("demo", "alt"))
    created = (
        await asyncio.to_thread(driven.openstack, demo, "image", "create", "-f", "json", "--private", "mine")
    ).json()
    with pytest.raises(ClientFailed, match="No Image found"):
        await asyncio.to_thread(driven.openstack, alt, "image", "show", created["id"])
    await asyncio.to_thread(driven.openstack, demo, "image", "set", "--community", created["id"])
    shown = await asyncio.to_thread(driven.openstack, alt, "image", "show", "-f", "json", created["id"])
    assert shown.json()["visibility"] == "community"
    with pytest.raises(ClientFailed, match="403"):
        await asyncio.to_thread(driven.openstack, demo, "image", "set", "--public", created["id"])


async def test_an_image_behind_http_is_read_once_for_all_who_boot_from_it(
    glint: Served, origin: Origin, keystone: Keystone
) -> None:
    origin.add("disk", CONTENT)
    token = await asyncio.to_thread(keystone.token, "admin")
    glint.session.headers["X-Auth-Token"] = token
    image_id = await glint.register(CONTENT, origin.url("disk"), visibility="public")
    nova = {"X-Auth-Token": await asyncio.to_thread(keystone.token, "demo")}
    bodies = await asyncio.gather(*(_download(glint, image_id, nova) for _ in range(20)))
    assert set(bodies) == {CONTENT.read()}
    assert origin.counts("disk").gets == 1


async def _download(glint: Served, image_id: str, headers: dict[str, str]) -> bytes:
    async with glint.session.get(glint.file_url(image_id), headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


def _flip_first_byte(path: Path) -> None:
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
