"""A registry's SQLite file with its tables: made once, then copied, as making them takes longer than most tests."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from upstream.registry import RegistryConfig, open_registry


def sqlite_url(path: Path) -> str:
    """The URL of a registry at `path`, where an empty one lies by then unless there is one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_empty())
    return f"sqlite:///{path}"


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:  # a test's loop runs in this one
        return thread.submit(lambda: asyncio.run(_made(Path(folder) / "registry.db"))).result()


async def _made(path: Path) -> bytes:
    async with open_registry(RegistryConfig(url=f"sqlite:///{path}")):
        pass
    return await asyncio.to_thread(path.read_bytes)
