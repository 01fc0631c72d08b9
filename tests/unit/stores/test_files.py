"""The file store's files: faults of the disk, of other processes, and of names."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

import pytest

from upstream.errors import DataNotFound, Denied, Duplicate, Invalid, StoreFull, Unavailable, UpstreamError, WrongLength
from upstream.stores.file import FileStore, FileStoreConfig, Folder, open_store
from upstream.stores.file.files import Whole
from upstream.stores.file.folders import Folders
from upstream.stores.file.parts import How, Part
from upstream.types import Location

IMAGE_ID = "8f1f5a0e-0000-4000-8000-000000000001"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder("local", tmp_path / "images")
    made.prepare()
    return made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    opened = await open_store("local", FileStoreConfig(kind="file", dir=tmp_path / "images"))
    yield opened
    await opened.close()


def names(folder: Folder) -> list[str]:
    return sorted(path.name for path in folder.dir.iterdir())


def part_in(folder: Folder, mode: int | None = None) -> Part:
    return Part(Folders("local", [folder]), IMAGE_ID, How(mode=mode))


def written(folder: Folder, data: bytes = b"data", mode: int | None = None) -> Part:
    part = part_in(folder, mode)
    part.open(len(data))
    part.append([data])
    return part


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, Denied),
        (errno.EROFS, Denied),
        (errno.EIO, Unavailable),
        (errno.ESTALE, Unavailable),
        (errno.ENOENT, DataNotFound),
        (errno.ELOOP, DataNotFound),
        (errno.EEXIST, Duplicate),
    ],
)
@pytest.mark.parametrize("call", ["writev", "fdatasync", "link"])
def test_a_fault_of_the_disk_has_a_name_and_leaves_nothing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, number: int, error: type[UpstreamError], call: str
) -> None:
    part = part_in(folder)
    part.open(None)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/secret/path")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(error) as caught:
        _write_out(part)
    part.abandon()

    assert names(folder) == []
    assert "/secret/path" not in str(caught.value)


def _write_out(part: Part) -> None:
    part.append([b"data"])
    part.publish()


def test_short_writes_are_continued(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.writev
    part = part_in(folder)
    part.open(None)
    monkeypatch.setattr(os, "writev", lambda fd, buffers: real(fd, [bytes(buffers[0])[:3]]))

    part.append([b"0123456789", b"", b"abcdef"])
    part.publish()

    assert (folder.dir / IMAGE_ID).read_bytes() == b"0123456789abcdef"
    assert part.size_bytes == 16


def test_an_upload_that_cannot_fit_is_refused_before_its_first_byte(folder: Folder) -> None:
    with pytest.raises(StoreFull):
        part_in(folder).open(1 << 62)
    assert names(folder) == []


def test_a_publish_that_ends_after_its_caller_was_cancelled_is_undone(folder: Folder) -> None:
    part = written(folder)
    part.publish()

    part.abandon()

    assert names(folder) == []


def test_calls_that_come_after_abandoning_do_nothing(folder: Folder) -> None:
    part = written(folder)
    part.abandon()

    part.append([b"late"])
    part.publish()
    part.open(None)
    part.abandon()

    assert names(folder) == []


def test_abandoning_a_loser_keeps_the_winner(folder: Folder) -> None:
    loser = written(folder, b"loser")
    written_first = part_in(folder)
    written_first.open(None)
    written_first.append([b"winner"])
    written_first.publish()

    with pytest.raises(Duplicate):
        loser.publish()
    loser.abandon()

    assert names(folder) == [IMAGE_ID]
    assert (folder.dir / IMAGE_ID).read_bytes() == b"winner"


def test_the_files_mode_is_the_configured_one(folder: Folder) -> None:
    written(folder, mode=0o640).publish()

    assert (folder.dir / IMAGE_ID).stat().st_mode & 0o777 == 0o640


def test_a_closed_file_is_neither_opened_nor_read(folder: Folder) -> None:
    written(folder).publish()
    whole = Whole(Folders("local", [folder]), PurePosixPath(folder.dir / IMAGE_ID))

    whole.close()

    assert whole.open() == 0
    assert whole.read(0, 10) == b""


_WRITER = """
import sys, time
from pathlib import Path
from upstream.stores.file.files import Folder
from upstream.stores.file.folders import Folders
from upstream.stores.file.parts import How, Part
part = Part(Folders("local", [Folder("local", Path(sys.argv[1]))]), "killed", How())
part.open(None)
part.append([b"half of it"])
print("begun", flush=True)
sys.stdin.read()
"""


def test_a_killed_writers_part_is_removed_and_a_living_ones_is_not(folder: Folder) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder.dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        assert folder.prepare() == 0
        writer.send_signal(signal.SIGKILL)
    assert len(names(folder)) == 1

    assert folder.prepare() == 1
    assert names(folder) == []


def test_other_files_of_the_folder_are_left_alone(folder: Folder) -> None:
    for name in (".nfs0001", "image.part", ".image.part", IMAGE_ID, ".x.0123456789abcdef.parts"):
        (folder.dir / name).touch()
    (folder.dir / ".x.0123456789abcdef.part").touch()

    assert folder.prepare() == 1
    assert len(names(folder)) == 5


async def test_a_write_cancelled_while_it_is_published_leaves_nothing(
    store: FileStore, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, go_on, real = threading.Event(), threading.Event(), os.fdatasync

    def slow_sync(fd: int) -> None:
        syncing.set()
        go_on.wait(10)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", slow_sync)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(store.write(IMAGE_ID, _one(b"data"), 4))
        await asyncio.to_thread(syncing.wait, 10)
        writing.cancel()
        await asyncio.sleep(0)
        go_on.set()

    assert writing.cancelled()
    assert await asyncio.to_thread(names, folder) == []


async def _one(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


async def test_a_location_outside_the_folder_is_invalid(store: FileStore, folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "images-other").mkdir()
    (tmp_path / "images-other" / "disk").write_text("s")
    (folder.dir / "way-out").symlink_to(tmp_path / "secret")
    (folder.dir / "up").symlink_to(tmp_path)

    for inside in ("images/way-out", "images/up/secret", "secret", "images-other/disk"):
        location = Location(url=f"file://{tmp_path}/{inside}")
        with pytest.raises(Invalid):
            await store.path(location)
        with pytest.raises(Invalid):
            await store.size(location)
        with pytest.raises(Invalid):
            await store.read(location).__aenter__()
    for inside in ("images/up/secret", "secret"):
        with pytest.raises(Invalid):
            await store.delete(Location(url=f"file://{tmp_path}/{inside}"))
    assert (tmp_path / "secret").exists()


async def test_a_link_is_deleted_by_its_name(store: FileStore, folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (folder.dir / "way-out").symlink_to(tmp_path / "secret")

    await store.delete(Location(url=f"file://{folder.dir}/way-out"))

    assert names(folder) == []
    assert (tmp_path / "secret").exists()


async def test_a_link_inside_the_folder_and_a_linked_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "disk").write_text("data")
    (tmp_path / "real" / "alias").symlink_to("disk")
    (tmp_path / "linked").symlink_to("real")
    store = await open_store("local", FileStoreConfig(kind="file", dir=tmp_path / "linked"))

    for url in (f"file://{tmp_path}/linked/alias", f"filesystem://{tmp_path}/real/disk"):
        assert await store.path(Location(url=url), 4) == tmp_path / "real" / "disk"
    await store.close()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
async def test_what_is_no_regular_file_is_no_data(store: FileStore, folder: Folder, make: object) -> None:
    assert callable(make)
    make(folder.dir / "odd")
    location = Location(url=f"file://{folder.dir}/odd")

    with pytest.raises(DataNotFound):
        await store.path(location)
    with pytest.raises(DataNotFound):
        await store.read(location).__aenter__()


async def test_a_path_is_given_only_for_the_right_size(store: FileStore, folder: Folder) -> None:
    (folder.dir / "disk").write_text("four")

    with pytest.raises(WrongLength):
        await store.path(Location(url=f"file://{folder.dir}/disk"), 5)


async def test_a_file_cut_under_its_reader_is_the_wrong_length(store: FileStore, folder: Folder) -> None:
    size = 4 * 1024 * 1024
    (folder.dir / "disk").write_bytes(bytes(size))

    async with store.read(Location(url=f"file://{folder.dir}/disk")) as chunks:
        first = await anext(chunks)
        os.truncate(folder.dir / "disk", len(first))
        with pytest.raises(WrongLength) as caught:
            await anext(chunks)

    assert (caught.value.expected_bytes, caught.value.got_bytes) == (size, len(first))
