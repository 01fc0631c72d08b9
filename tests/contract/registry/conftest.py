import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.contract.registry.places import PLACES, Place
from tests.contract.registry.world import KINDS, Servers, World
from upstream.registry import Registry


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    started = Servers(tmp_path_factory.mktemp("sql"))
    yield started
    started.close()


@pytest.fixture(autouse=True)
def _only_warnings() -> Iterator[None]:
    """A served registry logs each request, and writing that takes longer than to answer it.

    For these tests alone: whatever runs after them in this process may ask what was logged.
    """
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.configure(**before)


@pytest.fixture(params=sorted(KINDS))
async def world(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> AsyncIterator[World]:
    async with KINDS[request.param](tmp_path, servers) as opened:
        yield opened


@pytest.fixture
def registry(world: World) -> Registry:
    return world.registry


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> Place:
    """Makes empty databases of one kind, and gives their URLs."""
    return PLACES[request.param](tmp_path, servers)
