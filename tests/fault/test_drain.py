"""Told to stop: how long it may take, and what is left of requests that were cut."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.content import MIB, Noise
from tests.served import Served, config_for, serving
from tests.transfer.test_sender import uploaded

CONTENT = Noise(20 * MIB, seed=3)


async def asked(glint: Served, request: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of its own that reads only little ahead."""
    host, port = glint.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(request.encode())
    return reader, writer


@pytest.mark.parametrize(("drain_s", "most_s"), [(0, 5), (3, 6)])
async def test_a_client_that_stops_reading_is_cut_when_the_drain_time_is_over(
    tmp_path: Path, drain_s: float, most_s: float
) -> None:
    """Not after twice that time, nor when a request that was cut has had its time to clean up: ten seconds."""
    async with serving(config_for(tmp_path, {"server": {"drain_s": drain_s}})) as glint:
        image_id = await uploaded(glint, CONTENT)
        reader, writer = await asked(glint, f"GET /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        began_s = time.monotonic()
    assert drain_s <= time.monotonic() - began_s < most_s
    assert glint.counted("glint_downloads_aborted_total", reason="cancelled") == 1
    writer.transport.abort()


async def test_before_it_drains_it_says_so_and_answers_all_the_same(tmp_path: Path) -> None:
    """The health check is what load balancers look at; who keeps a connection is asked to open another, elsewhere."""
    async with serving(config_for(tmp_path)) as glint:
        await glint.services.departure.announce(0)
        for path, status in (("/healthcheck", 503), ("/v2/images", 200)):
            async with glint.session.get(f"{glint.url}{path}", headers={"Connection": "keep-alive"}) as answer:
                assert (answer.status, answer.headers["Connection"]) == (status, "close")
        async with glint.session.head(f"{glint.url}/healthcheck") as answer:
            assert answer.status == 503


async def test_a_stop_does_not_wait_for_the_rest_of_a_body_that_was_refused(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, {"server": {"drain_s": 5}})) as glint:
        head = "PUT /v2/images/nobody/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        reader, writer = await asked(glint, f"{head}Content-Length: 1000\r\n\r\nabc")
        assert await reader.readline() == b"HTTP/1.1 404 Not Found\r\n"
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 5  # the time to drain
    writer.transport.abort()
