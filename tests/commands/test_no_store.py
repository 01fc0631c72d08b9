"""`Cache-Control: no-store` on a download, of one who may say what is cached and of one who may not."""

import pytest

from tests.commands.conftest import Image, World
from tests.origin import MIB, Noise
from tests.peers import Keystone


def download(world: World, image: Image, control: str, *, token: str | None = None, part: str | None = None) -> bytes:
    headers = {"Cache-Control": control} | ({"Range": part} if part else {})
    answer = world.glint.request("GET", f"/v2/images/{image.id}/file", token=token, headers=headers)
    assert answer.status == (206 if part else 200)
    return answer.content


def bypasses(world: World) -> float:
    return world.glint.metrics().value("glint_downloads_total", outcome="bypass")


@pytest.mark.parametrize("control", ["no-store", "No-Cache, NO-STORE"])
def test_a_download_that_is_not_to_be_stored_is_read_past_the_cache(world: World, control: str) -> None:
    image, before = world.image(), bypasses(world)
    for _ in range(2):
        assert download(world, image, control) == image.content.read()
    assert download(world, image, control, part="bytes=10-19") == image.content.read(10, 20)
    assert world.gets(image) == 3
    world.glint.until_counted(before + 3, "glint_downloads_total", outcome="bypass")
    assert not world.is_cached(image)


def test_what_is_cached_is_used_all_the_same(world: World) -> None:
    image = world.image()
    assert download(world, image, "no-cache") == image.content.read()  # this asks for nothing that Glint does not do
    world.settle()
    assert download(world, image, "no-store") == image.content.read()
    assert world.gets(image) == 1


def test_a_tenant_cannot_have_the_store_read_for_every_request(guarded: World, keystone: Keystone) -> None:
    admin, demo = keystone.token("admin"), keystone.token("demo")
    content = guarded.origin.add("ours", Noise(MIB, seed=77))
    image = Image(guarded.glint.register(guarded.origin.url("ours"), content, token=demo), "ours", content)
    assert download(guarded, image, "no-store", token=admin) == content.read()
    for _ in range(3):
        assert download(guarded, image, "no-store", token=demo) == content.read()
    assert guarded.gets(image) == 2
