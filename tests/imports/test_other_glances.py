"""glance-download: an image of another Glint, found by the catalogue of a real Keystone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.content import Noise
from tests.glint import Glint
from tests.imports.importing import FAILED, begin, importing_glint, left_in, settled, tasks_of
from tests.peers.identity_api import REGION
from tests.peers.keystone import Keystone
from upstream.errors import Invalid, Unavailable
from upstream.glances import endpoint_of

DATA = Noise(3 * 1024 * 1024 + 5)


@pytest.fixture(scope="module")
def glints(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone) -> Iterator[tuple[Glint, Glint]]:
    """One that has images and stands in the catalogue, and one that fetches them."""
    settings = {
        "auth.kind": "keystone",
        "auth.keystone": {"auth_url": keystone.url, "username": "glance", "password": "secret"},
        "api.import_methods": ["glance-download"],
    }
    with (
        importing_glint(tmp_path_factory.mktemp("there"), settings) as there,
        importing_glint(tmp_path_factory.mktemp("here"), settings) as here,
    ):
        keystone.set_image_endpoint(there.url)
        yield there, here


def _fetch(here: Glint, token: str, remote_id: str, **more: str) -> str:
    image_id = here.create(token=token, hw_disk_bus="ide", note="mine")
    named = {"glance_image_id": remote_id, "glance_region": REGION, **more}
    assert begin(here, image_id, "glance-download", token=token, **named).status == 202
    return image_id


def test_data_formats_and_chosen_properties_come_along(glints: tuple[Glint, Glint], keystone: Keystone) -> None:
    there, here = glints
    token = keystone.token("demo")
    properties = {"hw_disk_bus": "scsi", "os_type": "linux", "trait:X": "required", "note": "theirs", "os_hash": "no"}
    remote_id = there.upload(DATA.read(), token=token, disk_format="ami", container_format="ami", **properties)
    image = settled(here, image_id := _fetch(here, token, remote_id), token=token)
    assert (image["status"], image["disk_format"], image["container_format"]) == ("active", "ami", "ami")
    assert (image["hw_disk_bus"], image["os_type"], image["trait:X"], image["note"]) == (
        "scsi",
        "linux",
        "required",
        "mine",
    )
    assert "os_hash" not in image
    assert image["os_hash_value"] == DATA.digest()
    assert here.get(f"/v2/images/{image_id}/file", token=token).content == DATA.read()


def test_an_image_without_data_is_not_fetched_and_nothing_is_changed(
    glints: tuple[Glint, Glint], keystone: Keystone
) -> None:
    there, here = glints
    token = keystone.token("demo")
    remote_id = there.create(token=token, hw_disk_bus="scsi")
    image_id = _fetch(here, token, remote_id)
    image = settled(here, image_id, token=token)
    assert (image["status"], image["hw_disk_bus"], image[FAILED]) == ("queued", "ide", "local")
    assert "should be active" in tasks_of(here, image_id, token=token)[0]["message"]


def test_data_other_than_their_digest_are_not_kept(glints: tuple[Glint, Glint], keystone: Keystone) -> None:
    """And what was taken over of the metadata is given back."""
    there, here = glints
    token = keystone.token("demo")
    remote_id = there.upload(DATA.read(), token=token, hw_disk_bus="scsi", os_type="linux")
    path = there.directory / "images" / remote_id
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    image_id = _fetch(here, token, remote_id)
    image = settled(here, image_id, token=token)
    assert (image["status"], image["hw_disk_bus"], "os_type" in image) == ("queued", "ide", False)
    assert (left_in(here.directory / "staging"), image_id in left_in(here.directory / "images")) == ([], False)


def test_what_the_user_may_not_see_there_is_not_fetched(glints: tuple[Glint, Glint], keystone: Keystone) -> None:
    there, here = glints
    remote_id = there.upload(b"secret", token=keystone.token("alt"), visibility="private")
    token = keystone.token("demo")
    image_id = _fetch(here, token, remote_id)
    assert settled(here, image_id, token=token)["status"] == "queued"
    assert tasks_of(here, image_id, token=token)[0]["status"] == "failure"
    assert token not in here.log


CATALOGUE = {
    "catalog": [
        {"type": "compute", "endpoints": [{"region": "one", "interface": "public", "url": "http://nova"}]},
        {
            "type": "image",
            "endpoints": [
                {"region": "one", "interface": "internal", "url": "http://internal/"},
                {"region": "one", "interface": "public", "url": "http://public/image/v2/"},
                {"region_id": "two", "interface": "public", "url": "http://two"},
            ],
        },
    ]
}


@pytest.mark.parametrize(
    ("region", "interface", "url"),
    [
        ("one", "public", "http://public/image"),
        ("ONE", "internal", "http://internal"),
        ("two", "public", "http://two"),
    ],
)
def test_the_catalogue_names_the_endpoint(region: str, interface: str, url: str) -> None:
    assert endpoint_of(CATALOGUE, region, interface) == url


@pytest.mark.parametrize(("region", "interface"), [("three", "public"), ("two", "admin"), ("", "public")])
def test_there_is_no_endpoint_that_the_catalogue_does_not_name(region: str, interface: str) -> None:
    with pytest.raises(Invalid):
        endpoint_of(CATALOGUE, region, interface)


def test_a_catalogue_that_is_none_is_an_unavailable_keystone() -> None:
    with pytest.raises(Unavailable):
        endpoint_of({"catalog": [{"type": "image", "endpoints": ["x"]}]}, "one", "public")


def test_without_keystone_there_is_nobody_to_ask(tmp_path: Path) -> None:
    with importing_glint(tmp_path, {"api.import_methods": ["glance-download"]}) as glint:
        image_id = glint.create()
        named = {"glance_image_id": image_id, "glance_region": "one"}
        assert begin(glint, image_id, "glance-download", **named).status == 202
        assert settled(glint, image_id)["status"] == "queued"
        assert "catalogue" in tasks_of(glint, image_id)[0]["message"]
