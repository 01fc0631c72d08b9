"""A Glint before a Glance, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from proxy.commands.serve import listening
from proxy.config import Config
from proxy.edge import EdgeServices, open_edge
from proxy.fronts import API, opened_api


@dataclass(frozen=True, slots=True)
class Edge:
    """`session` asks the Glint at `url`; `services` are its insides."""

    url: str
    services: EdgeServices
    session: aiohttp.ClientSession

    def counted(self, name: str, **labels: str) -> float:
        """A sample of /metrics; 0 if it never counted."""
        return self.services.instruments.registry.get_sample_value(name, labels) or 0.0

    def file_url(self, image_id: str) -> str:
        return f"{self.url}/v2/images/{image_id}/file"

    async def until_cached(self, image_id: str, fills: int = 1, timeout_s: float = 30) -> None:
        """Wait until the image's entry is published and so many fills have ended well: that comes after the bytes."""
        async with asyncio.timeout(timeout_s):
            while (  # noqa: ASYNC110 - a running Glint has no event for its tests
                not await self.services.cache.has(image_id)
                or self.counted("glint_fills_total", result="finished") < fills
            ):
                await asyncio.sleep(0.01)

    async def fetch(self, image_id: str, token: str) -> bytes:
        """The whole body. Raises aiohttp.ClientError for one that did not end as announced."""
        async with self.session.get(self.file_url(image_id), headers={"X-Auth-Token": token}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()


def config_for(folder: Path, glance_url: str, changes: Mapping[str, Any] | None = None) -> Config:
    """`changes` are keys of `registry.glance`, or whole sections if they are named so."""
    own = {key: value for key, value in (changes or {}).items() if key not in Config.model_fields}
    sections = {key: value for key, value in (changes or {}).items() if key in Config.model_fields}
    document: dict[str, Any] = {
        "server": {"port": 0, "drain_s": 5},
        "metrics": {"port": 0},
        "cache": {"dir": folder / "cache", "size_max": "256 MiB", "fill_idle_s": 5},
        "registry": {"kind": "glance", "connect_s": 5, "glance": {"url": glance_url, **own}},
        "logging": {"level": "warning"},
    }
    for name, section in sections.items():
        document[name] = {**document.get(name, {}), **section}
    return Config.model_validate(document)


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Edge]:
    """Started before and drained after the test's body, in its task."""
    async with open_edge(config) as services, listening(API, config, opened_api(services)) as (host, port):
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Edge(f"http://{host}:{port}", services, session)
