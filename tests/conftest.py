"""What every test runs under: uvloop, as in production, and an error for each call that blocks the loop."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import uvloop
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings
from typer.main import get_command

from tests.compiled_statements import create_engine
from tests.shares import in_shares

pytest_plugins = ["tests.peers.fixtures"]
_QUICK = ("tests/unit/", "tests/config_import/")

# An example takes as long as the machine likes: by hypothesis's own settings one of 200 ms fails, as does the second
# in which ten could not be drawn. Whatever else is set by itself, as for CI, stays.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection() -> None:
    """Nothing of what is collected goes away again: the garbage collector would look at it in vain."""
    gc.disable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items[:] = in_shares(
        items,
        getattr(config, "workerinput", {}).get("workercount", 1),
        is_first=lambda item: "keystone" in getattr(item, "fixturenames", ()),
        is_quick=lambda item: item.nodeid.startswith(_QUICK),
    )


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: the collector need not walk them all, neither now nor each time."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _nothing_blocks_the_loop() -> Iterator[None]:
    """Once for all tests, as it takes longer than most of them."""
    with blockbuster_ctx(scanned_modules=["proxy", "cache", "upstream", "metrics"]) as blocking:
        _allow_what_does_not_block(blocking)
        yield


@pytest.fixture(autouse=True, scope="session")
def _what_a_process_makes_once_is_made_once() -> Iterator[None]:
    """Statements, and the tree of all commands, which Typer's runner would make for each command anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("upstream.registry.sql.database.create_async_engine", create_engine)
        patch.setattr("typer.testing._get_command", cache(get_command))
        yield


def _allow_what_does_not_block(blocking: BlockBuster) -> None:
    # On a non-blocking socket, and only for pages in memory: proxy/transfer/stretch.py asks before it calls.
    blocking.functions["os.sendfile"].deactivate()
    # asyncpg looks for certificates and passwords in the user's home whenever it connects.
    for function in blocking.functions.values():
        function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
