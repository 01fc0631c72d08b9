"""Uploads that do not go on."""

import asyncio
from pathlib import Path

from tests.served import config_for, serving


async def test_an_upload_that_stalls_is_ended_and_the_image_queued_again(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, {"server": {"client_idle_s": 0.3}})) as glint:
        image = {"disk_format": "raw", "container_format": "bare"}
        async with glint.session.post(f"{glint.url}/v2/images", json=image) as answer:
            path = (await answer.json())["self"]
        host, port = glint.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"PUT {path}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\nabc".encode())
        async with asyncio.timeout(30):
            assert await reader.readline() == b"HTTP/1.1 400 Bad Request\r\n"
            assert b"No image data came for 0.3 s." in await reader.readuntil(b"0.3 s.")
        async with glint.session.get(f"{glint.url}{path}") as answer:
            assert (await answer.json())["status"] == "queued"
        left = await asyncio.to_thread(lambda: list((tmp_path / "images").iterdir()))
        assert left == []
        writer.transport.abort()
