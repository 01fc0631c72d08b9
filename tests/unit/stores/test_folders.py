"""Several folders of one file store: which takes an image, and that all are known wherever one is."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.contract.stores.peers import arriving, read_whole
from tests.origin import KIB, MIB, Fixed, Noise
from upstream.errors import DataNotFound, Denied, Duplicate, Invalid, StoreFull
from upstream.stores import StoresConfig, open_staging
from upstream.stores.file import FileStore, FileStoreConfig, open_store
from upstream.stores.file.room import Room, ranked
from upstream.types import Location

IMAGE_ID = "8f1f5a0e-0000-4000-8000-000000000001"
DISK = Noise(3 * MIB + 17, seed=21)


def room(priority: int, free_bytes: int) -> Room:
    return Room(priority=priority, free_bytes=free_bytes)


@pytest.mark.parametrize(
    ("rooms", "needed_bytes", "best"),
    [
        ([room(0, 100)], 100, [0]),
        ([room(0, 99)], 100, []),
        ([room(0, 0)], 0, []),
        ([room(0, -5)], 0, []),
        ([room(1, 100), room(2, 100)], 50, [1, 0]),
        ([room(1, 900), room(2, 100)], 50, [1, 0]),
        ([room(1, 900), room(2, 100)], 101, [0]),
        ([room(5, 100), room(5, 300), room(5, 200)], 10, [1, 2, 0]),
        ([room(5, 100), room(5, 100)], 10, [0, 1]),
        ([room(-1, 900), room(0, 10)], 10, [1, 0]),
    ],
)
def test_the_highest_priority_with_room_takes_it_and_of_equal_ones_that_with_most(
    rooms: list[Room], needed_bytes: int, best: list[int]
) -> None:
    assert ranked(rooms, needed_bytes) == best


@asynccontextmanager
async def opened(*folders: Path, **options: Any) -> AsyncIterator[FileStore]:
    """The first one has the highest priority."""
    dirs = [{"path": folder, "priority": -place} for place, folder in enumerate(folders)]
    store = await open_store("local", FileStoreConfig.model_validate({"kind": "file", "dirs": dirs, **options}))
    try:
        yield store
    finally:
        await store.close()


def free(monkeypatch: pytest.MonkeyPatch, free_bytes: dict[Path, int]) -> None:
    """What the disks of these folders are said to have."""
    real = os.statvfs

    def statvfs(path: Path) -> os.statvfs_result:
        found = list(real(path))
        found[1:5] = [1, found[2], free_bytes.get(Path(path), 0), free_bytes.get(Path(path), 0)]
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", statvfs)


async def test_what_does_not_fit_in_the_first_folder_goes_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    free(monkeypatch, {first: 2 * MIB, second: 4 * MIB})
    async with opened(first, second) as store:
        small = await store.write("small", arriving(Fixed(b"s")), 1)
        large = await store.write("large", arriving(DISK), DISK.size_bytes)
        with pytest.raises(StoreFull, match="no room for 5242880 bytes"):
            await store.write("too-large", arriving(Noise(5 * MIB)), 5 * MIB)

        assert small.location.url == f"file://{first}/small"
        assert large.location.url == f"file://{second}/large"
        assert await read_whole(store, large.location, 5) == DISK.read(5)
        assert await store.path(large.location, DISK.size_bytes) == second / "large"
        assert await store.names() == ["large", "small"]


async def test_what_has_to_stay_free_counts_as_taken_and_is_looked_at_while_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    disks = {first: 10 * MIB, second: 2 * MIB}
    free(monkeypatch, disks)
    async with opened(first, second, free_min="8 MiB") as store:
        with pytest.raises(StoreFull, match="8388608 bytes have to stay free"):
            await store.write(IMAGE_ID, arriving(DISK), DISK.size_bytes)
        stored = await store.write(IMAGE_ID, arriving(Noise(2 * MIB)), 2 * MIB)
        assert stored.location.url == f"file://{first}/{IMAGE_ID}"

        async def growing() -> AsyncIterator[bytes]:
            """Nobody knows how large it is, and others fill the disk meanwhile."""
            for _ in range(8):
                yield bytes(MIB)
                disks[first] -= MIB

        with pytest.raises(StoreFull, match="no room for more"):
            await store.write("other", growing(), None)
    assert [path.name for path in first.iterdir()] == [IMAGE_ID]


async def test_an_id_is_taken_whichever_folder_has_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    async with opened(first, second) as store:
        (second / IMAGE_ID).write_bytes(b"there already")
        with pytest.raises(Duplicate):
            await store.write(IMAGE_ID, arriving(DISK), None)
        assert list(first.iterdir()) == []

        async def meanwhile() -> AsyncIterator[bytes]:
            yield b"data"
            await asyncio.to_thread((second / "other").write_bytes, b"came in between")

        with pytest.raises(Duplicate):
            await store.write("other", meanwhile(), None)
        assert list(first.iterdir()) == []


async def test_data_are_deleted_and_leftovers_removed_in_whichever_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    async with opened(*folders) as store:
        for folder in folders:
            (folder / "old").write_bytes(folder.name.encode())
            (folder / f".{IMAGE_ID}.0123456789abcdef.part").touch()
            (folder / ".other.0123456789abcdef.part").touch()
            (folder / IMAGE_ID).touch()

        await store.delete(Location(url=f"file://{folders[1]}/old"))
        with pytest.raises(DataNotFound):
            await store.delete(Location(url=f"file://{folders[1]}/old"))
        with pytest.raises(Invalid, match="outside the folders"):
            await store.delete(Location(url=f"file://{tmp_path}/old"))
        (tmp_path / "linked").symlink_to(folders[0])
        kept = [Location(url=f"file://{tmp_path}/linked/{IMAGE_ID}"), Location(url="https://example.org/disk")]
        await store.remove_leftover(IMAGE_ID, kept)
        await store.remove_leftover(IMAGE_ID, kept)

    names = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert names == [[".other.0123456789abcdef.part", IMAGE_ID, "old"], [".other.0123456789abcdef.part"]]


async def test_leftovers_of_all_folders_are_removed_at_the_start(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        (folder / f".{IMAGE_ID}.0123456789abcdef.part").touch()
    async with opened(*folders):
        assert [list(folder.iterdir()) for folder in folders] == [[], []]


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Folders that this process may not write to: root may write everywhere, so the kernel's answer is made up."""
    found, real = set[Path](), os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not (mode & os.W_OK and Path(path) in found) and real(path, mode)
    )
    return found


