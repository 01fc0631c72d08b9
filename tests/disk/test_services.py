"""A whole `glint serve` whose disk fails, made up or real: its clients get every byte, and it recovers by itself."""

import errno
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clients import download, download_at_once, fast_digest
from tests.content import MIB, Noise
from tests.disk.book import ALL, INDEXING
from tests.disk.faults import DISK_FAULTS
from tests.disk.mounts import MountedGlint, can_mount
from tests.disk.shim import RemoteDiskFaults
from tests.glint import Glint
from tests.origin import Origin

CONTENTS = [Noise(5 * MIB + n, seed=40 + n) for n in range(3)]
SETTINGS = {"cache.free_min": 0, "cache.min_age_s": 0, "logging.level": "info"}
RECOVERS_S = 60
LOCATE_S = 2  # so long a hanging disk may keep a client from its first byte


def until(holds: Callable[[], bool], timeout_s: float = RECOVERS_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.05)


def registered(glint: Glint, origin: Origin) -> list[str]:
    """The URLs of the images' data."""
    for number, content in enumerate(CONTENTS):
        origin.add(f"disk-{number}", content)
    return [
        f"{glint.url}/v2/images/{glint.register(origin.url(f'disk-{number}'), content)}/file"
        for number, content in enumerate(CONTENTS)
    ]


def is_hit(glint: Glint, url: str, content: Noise) -> bool:
    hits = glint.metrics().value("glint_downloads_total", outcome="hit")
    assert download(url) == fast_digest(content)
    return glint.metrics().value("glint_downloads_total", outcome="hit") > hits


@pytest.mark.parametrize(
    "fault", ["full", pytest.param("EIO on all", marks=pytest.mark.long), pytest.param("hangs", marks=pytest.mark.long)]
)
def test_a_service_of_two_workers_serves_cold_and_hot_past_a_bad_disk(tmp_path: Path, fault: str) -> None:
    disk = RemoteDiskFaults(tmp_path / "cache", tmp_path)
    settings = SETTINGS | {"server.workers": 2}
    with Origin() as origin, Glint(tmp_path, settings, environment=disk.environment) as glint:
        hot, cold, _ = registered(glint, origin)
        until(lambda: is_hit(glint, hot, CONTENTS[0]))
        DISK_FAULTS[fault](disk)
        began_s = time.monotonic()
        assert download_at_once(cold, 4) == [fast_digest(CONTENTS[1])] * 4
        assert download_at_once(hot, 4) == [fast_digest(CONTENTS[0])] * 4
        assert time.monotonic() - began_s < 2 * LOCATE_S + 6
        assert disk.fired
        disk.heal()
        assert download(cold) == fast_digest(CONTENTS[1])
        if fault == "full":  # after the others it stays away from the disk for a minute
            until(lambda: is_hit(glint, cold, CONTENTS[1]))


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_starts_and_stops_and_has_its_workers_replaced_while_its_disk_hangs(
    tmp_path: Path, workers: int
) -> None:
    disk = RemoteDiskFaults(tmp_path / "cache", tmp_path)
    disk.hang((ALL | INDEXING) - {"sendfile"})
    settings = SETTINGS | {"server.workers": workers}
    with Origin() as origin, Glint(tmp_path, settings, environment=disk.environment) as glint:
        urls = registered(glint, origin)
        assert gone_round(glint, urls)
        assert glint.get("/v2/cache").status == 503
        if workers > 1:
            killed = glint.worker_pids
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            until(lambda: glint.log.count("worker.started") == 2 * workers, 60)
            assert gone_round(glint, urls)
        os.kill(glint.pid, signal.SIGTERM)
        until(lambda: not glint.is_running)
        assert glint.log.count("server.left") == workers
        assert "worker.died" not in glint.log.partition("server.draining")[2]
        disk.heal()
        glint.stop()
        glint.start()
        until(lambda: is_hit(glint, urls[0], CONTENTS[0]))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=marks)
        for kind, marks in {"tmpfs": [], "ext4": [pytest.mark.long]}.items()
        if can_mount(kind)
    ],
)
def test_a_disk_smaller_than_the_limit_and_filled_by_others_costs_no_client_a_byte(tmp_path: Path, kind: str) -> None:
    """Here also the index finds no room."""
    settings = SETTINGS | {"cache.size_max": "1 GiB"}
    with Origin() as origin, MountedGlint(tmp_path, settings, kind=kind, size_bytes=14 * MIB) as glint:
        urls = registered(glint, origin)
        for _ in range(2):
            for url, content in zip(urls, CONTENTS, strict=True):
                assert download(url) == fast_digest(content)
        foreign = glint.cache_inside / "entries" / "foreign"
        with foreign.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(MIB))
        for url, content in zip(urls, CONTENTS, strict=True):
            assert download_at_once(url, 2) == [fast_digest(content)] * 2
        foreign.unlink()
        until(lambda: is_hit(glint, urls[0], CONTENTS[0]))
        parts = [glint.cache_inside / name for name in ("fills", "leaving")]
        until(lambda: not any(any(part.iterdir()) for part in parts))


