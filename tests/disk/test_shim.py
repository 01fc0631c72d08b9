"""The failing disk fails what it is told to and nothing else, here and in another process."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.disk.shim import DiskFaults, RemoteDiskFaults


def test_the_named_call_fails_so_often_and_then_no_more(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    with DiskFaults(tmp_path) as disk:
        disk.fail("fdatasync", errno.EIO, at=2)
        os.fdatasync(fd)
        with pytest.raises(OSError, match="EIO") as caught:
            os.fdatasync(fd)
        os.fdatasync(fd)
        assert caught.value.errno == errno.EIO
        assert disk.fired == {"fdatasync": 1}
        assert disk.calls["fdatasync"] == 3
    os.close(fd)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_takes_no_new_file_and_no_new_byte_and_gives_what_it_has(tmp_path: Path, error: int) -> None:
    (tmp_path / "old").write_bytes(b"old")
    with DiskFaults(tmp_path) as disk, (tmp_path / "old").open("r+b", buffering=0) as old:
        disk.full(error)
        for refused in (
            lambda: os.pwrite(old.fileno(), b"more", 3),
            lambda: os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT),
            lambda: (tmp_path / "new").write_bytes(b"new"),
            (tmp_path / "folder").mkdir,
        ):
            with pytest.raises(OSError, match=errno.errorcode[error]):
                refused()
        assert (tmp_path / "old").read_bytes() == b"old"
        (tmp_path / "old").rename(tmp_path / "renamed")
        (tmp_path / "renamed").unlink()
        disk.heal()
        (tmp_path / "new").write_bytes(b"new")


def test_a_read_only_disk_refuses_each_change(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with DiskFaults(tmp_path) as disk:
        disk.read_only()
        for refused in (
            path.unlink,
            lambda: path.rename(tmp_path / "y"),
            lambda: path.open("r+b"),
            lambda: path.chmod(0),
        ):
            with pytest.raises(OSError, match="EROFS"):
                refused()
        assert path.read_bytes() == b"old"


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with DiskFaults(tmp_path / "cache") as disk:
        disk.dead()
        (tmp_path / "x").write_bytes(b"x")
        (tmp_path / "cache2").mkdir()
        assert not disk.fired


def test_a_short_write_writes_less_and_says_so(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    with DiskFaults(tmp_path) as disk:
        disk.short("pwrite", 3)
        assert os.pwrite(fd, memoryview(b"12345"), 0) == 3
        assert os.pwrite(fd, memoryview(b"45"), 3) == 2
    assert os.pread(fd, 10, 0) == b"12345"
    os.close(fd)


def test_one_bit_is_wrong_when_it_is_written_or_read(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    with DiskFaults(tmp_path) as disk:
        os.pwrite(fd, bytes(5), 0)
        disk.flip("pread")
        assert os.pread(fd, 5, 0) == b"\0\0\1\0\0"
        disk.flip("preadv")
        buffer = bytearray(5)
        os.preadv(fd, [buffer], 0)
        assert buffer == b"\1\0\0\0\0"
        disk.flip("pwrite")
        os.pwrite(fd, bytes(5), 0)
        assert os.pread(fd, 5, 0) == b"\0\0\1\0\0"
    os.close(fd)


def test_a_hang_lasts_until_it_is_healed(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with DiskFaults(tmp_path) as disk:
        disk.hang("unlink")
        thread = threading.Thread(target=(tmp_path / "x").unlink)
        thread.start()
        while not disk.fired["unlink"]:
            time.sleep(0.001)
        assert (tmp_path / "x").exists()
        disk.heal()
        thread.join(5)
        assert not (tmp_path / "x").exists()


async def test_a_call_that_would_hold_the_loop_is_told(tmp_path: Path) -> None:
    with DiskFaults(tmp_path) as disk:
        disk.hang("mkdir")
        await asyncio.to_thread(lambda: None)
        (tmp_path / "x").mkdir()
        assert disk.held_loops == {"mkdir": 1}


def test_another_process_obeys_while_it_runs(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    disk = RemoteDiskFaults(folder, tmp_path)
    code = f"""
import os, sys
for line in sys.stdin:
    try:
        open({str(folder)!r} + "/x", "w").close()
    except OSError as error:
        print(error.errno, flush=True)
    else:
        print("well", flush=True)
"""
    command = [sys.executable, "-P", "-c", code]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=dict(disk.environment)) as other:
        assert other.stdin is not None
        assert other.stdout is not None

        def answer() -> str:
            assert other.stdin is not None
            assert other.stdout is not None
            print("go", file=other.stdin, flush=True)
            return other.stdout.readline().strip()

        assert answer() == "well"
        disk.fail("open", errno.EIO)
        disk.fail("open", errno.EIO, at=2)
        assert answer() == str(errno.EIO)
        assert answer() == str(errno.EIO)
        assert answer() == "well"
        assert disk.fired["open"] == 2
        disk.read_only()
        assert answer() == str(errno.EROFS)
        disk.heal()
        assert answer() == "well"
        other.stdin.close()
