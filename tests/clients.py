"""Many downloads at once, cheap enough that 64 of them fit a test: threads, large reads, a fast digest."""

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, IncompleteRead
from urllib.parse import urlsplit

import xxhash

from tests.content import MIB, Content


class Cut(Exception):
    """The body ended before its announced length."""


def fast_digest(content: Content) -> str:
    """What `download` gives for the right bytes. Finds any accident; sha512 would be most of a test's time."""
    running = xxhash.xxh3_128()
    for piece in content.pieces():
        running.update(piece)
    return running.hexdigest()


def download(url: str) -> str:
    """Digest of the whole body. Raises Cut."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port, timeout=60)
    running, buffer = xxhash.xxh3_128(), bytearray(MIB)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        left = int(answer.headers["Content-Length"])
        while left:
            count = answer.readinto(buffer)
            if not count:
                raise Cut(f"{left} bytes are missing")
            running.update(memoryview(buffer)[:count])
            left -= count
    except (IncompleteRead, ConnectionError) as error:
        raise Cut(str(error)) from error
    finally:
        connection.close()
    return running.hexdigest()


def download_at_once(url: str, clients: int) -> list[str]:
    with ThreadPoolExecutor(clients) as threads:
        return list(threads.map(download, [url] * clients))
