import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.cloud import CONTENT, Cloud
from tests.glint import Glint
from tests.origin import Origin
from tests.peers.driven_clients import DrivenClients
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached
from tests.served import Served, config_for, serving

OF_THE_CLIENTS = ("architecture", "instance_uuid", "kernel_id", "os_distro", "os_version", "ramdisk_id")
"""Properties in the schema-image.json of operators' packages of Glance; without it `glance` does not send them."""


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as served:
        yield served


@pytest.fixture
async def glint(tmp_path: Path, keystone: Keystone, memcached: Memcached) -> AsyncIterator[Served]:
    """A Glint of the cloud: a real Keystone says who asks, a real memcached remembers it."""
    changes = {
        "auth": {
            "kind": "keystone",
            "keystone": {"auth_url": keystone.url, "username": "glance", "password": "secret"},
        },
        "token_cache": {"memcached_servers": [memcached.address], "secret_key": "shared by all Glints of the cloud"},
    }
    async with serving(config_for(tmp_path, changes)) as served:
        yield served


@pytest.fixture(scope="session")
def shared_cloud(
    tmp_path_factory: pytest.TempPathFactory, keystone: Keystone, memcached: Memcached, driven: DrivenClients
) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    disk = folder / "disk.raw"
    disk.write_bytes(CONTENT.read())
    schema = {name: {"type": ["null", "string"]} for name in OF_THE_CLIENTS}
    (folder / "schema-image.json").write_text(json.dumps(schema))
    settings = {
        "auth.kind": "keystone",
        "auth.keystone": {"auth_url": keystone.url, "username": "glance", "password": "secret"},
        "token_cache": {"memcached_servers": [memcached.address], "secret_key": "cloud"},
        "stores.backends.second": {"kind": "file", "dir": "images2"},
        "api.show_multiple_locations": True,
        "api.import_methods": ["glance-direct", "web-download", "copy-image", "glance-download"],
        "api.image_schema_file": str(folder / "schema-image.json"),
        "api.import_filter": {"allowed_hosts": ["127.0.0.1"], "allowed_ports": [], "denied_networks": []},
    }
    glint = Glint(folder / "glint", settings)
    glint.settings["server.worker_self_reference_url"] = glint.url
    with Origin() as origin, glint:
        yield Cloud(
            glint=glint,
            origin=origin,
            clients=driven,
            keystone=keystone,
            people={user: keystone.openrc(user, image_url=glint.url) for user in ("admin", "demo", "alt", "viewer")},
            projects={user: keystone.project_id(user) for user in ("admin", "demo", "alt")},
            disk=disk,
        )


@pytest.fixture
def cloud(shared_cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """For tests that say by `covers` what they show; they may find images of others, of other names."""
    shared_cloud.clients.ran.clear()
    yield shared_cloud
    said = {name for mark in request.node.iter_markers("covers") for name in mark.args}
    assert said <= shared_cloud.clients.ran, said - shared_cloud.clients.ran
