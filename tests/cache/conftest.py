from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache import CacheConfig, ImageCache
from cache.disk import Folder
from metrics import Instruments
from tests.content import MIB


@pytest.fixture
def config(tmp_path: Path) -> CacheConfig:
    return CacheConfig(dir=tmp_path / "cache", size_max=64 * MIB, fill_idle_s=20)


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that breaks is asked again at once."""
    monkeypatch.setattr("cache.resume.pause_s", lambda _failures, _chance: 0.001)


@pytest.fixture
def folder(config: CacheConfig) -> Folder:
    """Prepared, as each worker finds it."""
    folder = Folder(config.dir)
    folder.prepare()
    return folder


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


@pytest.fixture
async def cache(config: CacheConfig, instruments: Instruments) -> AsyncIterator[ImageCache]:
    async with ImageCache(config, instruments) as opened:
        yield opened
