"""Fixtures of the real servers, for `pytest_plugins`: started once in a run when first wanted, stopped at its end."""

from collections.abc import Iterator

import pytest

from tests.peers.ceph import Ceph
from tests.peers.ceph_bindings import link_bindings
from tests.peers.clients import Clients
from tests.peers.driven_clients import DrivenClients
from tests.peers.glance import Glance
from tests.peers.glance_manage import GlanceManage
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached
from tests.peers.nginx import StaticNginx
from tests.peers.rgw import Rgw
from tests.peers.swift import Swift


@pytest.fixture(scope="session")
def memcached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memcached]:
    """Shared by the tests of a run: look at the difference of its counters, never at their values."""
    with Memcached(tmp_path_factory.mktemp("memcached")) as server:
        yield server


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """Shared by the tests of a run; who stops or freezes it starts or thaws it before the test ends."""
    with Keystone(tmp_path_factory.mktemp("keystone")) as server:
        yield server


@pytest.fixture(scope="session")
def glance(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone, memcached: Memcached) -> Iterator[Glance]:
    """A Glance with its image cache, two file stores and an http store."""
    with Glance(tmp_path_factory.mktemp("glance"), keystone, memcached) as server:
        yield server


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    """With accounts of its own. Shared by the tests of a run: each takes a container (or bucket) for itself."""
    with Swift(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture(scope="session")
def keystone_swift(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone) -> Iterator[Swift]:
    """With Keystone's projects for accounts, and in its catalogue. Shared like `swift`."""
    with Swift(tmp_path_factory.mktemp("keystone-swift"), keystone=keystone) as server:
        yield server


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaticNginx]:
    """Serves what tests put below `nginx.root`."""
    with StaticNginx(tmp_path_factory.mktemp("nginx"), tmp_path_factory.mktemp("www")) as server:
        yield server


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    """The programs themselves."""
    return Clients.installed(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def driven(clients: Clients) -> Iterator[DrivenClients]:
    """The same without the time that their start takes; tests/e2e shows that both print the same."""
    with DrivenClients(clients) as opened:
        yield opened


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """Shared by the tests of a run, and never stopped; who freezes a part of it thaws it before the test ends."""
    link_bindings()
    with Ceph(tmp_path_factory.mktemp("ceph")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def rgw(tmp_path_factory: pytest.TempPathFactory, ceph: Ceph) -> Iterator[Rgw]:
    """Shared by the tests of a run: each takes buckets of its own."""
    with Rgw(tmp_path_factory.mktemp("rgw"), ceph) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def glance_manage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlanceManage]:
    """The program of a real Glance, loaded once; it leaves nothing from one command to the next."""
    with GlanceManage(tmp_path_factory.mktemp("glance-manage")) as command:
        yield command
