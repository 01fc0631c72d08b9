from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.origin import Origin
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached
from tests.served import Served, config_for, serving


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
