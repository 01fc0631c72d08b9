"""A whole Glint in the test's own loop, on real sockets: its blocking calls are caught, its insides can be seen."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from cache import Digest
from proxy.commands.serve import listening
from proxy.config import Config
from proxy.fronts import API, opened_api
from proxy.services import Services, open_services
from tests.content import Content
from tests.tables import sqlite_url


@dataclass(frozen=True, slots=True)
class Served:
    """`session` asks the Glint at `url`; `services` are its insides."""

    url: str
    services: Services
    session: aiohttp.ClientSession

    async def register(self, content: Content, url: str, *, digest: Digest | None = None, **fields: Any) -> str:
        """An active image whose bytes lie behind `url`, and its id. The digest is the content's unless given."""
        digest = digest or Digest("sha512", content.digest())
        body = {"disk_format": "raw", "container_format": "bare", **fields}
        async with self.session.post(f"{self.url}/v2/images", json=body) as answer:
            assert answer.status == 201, await answer.text()
            image_id = str((await answer.json())["id"])
        proof = {"os_hash_algo": digest.algorithm, "os_hash_value": digest.value}
        location = {"url": url, "validation_data": proof}
        async with self.session.post(f"{self.url}/v2/images/{image_id}/locations", json=location) as answer:
            assert answer.status == 202, await answer.text()
        return image_id

    def file_url(self, image_id: str) -> str:
        return f"{self.url}/v2/images/{image_id}/file"

    async def fetch(self, image_id: str) -> bytes:
        """The whole body. Raises aiohttp.ClientError for one that did not end as announced."""
        async with self.session.get(self.file_url(image_id)) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    def counted(self, name: str, **labels: str) -> float:
        """A sample of /metrics; 0 if it never counted."""
        return self.services.instruments.registry.get_sample_value(name, labels) or 0.0

    async def until(self, holds: Callable[[], bool], timeout_s: float = 30) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110 - a running Glint has no event for its tests
                await asyncio.sleep(0.01)

    async def until_cached(self, image_id: str, timeout_s: float = 30) -> None:
        """Wait until the image's entry is published and written down, which comes a moment later."""
        async with asyncio.timeout(timeout_s):
            while await self.services.cache.entry(image_id) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def config_for(folder: Path, changes: Mapping[str, Any] | None = None) -> Config:
    """The defaults, with every path in `folder`, free ports and an http store; `changes` are merged in."""
    document: dict[str, Any] = {
        "server": {"port": 0},
        "metrics": {"port": 0},
        "cache": {"dir": folder / "cache", "size_max": "64 MiB"},
        "stores": {
            "default": "local",
            "backends": {"local": {"kind": "file", "dir": folder / "images"}, "web": {"kind": "http"}},
        },
        "registry": {"url": sqlite_url(folder / "registry.db")},
        "api": {
            "staging_dir": folder / "staging",
            "do_secure_hash": False,  # who counts what is read of a store reads it himself
        },
        "logging": {"level": "warning"},
    }
    return Config.model_validate(_merged(document, changes or {}))


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Served]:
    """Started before and drained after the test's body, in its task."""
    async with open_services(config) as services, listening(API, config, opened_api(services)) as (host, port):
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        scheme = "https" if config.server.tls.certificate else "http"
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Served(f"{scheme}://{host}:{port}", services, session)


def _merged(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        inner = document.get(key)
        document[key] = _merged(dict(inner), value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return document
