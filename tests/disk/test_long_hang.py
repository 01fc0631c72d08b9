"""For a minute the cache's disk hangs: no request fails, and first bytes come within two seconds of the store's."""

import http.client
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.content import MIB, Noise
from tests.disk.book import ALL, INDEXING
from tests.disk.shim import RemoteDiskFaults
from tests.disk.test_services import SETTINGS
from tests.glint import Glint
from tests.origin import Fault, Origin

HANGS_S = 60.0
LATER_S = 2.0  # than the store, at the 99th percentile
CLIENTS = 12
IMAGES = 60
HOT = 6  # of them; the others are cold
STORE_RATE_BYTES_S = 8 * MIB
_PAUSE_S = 0.2
_CLIENT_S = 60  # more than any pause in mid-body

CONTENTS = [Noise(4 * MIB + n, seed=500 + n) for n in range(IMAGES)]
HANGS = {
    "all": ALL - {"sendfile"},
    "writing": frozenset({"write", "writev", "pwrite", "pwritev", "fchmod", "fsync", "fdatasync", "rename"}),
    "reading": frozenset({"read", "pread", "preadv", "readv"}),
    "opening": frozenset({"open"}),
    "index": INDEXING,
    "all and the index": (ALL | INDEXING) - {"sendfile"},
}


class Asked(NamedTuple):
    """One request: what for, how long its first byte took, and what was wrong with it."""

    kind: str
    first_byte_s: float
    wrong: str = ""


def ask(kind: str, url: str, content: Noise, start: int, stop: int) -> Asked:
    parts, began_s = urlsplit(url), time.monotonic()
    first_s, is_part = float("inf"), stop - start < content.size_bytes
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_CLIENT_S)
    try:
        connection.request("GET", parts.path, headers={"Range": f"bytes={start}-{stop - 1}"} if is_part else {})
        answer = connection.getresponse()
        first = answer.read(1)
        first_s = time.monotonic() - began_s
        if answer.status != (206 if is_part else 200):
            return Asked(kind, first_s, f"status {answer.status}")
        if first + answer.read() != content.read(start, stop):
            return Asked(kind, first_s, "other bytes")
    except (OSError, http.client.HTTPException) as error:
        return Asked(kind, first_s, repr(error))
    finally:
        connection.close()
    return Asked(kind, first_s)


def client(
    number: int, until_s: float, url_of: Callable[[int], str], store_url_of: Callable[[int], str]
) -> list[Asked]:
    """Hot and cold images, whole and in parts, and as often the store itself; until the disk is to be well again."""
    chance, asked = random.Random(number), []
    while time.monotonic() < until_s:
        is_hot, is_part = chance.random() < 0.4, chance.random() < 0.5
        image = chance.randrange(HOT) if is_hot else chance.randrange(HOT, IMAGES)
        content = CONTENTS[image]
        start = chance.randrange(content.size_bytes - MIB) if is_part else 0
        stop = start + MIB // 2 if is_part else content.size_bytes
        kind = f"{'hot' if is_hot else 'cold'} {'part' if is_part else 'whole'}"
        asked.append(ask(kind, url_of(image), content, start, stop))
        asked.append(ask("store", store_url_of(image), content, start, stop))
        time.sleep(_PAUSE_S)
    return asked


def p99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("hang", HANGS)
def test_a_disk_that_hangs_for_a_minute_costs_no_request_and_little_of_the_first_byte(
    tmp_path: Path, hang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = RemoteDiskFaults(tmp_path / "cache", tmp_path)
    settings = SETTINGS | {"server.workers": 2, "logging.level": "warning"}
    with Origin() as origin, Glint(tmp_path, settings, environment=disk.environment) as glint:
        names = [f"disk-{number}" for number in range(IMAGES)]
        for name, content in zip(names, CONTENTS, strict=True):
            origin.add(name, content)
        ids = [glint.register(origin.url(name), content) for name, content in zip(names, CONTENTS, strict=True)]
        urls = [f"{glint.url}/v2/images/{image_id}/file" for image_id in ids]
        for number in range(HOT):
            until_hot(glint, urls[number], CONTENTS[number])
        for path in (glint.cache_dir / "entries").rglob("*"):
            if path.is_file():
                forget_pages(path)
        for name in names:
            origin.always(name, Fault(rate_bytes_s=STORE_RATE_BYTES_S))

        until_s = time.monotonic() + HANGS_S
        with ThreadPoolExecutor(CLIENTS) as clients:
            running = [
                clients.submit(client, number, until_s, urls.__getitem__, lambda image: origin.url(names[image]))
                for number in range(CLIENTS)
            ]
            time.sleep(2)  # some fills have begun
            disk.hang(HANGS[hang])
            asked = [one for each in running for one in each.result()]
        assert disk.fired
        disk.heal()

    kinds = sorted({one.kind for one in asked})
    took_s = {kind: p99([one.first_byte_s for one in asked if one.kind == kind]) for kind in kinds}
    ours_s = p99([one.first_byte_s for one in asked if one.kind != "store"])
    with capsys.disabled():
        print(
            f"{hang}: {len(asked)} requests, first byte p99 {ours_s:.3f} s,",
            {k: round(v, 3) for k, v in took_s.items()},
        )
    assert [one for one in asked if one.wrong] == []
    assert ours_s <= took_s["store"] + LATER_S, took_s


def until_hot(glint: Glint, url: str, content: Noise) -> None:
    """Ask until it is a hit."""
    deadline_s = time.monotonic() + 60
    while True:
        hits = glint.metrics().value("glint_downloads_total", outcome="hit")
        assert not ask("hot", url, content, 0, content.size_bytes).wrong
        if glint.metrics().value("glint_downloads_total", outcome="hit") > hits:
            return
        assert time.monotonic() < deadline_s


def forget_pages(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
