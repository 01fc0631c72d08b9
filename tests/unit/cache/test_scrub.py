"""The at-rest check on real files: what it finds, that it asks the disk, and that it leaves memory as it was."""

import contextlib
import errno
import fcntl
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.disk import Folder
from cache.scrub import Damage, Interrupted, Limiter, Reason, Scrubber, Suspect, Throttle, check_entry
from cache.sums import Summer
from cache.types import MIB
from tests.descriptors import count_open
from tests.memory import drop_from_memory, resident_pages

SIZE = 3 * MIB + 1234
PAGES = -(-SIZE // mmap.PAGESIZE)
CONTENT = Random(28).randbytes(SIZE)


Make = Callable[..., Suspect]


def at_once(_size_bytes: int) -> bool:
    return True


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(key: str = "image", content: bytes = CONTENT, *, checked_s: float | None = None) -> Suspect:
        suspect = Suspect(key=key, path=tmp_path / key, sums_path=tmp_path / f"{key}.sums", size_bytes=len(content))
        summer = Summer()
        summer.update(memoryview(content))
        suspect.path.write_bytes(content)
        suspect.sums_path.write_bytes(summer.finish())
        if checked_s is not None:
            os.utime(suspect.sums_path, (checked_s, checked_s))
        sync(suspect.path)
        return suspect

    return make


@pytest.fixture(params=["past the page cache", "O_DIRECT refused at open", "O_DIRECT refused at read"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system's attitude to O_DIRECT."""
    opened, read = os.open, os.preadv

    def refuse_open(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "refused")
        return opened(path, flags, mode)

    def refuse_read(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "refused")
        return read(fd, buffers, offset, flags)

    if request.param == "O_DIRECT refused at open":
        monkeypatch.setattr(os, "open", refuse_open)
    elif request.param == "O_DIRECT refused at read":
        monkeypatch.setattr(os, "preadv", refuse_read)


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def read_from_disk_bytes() -> int:
    """What this process has had the disk read so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("read_bytes:")))


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("size", [0, 1, 4096, MIB - 1, MIB, MIB + 1, SIZE])
def test_a_good_entry_passes(make: Make, size: int) -> None:
    assert check_entry(make(content=CONTENT[:size]), at_once) is None


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("at", [0, MIB - 1, MIB, 2 * MIB + 4097, 3 * MIB, SIZE - 1])
def test_one_flipped_bit_is_found(make: Make, at: int) -> None:
    entry = make()
    flip(entry.path, at)
    assert check_entry(entry, at_once) == Damage(Reason.BYTES, at // MIB)


@pytest.mark.usefixtures("_way")
def test_the_disk_is_asked_though_memory_has_the_bytes(make: Make) -> None:
    entry = make()
    entry.path.read_bytes()
    assert resident_pages(entry.path) == PAGES
    before = read_from_disk_bytes()
    assert check_entry(entry, at_once) is None
    assert read_from_disk_bytes() - before >= SIZE


def test_a_hot_entry_stays_in_memory(make: Make) -> None:
    entry = make()
    entry.path.read_bytes()
    assert check_entry(entry, at_once) is None
    assert resident_pages(entry.path) == PAGES


@pytest.mark.usefixtures("_way")
def test_a_cold_entry_does_not_come_into_memory(make: Make) -> None:
    entry, hot = make(), make("hot")
    hot.path.read_bytes()
    drop_from_memory(entry.path)
    assert check_entry(entry, at_once) is None
    assert resident_pages(entry.path) == 0
    assert resident_pages(hot.path) == PAGES


@pytest.mark.parametrize("size", [0, MIB, SIZE - 1, SIZE + 1])
def test_a_file_of_another_size_is_damaged(make: Make, size: int) -> None:
    entry = make()
    os.truncate(entry.path, size)
    assert check_entry(entry, at_once) == Damage(Reason.SIZE)


def test_a_file_truncated_under_the_check_is_damaged(make: Make) -> None:
    entry = make()

    def truncate_and_go_on(_size_bytes: int) -> bool:
        os.truncate(entry.path, MIB + 100)
        return True

    assert check_entry(entry, truncate_and_go_on) == Damage(Reason.SIZE, 1)


@pytest.mark.parametrize("length", [0, 8, 31, 33, 40])
def test_sums_of_another_length_are_damage(make: Make, length: int) -> None:
    entry = make()
    os.truncate(entry.sums_path, length)
    assert check_entry(entry, at_once) == Damage(Reason.SUMS)


def test_missing_sums_are_damage(make: Make) -> None:
    entry = make()
    entry.sums_path.unlink()
    assert check_entry(entry, at_once) == Damage(Reason.SUMS)


def test_an_entry_that_is_gone_is_said_to_be_gone(make: Make) -> None:
    entry = make()
    entry.path.unlink()
    with pytest.raises(FileNotFoundError):
        check_entry(entry, at_once)


def _refuse_from(monkeypatch: pytest.MonkeyPatch, offset_bytes: int, number: int) -> None:
    read = os.preadv

    def refuse(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if offset >= offset_bytes:
            raise OSError(number, "refused")
        return read(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", refuse)


def test_an_extent_that_cannot_be_read_is_damage_and_a_fault_of_the_disk(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, faults = make(), list[int | None]()

    @contextmanager
    def operation() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            faults.append(error.errno)
            raise

    _refuse_from(monkeypatch, 2 * MIB, errno.EIO)
    assert check_entry(entry, at_once, operation) == Damage(Reason.UNREADABLE, 2)
    assert faults == [errno.EIO]


def test_a_disk_that_is_gone_damages_no_entry(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = make()
    _refuse_from(monkeypatch, 0, errno.ENODEV)
    with pytest.raises(OSError, match="refused"):
        check_entry(entry, at_once)


@pytest.mark.parametrize("piece", [4096, 5000, 1])
def test_reads_that_stop_early_are_taken_up(make: Make, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """As file systems in user space may do it: fewer bytes than asked for, in mid-block too."""
    entry, read = make(content=CONTENT[: 3 * 4096 + 100]), os.preadv
    shortened = [True]

    def read_less(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        count = read(fd, buffers, offset, flags)
        shortened.append(not shortened[-1])
        return min(count, piece if shortened[-2] else count)

    monkeypatch.setattr(os, "preadv", read_less)
    assert check_entry(entry, at_once) is None


def test_a_check_that_is_no_longer_wanted_says_nothing_of_the_entry(make: Make) -> None:
    entry, asked = make(), list[int]()

    def not_the_third(size_bytes: int) -> bool:
        asked.append(size_bytes)
        return len(asked) < 3

    with pytest.raises(Interrupted):
        check_entry(entry, not_the_third)
    assert asked == [MIB, MIB, MIB]


def test_no_descriptor_is_left_open(make: Make) -> None:
    entry = make()
    before = count_open()
    check_entry(entry, at_once)
    with contextlib.suppress(Interrupted):
        check_entry(entry, lambda _: False)
    assert count_open() == before


def test_a_pass_tells_of_each_entry_what_is_wrong_with_it(make: Make) -> None:
    entries = [make("d"), make("a"), make("c")]
    entries[0].sums_path.unlink()
    flip(entries[2].path, MIB)
    found: list[tuple[str, Damage | None]] = []

    assert Scrubber(at_once).run(entries, lambda entry, damage: found.append((entry.key, damage)))

    assert found == [("d", Damage(Reason.SUMS)), ("a", None), ("c", Damage(Reason.BYTES, 1))]


def test_what_was_not_checked_for_the_longest_comes_first(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.prepare()
    for key, checked_s in (("ab-2", 2e9), ("cd-1", 1e9), ("ab-1.5", 1.5e9), ("cd-damaged", None)):
        folder.entry_path(key).parent.mkdir(exist_ok=True)
        folder.entry_path(key).touch()
        if checked_s is not None:
            folder.sums_path(key).touch()
            os.utime(folder.sums_path(key), (checked_s, checked_s))
    folder.sums_path("cd-none").touch()
    (tmp_path / "entries" / "ab" / "foreign").touch()

    assert list(folder.by_last_check()) == ["cd-damaged", "cd-1", "ab-1.5", "ab-2"]


def test_a_good_entry_goes_to_the_end_and_a_bad_one_does_not(make: Make) -> None:
    good, bad = make("good", checked_s=1e9), make("bad", checked_s=1e9)
    flip(bad.path, 0)
    began_s = time.time()
    Scrubber(at_once).run([good, bad], lambda *_: None)
    assert good.sums_path.stat().st_mtime >= began_s - 1
    assert bad.sums_path.stat().st_mtime == 1e9


def test_a_pass_goes_on_when_an_entry_is_gone(make: Make) -> None:
    gone, refused, left = make("gone", checked_s=1e9), make("refused", checked_s=1.1e9), make("left", checked_s=1.2e9)
    gone.path.unlink()
    gone.sums_path.unlink()
    held: list[str] = []

    @contextmanager
    def hold(entry: Suspect) -> Iterator[None]:
        if entry is refused:
            raise FileNotFoundError(errno.ENOENT, "evicted")
        held.append(entry.key)
        yield
        held.append(f"{entry.key} let go")

    found: list[str] = []
    assert Scrubber(at_once, hold=hold).run([gone, refused, left], lambda entry, _: found.append(entry.key))
    assert found == ["left"]
    assert held == ["gone", "left", "left let go"]


def test_a_pass_that_is_stopped_reports_nothing_it_does_not_know(make: Make) -> None:
    found: list[str] = []
    assert not Scrubber(lambda _: False).run([make()], lambda entry, _: found.append(entry.key))
    assert found == []


def test_a_pass_keeps_to_its_rate_and_stops_at_once(make: Make) -> None:
    """The first MiB is read at once, the second would be in an hour."""
    entry, stop, begun = make(), threading.Event(), threading.Event()
    limiter, ended = Limiter(MIB / 3600, stop), list[bool]()

    def may_read(size_bytes: int) -> bool:
        if begun.is_set():
            stop_soon.start()
        begun.set()
        return limiter(size_bytes)

    stop_soon = threading.Timer(0.1, stop.set)
    began_s = time.monotonic()
    ended.append(Scrubber(may_read).run([entry], lambda *_: None))
    stop_soon.join()
    assert ended == [False]
    assert 0.05 < time.monotonic() - began_s < 10


@given(
    rate=st.floats(1, 1e9),
    turns=st.lists(st.tuples(st.integers(1, MIB), st.floats(0, 100)), min_size=1, max_size=20),
)
def test_a_throttle_never_lets_more_through_than_its_rate(rate: float, turns: list[tuple[int, float]]) -> None:
    throttle, now_s, begun_s, read_bytes = Throttle(rate), 0.0, 0.0, 0
    for size_bytes, idle_s in turns:
        now_s += idle_s
        wait_s = throttle.wait_s(size_bytes, now_s)
        assert wait_s >= 0
        now_s += wait_s
        assert read_bytes <= rate * (now_s - begun_s) * (1 + 1e-6) + 1e-3
        read_bytes += size_bytes
