"""The Glints that are compared with the recorded Glance: set up as that one was, with a Keystone of the same users."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.glint import LEFT_OUT, Glint
from tests.parity.keystone import tokens_from
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached


class ParityGlint:
    """A Glint and the tokens of those who ask it."""

    def __init__(self, glint: Glint, keystone: Keystone) -> None:
        self.url = glint.url
        self.token = tokens_from(keystone.url)


@pytest.fixture(scope="module")
def glint_parity(
    tmp_path_factory: pytest.TempPathFactory, keystone: Keystone, memcached: Memcached
) -> Iterator[ParityGlint]:
    with _glint(tmp_path_factory.mktemp("parity"), keystone, memcached, {}) as glint:
        yield ParityGlint(glint, keystone)


@pytest.fixture(scope="module")
def glint_parity_locations(
    tmp_path_factory: pytest.TempPathFactory, keystone: Keystone, memcached: Memcached
) -> Iterator[ParityGlint]:
    allowed = {"api.show_multiple_locations": True}
    with _glint(tmp_path_factory.mktemp("parity-locations"), keystone, memcached, allowed) as glint:
        yield ParityGlint(glint, keystone)


def _glint(folder: Path, keystone: Keystone, memcached: Memcached, settings: dict[str, Any]) -> Glint:
    return Glint(
        folder,
        {
            "auth.kind": "keystone",
            "auth.keystone": {"auth_url": keystone.url, "username": "glance", "password": "secret"},
            "token_cache": {"memcached_servers": [memcached.address], "secret_key": "parity"},
            "stores.default": "file",
            "stores.backends": LEFT_OUT,  # what follows is all of them, in this order
            "stores.backends.file": {"kind": "file", "dir": "images", "weight": 100},
            "stores.backends.second": {"kind": "file", "dir": "images2"},
            "stores.backends.web": {"kind": "http"},
            "logging.level": "warning",
            **settings,
        },
    )
