from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.edge.fake_glance import FakeGlance, fake_glance
from tests.edge.serving import Edge, config_for, serving

Serve = Callable[..., AbstractAsyncContextManager[Edge]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeGlance]:
    async with fake_glance() as served:
        yield served


@pytest.fixture
def serve(fake: FakeGlance, tmp_path: Path) -> Serve:
    """A Glint before the fake Glance, with these keys of `registry.glance`, or whole sections."""

    def opened(**changes: Any) -> AbstractAsyncContextManager[Edge]:
        return serving(config_for(tmp_path, fake.url, changes))

    return opened


@pytest.fixture
async def edge(serve: Serve) -> AsyncIterator[Edge]:
    """It waits for a silent Glance as long as a busy machine may be silent itself."""
    async with serve(answer_s=30, upload_answer_s=30, idle_s=30) as served:
        yield served
