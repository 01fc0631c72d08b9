"""A Glance and a Glint on one database and one pair of file stores, of which one runs at a time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.glint import Glint
from tests.parity.variants import glint_for
from tests.peers import Glance, GlanceOptions, Keystone, MariaDB, Memcached, PostgreSQL, Server
from tests.takeover.service import Identity, Service

_GLANCE = """\
[DEFAULT]
show_multiple_locations = True
show_image_direct_url = True
enabled_import_methods = [glance-direct,web-download,copy-image]
"""


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/glance.db"


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    with PostgreSQL(folder / "postgresql") as server:
        yield server.url


@contextmanager
def _mariadb(folder: Path) -> Iterator[str]:
    with MariaDB(folder / "m", database="glance", charset="utf8mb3") as server:
        yield server.url


DATABASES: Mapping[str, Callable[[Path], AbstractContextManager[str]]] = {
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "sqlite": _sqlite,
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Both services, none of which runs, and the URL of the database that they take turns with."""

    glance: Glance
    glint: Glint
    database_url: str
    identity: Identity

    @contextmanager
    def running(self, server: Server) -> Iterator[Service]:
        """One of the two as a service, until the context is left."""
        assert isinstance(server, Glance | Glint)
        server.start()
        try:
            yield Service(server.url, self.identity)
        finally:
            server.stop()


@contextmanager
def pair_on(
    database: str, folder: Path, keystone: Keystone, memcached: Memcached, identity: Identity
) -> Iterator[Pair]:
    """Both with the same stores, by the same ids, in the same folders."""
    for name in ("glance", "glint"):
        (folder / name).mkdir()
    with DATABASES[database](folder) as url:
        options = GlanceOptions(settings=_GLANCE, processes=1)
        glance = Glance(folder / "glance", keystone, memcached, options=options, database_url=url)
        glint = glint_for("default", folder / "glint", keystone, memcached)
        images, images2 = glance.image_dirs
        glint.settings |= {
            "registry.url": url,
            "stores.backends.file": {"kind": "file", "dir": str(images), "weight": 100},
            "stores.backends.second": {"kind": "file", "dir": str(images2)},
            "api.show_multiple_locations": True,
            "api.show_image_direct_url": True,
        }
        try:
            yield Pair(glance, glint, url, identity)
        finally:
            glance.close()
            glint.close()


def files_of(pair: Pair) -> list[str]:
    """What lies in the stores."""
    return [str(path) for folder in pair.glance.image_dirs for path in sorted(folder.iterdir())]
