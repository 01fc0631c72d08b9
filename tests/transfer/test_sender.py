"""Bodies on real sockets: plain and TLS, whole and in part, and every way in which one can fail to be completed."""

import asyncio
import errno
import io
import mmap
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from cache.flight import Flight
from tests.content import KIB, MIB, Content, Fixed, Noise
from tests.descriptors import count_open
from tests.memory import resident_pages
from tests.origin import Origin
from tests.served import Served, config_for, serving
from tests.tls import self_signed

CONTENT = Noise(20 * MIB + 5, seed=11)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as served:
        served.add("disk", CONTENT)
        yield served


@pytest.fixture
async def glint(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(config_for(tmp_path)) as served:
        yield served


async def uploaded(glint: Served, content: Content) -> str:
    """An image in the local file store: served in place."""
    image = {"disk_format": "raw", "container_format": "bare"}
    async with glint.session.post(f"{glint.url}/v2/images", json=image) as answer:
        image_id = str((await answer.json())["id"])
    headers = {"Content-Type": "application/octet-stream"}
    async with glint.session.put(glint.file_url(image_id), data=io.BytesIO(content.read()), headers=headers) as answer:
        assert answer.status == 204
    return image_id


def entry_path(glint: Served, image_id: str) -> Path:
    return glint.services.config.cache.dir / "entries" / image_id[:2] / image_id


async def test_an_uploaded_image_is_served_in_place_without_a_second_copy(glint: Served) -> None:
    image_id = await uploaded(glint, CONTENT)
    assert await glint.fetch(image_id) == CONTENT.read()
    await glint.until(lambda: glint.counted("glint_downloads_total", outcome="local") == 1)
    assert not entry_path(glint, image_id).exists()


@pytest.mark.parametrize("size_bytes", [0, 1, 64 * KIB - 1, MIB, 2 * MIB + 1])
async def test_bodies_of_every_size_arrive_whole(glint: Served, size_bytes: int) -> None:
    content = Fixed(b"x" * size_bytes) if size_bytes == 0 else Noise(size_bytes, seed=size_bytes)
    image_id = await uploaded(glint, content)
    assert await glint.fetch(image_id) == content.read()


async def test_a_connection_carries_a_second_request_after_a_body_by_sendfile(glint: Served) -> None:
    image_id = await uploaded(glint, CONTENT)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for _ in range(3):
            async with session.get(glint.file_url(image_id)) as answer:
                assert await answer.read() == CONTENT.read()
            async with session.get(f"{glint.url}/v2/images/{image_id}") as answer:
                assert (await answer.json())["size"] == CONTENT.size_bytes


async def test_requests_sent_ahead_are_answered_one_after_another(glint: Served) -> None:
    image_id = await uploaded(glint, Noise(100 * KIB, seed=1))
    head = f"GET /v2/images/{image_id}/file HTTP/1.1\r\nHost: glint\r\n".encode()
    reader, writer = await asyncio.open_connection(*address(glint), limit=MIB)
    writer.write(head + b"\r\n" + head + b"Connection: close\r\n\r\n")
    answers = await reader.read()
    writer.close()
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.count(Noise(100 * KIB, seed=1).read()) == 2


async def test_tls_bodies_are_as_right_as_plain_ones(tmp_path: Path, origin: Origin) -> None:
    certificate, key = await asyncio.to_thread(self_signed, tmp_path)
    config = config_for(tmp_path, {"server": {"tls": {"certificate": certificate, "key": key}}})
    async with serving(config) as glint:
        glint.session.connector._ssl = ssl.create_default_context(cafile=certificate)  # type: ignore[union-attr]
        image_id = await glint.register(CONTENT, origin.url("disk"))
        assert await glint.fetch(image_id) == CONTENT.read()
        assert await glint.fetch(image_id) == CONTENT.read()
        async with glint.session.get(glint.file_url(image_id), headers={"Range": "bytes=-7"}) as answer:
            assert await answer.read() == CONTENT.read(CONTENT.size_bytes - 7)
    assert origin.counts("disk").gets == 1


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
async def test_a_disk_that_hangs_in_mid_body_leaves_the_rest_to_the_store(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch, is_tls: bool
) -> None:
    certificate, key = await asyncio.to_thread(self_signed, tmp_path)
    tls = {"server": {"tls": {"certificate": certificate, "key": key}}} if is_tls else {}
    async with serving(config_for(tmp_path, tls)) as glint:
        if is_tls:
            glint.session.connector._ssl = ssl.create_default_context(cafile=certificate)  # type: ignore[union-attr]
        image_id = await glint.register(CONTENT, origin.url("disk"))
        await glint.fetch(image_id)
        await glint.until_cached(image_id)
        await asyncio.to_thread(forget_pages, entry_path(glint, image_id))
        monkeypatch.setattr("proxy.transfer.pages.DISK_S", 0.5)
        healed = threading.Event()
        hanging = [glint.services.sender._cold.submit(healed.wait) for _ in range(8)]
        try:
            assert await glint.fetch(image_id) == CONTENT.read()
        finally:
            healed.set()
        assert all(call.result() for call in hanging)
    assert origin.counts("disk").gets == 2


async def test_pages_that_are_not_in_memory_are_sent_all_the_same(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    await glint.fetch(image_id)
    await glint.until_cached(image_id)
    await asyncio.to_thread(forget_pages, entry_path(glint, image_id))
    assert await glint.fetch(image_id) == CONTENT.read()


async def at_most_resident(path: Path, size_bytes: int) -> None:
    """Wait for it: the entry can be seen a moment before its pages are let go."""
    async with asyncio.timeout(30):
        while await asyncio.to_thread(resident_pages, path) * mmap.PAGESIZE > size_bytes:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_large_image_that_one_client_reads_once_does_not_stay_in_memory(tmp_path: Path, origin: Origin) -> None:
    """Neither after it was written nor after it was sent from the disk, beyond what waits in the sockets."""
    content = origin.add("large", Noise(48 * MIB, seed=8))
    async with serving(config_for(tmp_path, {"cache": {"drop_behind_min": "16 MiB"}})) as glint:
        image_id = await glint.register(content, origin.url("large"))
        for _ in range(2):
            connection = asking(glint, image_id, window_bytes=256 * KIB)
            assert await asyncio.to_thread(drained, connection) > content.size_bytes
            await glint.until_cached(image_id)
            await at_most_resident(entry_path(glint, image_id), 8 * MIB)
            connection.close()


async def test_a_client_that_takes_nothing_is_cut_after_the_idle_time(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, {"server": {"client_idle_s": 1}})) as glint:
        image_id = await uploaded(glint, CONTENT)
        connection = asking(glint, image_id)
        try:
            await glint.until(lambda: glint.counted("glint_downloads_aborted_total", reason="client") == 1)
        finally:
            connection.close()


async def test_a_client_that_goes_away_is_noticed_and_costs_no_descriptor(glint: Served) -> None:
    image_id = await uploaded(glint, CONTENT)
    before = count_open()
    for _ in range(20):
        await asyncio.to_thread(begun, asking(glint, image_id))
    await glint.until(lambda: glint.counted("glint_downloads_total", outcome="local") == 20)
    await glint.until(lambda: count_open() <= before)


async def test_a_client_that_leaves_when_the_head_is_out_is_no_matter_of_the_disk(
    glint: Served, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is the store asked for his sake, nor the entry read back."""
    image_id = await glint.register(CONTENT, origin.url("disk"))
    await glint.fetch(image_id)
    await glint.until_cached(image_id)

    async def left(transport: asyncio.Transport, *_: object, **__: object) -> None:
        transport.abort()
        await asyncio.sleep(0.05)

    monkeypatch.setattr("proxy.transfer.sender.drain", left)
    with suppress(aiohttp.ClientError):
        await glint.fetch(image_id)
    await glint.until(lambda: glint.counted("glint_downloads_aborted_total", reason="client") == 1)
    assert origin.counts("disk").gets == 1


async def test_a_process_without_free_descriptors_does_not_take_it_for_a_damaged_file(
    glint: Served, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    await glint.fetch(image_id)
    await glint.until_cached(image_id)
    suspects: list[Flight] = []

    def none_free(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("cache.housekeeping.Housekeeping.suspect", lambda _, flight: suspects.append(flight))
    monkeypatch.setattr("proxy.transfer.sender.Stretch", none_free)
    assert await glint.fetch(image_id) == CONTENT.read()
    assert not suspects


async def test_a_file_cut_under_us_never_ends_cleanly(glint: Served) -> None:
    image_id = await uploaded(glint, CONTENT)
    connection = asking(glint, image_id)
    await asyncio.to_thread(connection.recv, 1)
    path = glint.services.config.cache.dir.parent / "images" / image_id
    await asyncio.to_thread(os.truncate, path, 8 * MIB)
    got = await asyncio.to_thread(drained, connection)
    connection.close()
    assert got < CONTENT.size_bytes
    # The file was the source as well.
    await glint.until(lambda: glint.counted("glint_downloads_aborted_total", reason="source") == 1)


async def test_an_entry_cut_under_us_is_read_on_at_the_store(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    await glint.fetch(image_id)
    await glint.until_cached(image_id)
    connection = asking(glint, image_id)
    await asyncio.to_thread(connection.recv, 1)
    await asyncio.to_thread(os.truncate, entry_path(glint, image_id), 8 * MIB)
    answer = await asyncio.to_thread(received, connection)
    connection.close()
    assert answer.endswith(CONTENT.read())
    assert origin.counts("disk").ranges[1] == f"bytes={8 * MIB}-"


def address(glint: Served) -> tuple[str, int]:
    host, _, port = glint.url.removeprefix("http://").partition(":")
    return host, int(port)


def asking(glint: Served, image_id: str, window_bytes: int = 4096) -> socket.socket:
    """A connection on which the download was asked for and nothing is read. Its window is small."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
    connection.connect(address(glint))
    connection.sendall(f"GET /v2/images/{image_id}/file HTTP/1.1\r\nHost: glint\r\nConnection: close\r\n\r\n".encode())
    return connection


def begun(connection: socket.socket) -> None:
    """Leave as soon as the answer has begun."""
    connection.recv(1)
    connection.close()


def drained(connection: socket.socket) -> int:
    """Bytes that came until the connection ended, in whatever way."""
    got = 0
    connection.settimeout(10)
    try:
        while piece := connection.recv(MIB):
            got += len(piece)
    except ConnectionError:
        pass
    return got


def received(connection: socket.socket) -> bytes:
    """What is left of the last answer, to the end of its connection."""
    got = bytearray()
    connection.settimeout(30)
    while piece := connection.recv(MIB):
        got += piece
    return bytes(got)


def forget_pages(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