@pytest.mark.parametrize("kind", [kind for kind in ("ext4",) if can_mount(kind)])
def test_a_file_system_that_gave_up_is_gone_round(tmp_path: Path, kind: str) -> None:
    """ext4 after an error: nothing can be written, what is there can be read."""
    with Origin() as origin, MountedGlint(tmp_path, SETTINGS, kind=kind, size_bytes=64 * MIB) as glint:
        urls = registered(glint, origin)
        until(lambda: is_hit(glint, urls[0], CONTENTS[0]))
        glint.give_up()
        with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
            (glint.cache_inside / "x").touch()
        for _ in range(2):
            for url, content in zip(urls, CONTENTS, strict=True):
                assert download_at_once(url, 2) == [fast_digest(content)] * 2


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in ("ext4",) if can_mount(kind)])
def test_a_file_system_that_the_kernel_holds_costs_no_client_a_byte(tmp_path: Path, kind: str) -> None:
    """Here the index hangs in SQLite's own calls, and in pages of memory that it shares."""
    settings = SETTINGS | {"server.workers": 2}
    with Origin() as origin, MountedGlint(tmp_path, settings, kind=kind, size_bytes=64 * MIB) as glint:
        urls = registered(glint, origin)
        until(lambda: is_hit(glint, urls[0], CONTENTS[0]))
        with glint.hanging(25):
            began_s = time.monotonic()
            assert download_at_once(urls[0], 4) == [fast_digest(CONTENTS[0])] * 4
            assert download_at_once(urls[1], 4) == [fast_digest(CONTENTS[1])] * 4
            assert glint.metrics().value("glint_workers") == 2
            assert time.monotonic() - began_s < 2 * LOCATE_S + 6
            assert glint.get("/v2/cache").status == 503
            assert is_hit(glint, urls[0], CONTENTS[0])
            assert time.monotonic() - began_s < 20, "it had thawed by then"
        until(lambda: is_hit(glint, urls[1], CONTENTS[1]))
        assert glint.get("/v2/cache").status == 200


def until_used(glint: Glint) -> None:
    """Until no worker goes round the cache."""
    until(lambda: glint.metrics().value("glint_disk_state") == 0)


def gone_round(glint: Glint, urls: list[str]) -> bool:
    """Whether several clients who ask at once for each image go past the cache. All of them get its bytes."""
    before = glint.metrics()
    for url, content in zip(urls, CONTENTS, strict=True):
        assert download_at_once(url, 4) == [fast_digest(content)] * 4
    count = before.value("glint_downloads_total") + 4 * len(urls)
    glint.until_counted(count, "glint_downloads_total")
    past = before.value("glint_downloads_total", outcome="bypass")
    return glint.metrics().value("glint_downloads_total", outcome="bypass") == past + 4 * len(urls)


@pytest.mark.parametrize("kind", [kind for kind in ("tmpfs",) if can_mount(kind)])
def test_a_service_starts_on_a_full_disk_and_uses_it_once_there_is_room(tmp_path: Path, kind: str) -> None:
    settings = SETTINGS | {"server.workers": 2, "cache.dir": "cache/images"}
    disk = MountedGlint(tmp_path, settings, kind=kind, size_bytes=32 * MIB, foreign="foreign")
    with Origin() as origin, disk as glint:
        urls = registered(glint, origin)
        assert glint.metrics().value("glint_disk_state") == 1
        assert gone_round(glint, urls)
        for refused in (glint.get("/v2/cache"), glint.request("PUT", f"/v2/cache/{urls[0].split('/')[-2]}")):
            assert refused.status == 503
            assert os.strerror(errno.ENOSPC) in refused.content.decode()
        (glint.cache_inside / "foreign").unlink()
        until_used(glint)
        assert not gone_round(glint, urls)
        until(lambda: is_hit(glint, urls[0], CONTENTS[0]))


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in ("tmpfs", "ext4") if can_mount(kind)])
def test_workers_are_replaced_on_a_disk_that_became_read_only_and_use_it_when_it_is_not(
    tmp_path: Path, kind: str
) -> None:
    settings = SETTINGS | {"server.workers": 2}
    with Origin() as origin, MountedGlint(tmp_path, settings, kind=kind, size_bytes=64 * MIB) as glint:
        urls = registered(glint, origin)
        until(lambda: is_hit(glint, urls[0], CONTENTS[0]) and glint.log.count("worker.started") == 2)
        with glint.frozen():
            killed = glint.worker_pids
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            until(glint.become_read_only)
        until(lambda: len(set(glint.worker_pids) - set(killed)) == 2 and glint.log.count("cache.unopened") == 2)
        assert gone_round(glint, urls)
        assert glint.metrics().value("glint_disk_state") == 1
        glint.become_writable()
        until_used(glint)
        until(lambda: is_hit(glint, urls[0], CONTENTS[0]))
        assert not gone_round(glint, urls)
        until(lambda: is_hit(glint, urls[2], CONTENTS[2]))