async def test_a_folder_that_may_only_be_read_is_read_and_another_takes_uploads(
    tmp_path: Path, read_only: set[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    (first / "old").write_bytes(b"old")
    read_only.add(first)
    async with opened(first, second) as store:
        stored = await store.write(IMAGE_ID, arriving(DISK), DISK.size_bytes)
        assert stored.location.url == f"file://{second}/{IMAGE_ID}"
        assert await read_whole(store, Location(url=f"file://{first}/old")) == b"old"
        read_only.add(second)
        with pytest.raises(Denied, match="local takes no data: it may not write to its folder"):
            await store.write("other", arriving(DISK), None)
    assert "store.folder_read_only" in capfd.readouterr().out


async def test_a_folder_that_cannot_be_made_is_left_out_unless_it_is_the_only_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bad, good = tmp_path / "file" / "images", tmp_path / "good"
    async with opened(bad, good) as store:
        assert (await store.write(IMAGE_ID, arriving(DISK), None)).location.url == f"file://{good}/{IMAGE_ID}"
    with pytest.raises(
        Denied, match=rf"stores\.backends\.local: {bad} cannot be made or read: Not a directory"
    ) as told:
        async with opened(bad):
            raise AssertionError("opened")
    assert f"uid {os.geteuid()}" in str(told.value)


async def test_a_staging_folder_that_cannot_be_made_is_told_by_the_key_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bad = tmp_path / "file" / "staging"
    with pytest.raises(Denied, match=rf"^api\.staging_dir: {bad} cannot be made or read: Not a directory"):
        async with open_staging(bad):
            raise AssertionError("opened")


async def test_a_folder_that_fails_later_is_passed_over(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    async with opened(first, second) as store:
        first.rmdir()
        first.touch()  # as where a disk went away under its mount point
        assert (await store.write(IMAGE_ID, arriving(DISK), None)).location.url == f"file://{second}/{IMAGE_ID}"


async def test_two_names_of_one_folder_are_one_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    async with opened(tmp_path / "real", tmp_path / "alias") as store:
        stored = await store.write(IMAGE_ID, arriving(DISK), None)
        assert stored.location.url == f"file://{tmp_path}/real/{IMAGE_ID}"
        assert await store.size(Location(url=f"file://{tmp_path}/alias/{IMAGE_ID}")) == DISK.size_bytes


async def test_whom_the_files_are_readable_for_may_enter_the_folder(tmp_path: Path) -> None:
    made, there = tmp_path / "made", tmp_path / "there"
    there.mkdir(mode=0o700)
    async with opened(there, file_mode=0o640) as store:
        stored = await store.write(IMAGE_ID, arriving(DISK), None)
        assert (await store.path(stored.location)).stat().st_mode & 0o777 == 0o640
    assert there.stat().st_mode & 0o777 == 0o710
    async with opened(made, there, file_mode=0o644, dir_mode=0o750):
        assert made.stat().st_mode & 0o777 == 0o750
    assert there.stat().st_mode & 0o777 == 0o710  # the operator's own


async def test_new_locations_have_the_metadata_of_their_mount(tmp_path: Path) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "metadata.json"
    file.write_text(f'[{{"id": "nfs-1", "mountpoint": "{first}"}}, {{"id": "nfs-2", "mountpoint": "{tmp_path}/sec"}}]')
    async with opened(first, metadata_file=file) as store:
        stored = await store.write("one", arriving(DISK), None)
        assert stored.location.metadata == {"id": "nfs-1", "mountpoint": str(first), "store": "local"}
    async with opened(second, metadata_file=file) as store:
        assert (await store.write("two", arriving(DISK), None)).location.metadata == {"store": "local"}


@pytest.mark.parametrize("text", ["{", "[1]", '{"id": "x"}', '{"id": "x", "mountpoint": 5}', None])
async def test_a_metadata_file_that_says_nothing_is_told_at_the_start(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "metadata.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Invalid, match=rf"stores\.backends\.local\.metadata_file: {file}"):
        async with opened(tmp_path / "images", metadata_file=file):
            raise AssertionError("opened")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dir": "/a", "dirs": [{"path": "/b"}]}, "expected dir or dirs, got both"),
        ({"dir": None}, "expected dir or dirs, got neither"),
        ({"dirs": [{"path": "/a"}, {"path": "/a/b"}]}, "the folders of local lie in one another"),
        ({"file_mode": 0o040}, "by which the owner may read"),
        ({"dir_mode": 0o500}, "leaves all to the owner"),
    ],
)
def test_folders_that_make_no_sense_are_told(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        StoresConfig.model_validate({"backends": {"local": {"kind": "file", **options}}})


def test_all_folders_are_the_stores_own_and_the_first_one_is_shown() -> None:
    dirs = [{"path": "/a", "priority": 1}, {"path": "/b", "priority": 9}]
    config = FileStoreConfig.model_validate({"kind": "file", "dirs": dirs, "thin_provisioning": True})
    assert config.own_prefixes() == ("file:///a/", "file:///b/")
    assert config.properties() == {"data_dir": "/b", "chunk_size": 1024 * KIB, "thin_provisioning": True}
