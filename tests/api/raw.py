"""Requests byte by byte, as no well-behaved client would send them."""

import asyncio
from collections.abc import Iterable
from urllib.parse import urlsplit


async def send(
    url: str, method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b""
) -> tuple[int, bytes]:
    """Status and all that came after the head. 0: the connection was closed without an answer."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: " + parts.netloc.encode()]
        lines += [name + b": " + value for name, value in headers]
        lines += [b"Content-Length: %d" % len(body), b"Connection: close"]
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        async with asyncio.timeout(30):
            await writer.drain()
            head = await reader.readline()
            rest = await reader.read()
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    words = head.split(b" ", 2)
    return (int(words[1]), rest) if len(words) > 1 else (0, rest)
