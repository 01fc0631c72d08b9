"""`api.enforce_new_defaults: false` over HTTP: images are their owners', though the rules let everybody."""

from collections.abc import Iterator

import pytest

from tests.glint import Glint
from tests.peers.keystone import Keystone


@pytest.fixture(scope="module")
def glint(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone) -> Iterator[Glint]:
    settings = {
        "auth.kind": "keystone",
        "auth.keystone": {"auth_url": keystone.url, "username": "glance", "password": "secret"},
        "api.enforce_new_defaults": False,
        "api.show_multiple_locations": True,
    }
    with Glint(tmp_path_factory.mktemp("old"), settings) as started:
        yield started


def test_a_strangers_image_is_read_and_not_changed(glint: Glint, keystone: Keystone) -> None:
    owner, stranger = keystone.token("demo"), keystone.token("alt")
    image_id = glint.upload(b"data", token=owner, visibility="community")
    path = f"/v2/images/{image_id}"
    rename = [{"op": "replace", "path": "/name", "value": "mine"}]
    place = [{"op": "add", "path": "/locations/-", "value": {"url": "http://127.0.0.1/x", "metadata": {}}}]
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}

    assert glint.get(f"{path}/file", token=stranger).content == b"data"
    for method, target, body, headers in (
        ("PATCH", path, rename, patch),
        ("PATCH", path, place, patch),
        ("PUT", f"{path}/file", b"other", {}),
        ("PUT", f"{path}/tags/t", None, {}),
        ("POST", f"{path}/actions/deactivate", None, {}),
        ("DELETE", path, None, {}),
    ):
        answer = glint.request(method, target, body, token=stranger, headers=headers)
        assert answer.status == 403, (method, target)
        assert b"You do not own this image" in answer.content, (method, target)
    assert glint.request("PATCH", path, rename, token=owner, headers=patch).status == 200
    assert glint.request("DELETE", path, token=owner).status == 204


def test_members_are_the_owners_and_their_answers_their_own(glint: Glint, keystone: Keystone) -> None:
    owner, member = keystone.token("demo"), keystone.token("alt")
    image_id = glint.upload(b"data", token=owner, visibility="shared")
    path = f"/v2/images/{image_id}/members"
    project = glint.get(f"/v2/images/{glint.create(token=member)}", token=member).json["owner"]
    assert glint.request("POST", path, {"member": project}, token=owner).status == 200
    accepted = {"status": "accepted"}
    assert glint.request("PUT", f"{path}/{project}", accepted, token=owner).status == 403
    assert glint.request("PUT", f"{path}/{project}", accepted, token=member).status == 200
    assert glint.request("POST", path, {"member": "another"}, token=member).status == 403
    assert glint.request("DELETE", f"{path}/{project}", token=member).status == 403
    assert glint.request("DELETE", f"{path}/{project}", token=owner).status == 204


def test_nobody_creates_an_image_for_another_project(glint: Glint, keystone: Keystone) -> None:
    body = {"name": "x", "owner": "another"}
    answer = glint.request("POST", "/v2/images", body, token=keystone.token("demo"))
    assert answer.status == 403
    assert b"owned by 'another'" in answer.content
