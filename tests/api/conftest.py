from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.api.client import Client
from tests.origin import Origin
from tests.served import config_for, serving


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A Glint where everybody is admin, and who asks it."""
    async with serving(config_for(tmp_path)) as served:
        yield Client(served)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as opened:
        yield opened
