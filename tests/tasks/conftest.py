from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.tables import sqlite_url
from upstream.registry import Registry, RegistryConfig, open_registry


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with open_registry(RegistryConfig(url=sqlite_url(tmp_path / "registry.db"))) as opened:
        yield opened
