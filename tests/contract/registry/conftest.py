from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.registry.world import KINDS, World
from upstream.registry import Registry


@pytest.fixture(params=sorted(KINDS))
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with KINDS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def registry(world: World) -> Registry:
    return world.registry
