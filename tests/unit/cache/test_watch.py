"""The disk's operations as threads run them: what is counted, what hangs, and how a disk comes back."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cache.health import DiskState
from cache.watch import DiskWatch
from metrics import Instruments


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Disk:
    """A watch, its clock, and what was counted."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.instruments = Instruments()
        self.watch = DiskWatch(self.instruments, self.clock)

    def fail(self, number: int, name: str = "write") -> None:
        with pytest.raises(OSError, match="refused"), self.watch.operation(name):
            raise OSError(number, "refused")

    def errors(self, name: str) -> float:
        return self.instruments.registry.get_sample_value("glint_disk_errors_total", {"operation": name}) or 0.0

    def exposed_state(self) -> float | None:
        return self.instruments.registry.get_sample_value("glint_disk_state")


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_faults_are_counted_by_operation_and_take_the_disk_out_of_service(disk: Disk) -> None:
    disk.fail(errno.EIO)
    disk.fail(errno.EROFS)
    assert disk.watch.is_usable
    disk.fail(errno.EIO, "read")
    assert disk.watch.state is DiskState.UNSTABLE
    assert (disk.errors("write"), disk.errors("read")) == (2, 1)
    assert disk.exposed_state() == DiskState.UNSTABLE


def test_a_full_disk_is_counted_and_stays_in_service(disk: Disk) -> None:
    for _ in range(5):
        disk.fail(errno.ENOSPC)
    assert disk.watch.is_usable
    assert disk.errors("write") == 5


def test_a_missing_file_is_no_error_of_the_disk(disk: Disk) -> None:
    for _ in range(5):
        disk.fail(errno.ENOENT)
    assert disk.watch.is_usable
    assert disk.errors("write") == 0


def test_an_operation_that_hangs_is_seen_while_it_hangs_and_counted_once(disk: Disk) -> None:
    begun, gate = threading.Event(), threading.Event()

    def hang() -> None:
        with disk.watch.operation("sync"):
            begun.set()
            gate.wait(30)

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(hang)
        assert begun.wait(30)
        disk.clock.now_s += 30
        assert disk.watch.overdue() is None
        assert disk.watch.check() is DiskState.HEALTHY

        disk.clock.now_s += 0.1
        assert disk.watch.overdue() == "sync"
        assert disk.watch.check() is DiskState.UNSTABLE
        assert disk.watch.check() is DiskState.UNSTABLE
        gate.set()
        hanging.result(30)

    assert disk.watch.overdue() is None
    assert disk.errors("sync") == 1


def test_an_operation_that_took_too_long_counts_though_nobody_looked(disk: Disk) -> None:
    with disk.watch.operation("read"):
        disk.clock.now_s += 31
    assert disk.watch.state is DiskState.UNSTABLE
    assert disk.errors("read") == 1


def test_time_alone_takes_an_unstable_disk_down(disk: Disk) -> None:
    with disk.watch.operation("read"):
        disk.clock.now_s += 31
    disk.clock.now_s += 1800
    assert disk.watch.check() is DiskState.DOWN
    assert disk.exposed_state() == DiskState.DOWN


def test_probes_bring_a_disk_back_and_leave_nothing_behind(disk: Disk, tmp_path: Path) -> None:
    for _ in range(3):
        disk.fail(errno.EIO)
    probes = 0
    for _ in range(120):
        if disk.watch.may_probe():
            assert disk.watch.probe(tmp_path)
            probes += 1
        disk.clock.now_s += 1
        disk.watch.check()
    assert disk.watch.is_usable
    assert probes == 11
    assert disk.exposed_state() == DiskState.HEALTHY
    assert list(tmp_path.iterdir()) == []


def test_a_healthy_disk_is_not_probed(disk: Disk, tmp_path: Path) -> None:
    assert not disk.watch.may_probe()
    assert not disk.watch.probe(tmp_path)


@pytest.mark.parametrize("call", ["open", "pwrite", "fsync", "pread", "unlink"])
def test_a_probe_that_fails_is_a_fault_and_raises_nothing(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    for _ in range(3):
        disk.fail(errno.EIO, "before")

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.EIO, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        assert not disk.watch.probe(tmp_path)
    names = ("create", "write", "sync", "read", "remove")
    assert sum(disk.errors(name) for name in names) == 1
    assert not disk.watch.is_usable


def test_a_disk_that_gives_other_bytes_back_is_at_fault(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        disk.fail(errno.EIO)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", lambda _fd, length, _offset: b"\0" * length)
        assert not disk.watch.probe(tmp_path)
    assert disk.errors("read") == 1


def test_a_probe_that_hangs_is_not_followed_by_another(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        disk.fail(errno.EIO)
    begun, gate = threading.Event(), threading.Event()
    fsync = os.fsync

    def hang(fd: int) -> None:
        begun.set()
        gate.wait(30)
        fsync(fd)

    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", hang)
        hanging = pool.submit(disk.watch.probe, tmp_path)
        assert begun.wait(30)
        disk.clock.now_s += 60
        assert not disk.watch.may_probe()
        assert not disk.watch.probe(tmp_path)
        gate.set()
        assert hanging.result(30)
    assert disk.watch.may_probe()


def test_sixteen_threads_lose_no_operation(disk: Disk) -> None:
    barrier = threading.Barrier(16)

    def work() -> None:
        barrier.wait(30)
        for number in range(200):
            if number % 4 == 0:
                disk.fail(errno.EIO)
            else:
                with disk.watch.operation("write"):
                    pass

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(work) for _ in range(16)]:
            done.result(60)
    assert disk.errors("write") == 16 * 50
    disk.clock.now_s += 3600
    assert disk.watch.overdue() is None
