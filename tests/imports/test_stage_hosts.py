"""Two Glints on one database, with a staging folder each: what is staged at one is imported and deleted there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.content import Noise
from tests.glint import Glint
from tests.imports.importing import begin, importing_glint, left_in, settled, wait_until
from tests.peers.keystone import Keystone
from tests.tables import sqlite_url

DATA = Noise(1024 * 1024 + 5).read()
HOST = "os_glance_stage_host"
Pair = tuple[Glint, Glint]


@pytest.fixture(scope="module")
def glints(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone) -> Iterator[Pair]:
    """One where data are staged, and one that is asked to import them."""
    folder = tmp_path_factory.mktemp("shared")
    settings = {
        "registry.url": sqlite_url(folder / "registry.db"),
        "stores.backends.local.dir": str(folder / "images"),
        "stores.backends.other.dir": str(folder / "images2"),
        "auth.kind": "keystone",
        "auth.keystone": {"auth_url": keystone.url, "username": "glance", "password": "secret"},
    }
    there = importing_glint(tmp_path_factory.mktemp("there"), settings)
    here = importing_glint(tmp_path_factory.mktemp("here"), settings)
    here.settings["stores.backends.third"] = {"kind": "file", "dir": "images3"}
    for glint in (there, here):
        glint.settings["server.worker_self_reference_url"] = glint.url
    with there, here:
        yield there, here


@pytest.fixture
def token(keystone: Keystone) -> str:
    return keystone.token("demo")


def _staged(glint: Glint, token: str) -> str:
    image_id = glint.create(token=token)
    assert glint.request("PUT", f"/v2/images/{image_id}/stage", DATA, token=token).status == 204
    assert left_in(glint.directory / "staging") == [image_id]
    return image_id


def test_staged_data_are_imported_by_the_host_that_has_them(glints: Pair, token: str) -> None:
    """Into the store that the header names; nobody is told which host it is."""
    there, here = glints
    image_id = _staged(there, token)
    assert HOST not in here.get(f"/v2/images/{image_id}", token=token).json
    body = {"method": {"name": "glance-direct"}}
    headers = {"X-Image-Meta-Store": "other", "X-Openstack-Request-Id": "req-of-both"}
    answer = here.request("POST", f"/v2/images/{image_id}/import", body, token=token, headers=headers)
    assert (answer.status, answer.content) == (202, b"")
    image = settled(here, image_id, token=token)
    assert (image["status"], image["stores"], image["size"]) == ("active", "other", len(DATA))
    assert (left_in(there.directory / "staging"), left_in(here.directory / "staging")) == ([], [])
    assert here.get(f"/v2/images/{image_id}/file", token=token).content == DATA
    assert "req-of-both" in there.log


def test_an_image_is_deleted_where_its_data_are_staged(glints: Pair, token: str) -> None:
    there, here = glints
    image_id = _staged(there, token)
    assert here.request("DELETE", f"/v2/images/{image_id}", token=token).status == 204
    assert left_in(there.directory / "staging") == []
    assert there.get(f"/v2/images/{image_id}", token=token).status == 404


def test_what_the_other_host_refuses_is_refused_in_its_words(glints: Pair, token: str) -> None:
    there, here = glints
    image_id = _staged(there, token)
    answer = begin(here, image_id, "glance-direct", stores=["third"], token=token)
    assert answer.status == 409
    assert b"There is no store" in answer.content
    assert here.get(f"/v2/images/{image_id}", token=token).json["status"] == "uploading"
    assert there.request("DELETE", f"/v2/images/{image_id}", token=token).status == 204


def test_without_the_other_host_nothing_is_imported_but_the_image_can_be_deleted(glints: Pair, token: str) -> None:
    """What it still has of it goes when it starts."""
    there, here = glints
    image_id = _staged(there, token)
    there.stop()
    try:
        answer = begin(here, image_id, "glance-direct", token=token)
        assert answer.status == 504
        assert here.get(f"/v2/images/{image_id}", token=token).json["status"] == "uploading"
        assert here.request("DELETE", f"/v2/images/{image_id}", token=token).status == 204
        assert here.get(f"/v2/images/{image_id}", token=token).status == 404
    finally:
        there.start()
    wait_until(lambda: left_in(there.directory / "staging") == [])


def test_a_host_that_goes_by_another_url_now_is_asked_once_and_does_it(glints: Pair, token: str) -> None:
    """It asks itself by its old URL."""
    there, _ = glints
    image_id = _staged(there, token)
    there.stop()
    there.settings["server.worker_self_reference_url"] = "http://another.invalid"
    there.start()
    try:
        assert begin(there, image_id, "glance-direct", token=token).status == 202
        assert settled(there, image_id, token=token)["status"] == "active"
    finally:
        there.stop()
        there.settings["server.worker_self_reference_url"] = there.url
        there.start()


def test_what_cannot_be_a_url_is_not_asked(tmp_path: Path) -> None:
    """A public URL stands in for the host's own, as in Glance."""
    there, here = (
        importing_glint(tmp_path / name, {"registry.url": sqlite_url(tmp_path / "registry.db")}) for name in ("a", "b")
    )
    there.settings["server.public_endpoint"] = "http://["
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with there, here:
        image_id = there.create()
        assert there.request("PUT", f"/v2/images/{image_id}/stage", DATA).status == 204
        assert begin(here, image_id, "glance-direct").status == 504
        assert here.request("DELETE", f"/v2/images/{image_id}").status == 204
