"""A client that leaves while it waits is noticed, and what nobody waits for any more ends, if the policy says so."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.content import MIB, Noise
from tests.origin import Fault, Gate, Origin
from tests.served import Served, config_for, serving

CONTENT = Noise(3 * MIB, seed=23)
TRIES = 3


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as opened:
        yield opened


@pytest.fixture
async def glint(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(config_for(tmp_path, {"cache": {"on_last_client_gone": "cancel"}})) as served:
        yield served


async def asking(glint: Served, image_id: str, **headers: str) -> asyncio.StreamWriter:
    """The connection of a client that has sent its request."""
    url = urlsplit(glint.file_url(image_id))
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    lines = [f"GET {url.path} HTTP/1.1", f"Host: {url.netloc}", *(f"{name}: {text}" for name, text in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await writer.drain()
    return writer


@pytest.mark.parametrize("held_at", [None, MIB], ids=["before the head", "in the body"])
@pytest.mark.parametrize("headers", [{}, {"Cache-Control": "no-store"}], ids=["fill", "past the cache"])
async def test_a_client_that_leaves_while_it_waits_ends_what_is_read_for_it(
    glint: Served, origin: Origin, headers: dict[str, str], held_at: int | None
) -> None:
    """Within a second and a half, of three tries: it is looked for each second, and a busy machine may be late."""
    took_s = []
    for number in range(TRIES):
        name, gate = f"disk-{number}", Gate() if held_at is None else Gate(at=held_at)
        origin.add(name, CONTENT)
        image_id = await glint.register(CONTENT, origin.url(name))
        origin.script(name, Fault(gate=gate))
        client = await asking(glint, image_id, **headers)
        await gate.reached()
        client.close()
        left_s = time.monotonic()
        await glint.until(lambda name=name: origin.counts(name).aborted == 1)  # type: ignore[misc]
        async with asyncio.timeout(30):
            while (await glint.services.cache.usage()).charged_bytes:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        took_s.append(time.monotonic() - left_s)
        if not headers:
            assert glint.counted("glint_fills_total", result="cancelled") == number + 1
        assert await glint.fetch(image_id) == CONTENT.read()
        if took_s[-1] <= 1.5:
            return
        await glint.until_cached(image_id)  # or else there is nothing to evict yet
        await glint.services.cache.evict(image_id)
    pytest.fail(f"{took_s}")


async def test_whoever_else_waits_is_served(glint: Served, origin: Origin) -> None:
    gate = Gate()
    origin.add("disk", CONTENT)
    image_id = await glint.register(CONTENT, origin.url("disk"))
    origin.script("disk", Fault(gate=gate))
    leaving = await asking(glint, image_id)
    await gate.reached()
    async with asyncio.TaskGroup() as group:
        staying = group.create_task(glint.fetch(image_id))
        leaving.close()
        await glint.until(lambda: glint.counted("glint_downloads_aborted_total", reason="client") == 1)
        gate.open()
    assert staying.result() == CONTENT.read()
    assert origin.counts("disk").gets == 1
