"""The disk that loses power loses what a disk may lose, nothing else; the recorder sees what a program does."""

import random
import sys
from pathlib import Path

import pytest

from tests.power.calls import Call, Mkdir, Open, Remove, Rename, Sync, Truncate, Write
from tests.power.disk import Disk, Order, Survivors
from tests.power.pages import PAGE_BYTES
from tests.power.recorder import record
from tests.power.trace import NotUnderstood

OLD, NEW = b"o" * 3 * PAGE_BYTES, b"n" * 3 * PAGE_BYTES
BASE: list[Call] = [
    Mkdir(path="/c"),
    Mkdir(path="/c/a"),
    Mkdir(path="/c/b"),
    Open(handle=1, path="/c"),
    Sync(handle=1, began=3),
    Open(handle=2, path="/c/a"),
    Open(handle=3, path="/c/b"),
]


def write(path: str, content: bytes, *, synced: bool, at: int, handle: int = 9) -> list[Call]:
    calls: list[Call] = [
        Open(handle=handle, path=path, creates=True, truncates=True),
        Write(handle=handle, data=content, offset=0),
    ]
    return [*calls, Sync(handle=handle, began=at + 2)] if synced else calls


def cuts(calls: list[Call], order: Order) -> list[Survivors]:
    """After the last call, by many chances."""
    disk = Disk("/c", order)
    for call in [*BASE, *calls]:
        disk.take(call)
    return [disk.cut(random.Random(seed)) for seed in range(300)]


@pytest.mark.parametrize("order", Order)
def test_what_was_renamed_before_it_was_synced_may_be_anything(order: Order) -> None:
    calls = [*write("/c/a/x", NEW, synced=False, at=7), Rename(path="/c/a/x", to="/c/b/x"), Sync(handle=3, began=10)]
    found = {survivors.files.get("b/x") for survivors in cuts(calls, order)}
    assert {b"", NEW, bytes(len(NEW))} < found
    assert None not in found, "its name was synced"


@pytest.mark.parametrize("order", Order)
def test_what_was_synced_and_renamed_is_whole_or_absent(order: Order) -> None:
    calls = [*write("/c/a/x", NEW, synced=True, at=7), Rename(path="/c/a/x", to="/c/b/x")]
    assert {survivors.files.get("b/x") for survivors in cuts(calls, order)} == {None, NEW}


@pytest.mark.parametrize("order", Order)
def test_what_was_synced_in_the_right_order_is_always_there(order: Order) -> None:
    calls = [*write("/c/a/x", NEW, synced=True, at=7), Rename(path="/c/a/x", to="/c/b/x"), Sync(handle=3, began=11)]
    for survivors in cuts(calls, order):
        assert survivors.files["b/x"] == NEW
        assert "a/x" not in survivors.files, "a rename is never half done"


@pytest.mark.parametrize("order", Order)
def test_pages_written_after_a_sync_are_old_or_new_each_by_itself(order: Order) -> None:
    calls = [
        *write("/c/a/x", OLD, synced=True, at=7),
        Sync(handle=2, began=10),
        Write(handle=9, data=NEW, offset=0),
    ]
    contents = [survivors.files["a/x"] or b"" for survivors in cuts(calls, order)]
    pages = {content[at : at + PAGE_BYTES] for content in contents for at in range(0, len(OLD), PAGE_BYTES)}
    assert pages == {OLD[:PAGE_BYTES], NEW[:PAGE_BYTES]}
    assert {OLD, NEW} < set(contents)


@pytest.mark.parametrize("order", Order)
def test_a_length_is_one_of_those_since_the_sync(order: Order) -> None:
    calls = [
        *write("/c/a/x", OLD, synced=True, at=7),
        Sync(handle=2, began=10),
        Truncate(handle=9, size_bytes=5),
    ]
    assert {len(survivors.files["a/x"] or b"") for survivors in cuts(calls, order)} == {5, len(OLD)}


@pytest.mark.parametrize("order", Order)
def test_a_write_that_ended_while_a_sync_ran_is_not_covered_by_it(order: Order) -> None:
    calls: list[Call] = [
        *write("/c/a/x", NEW, synced=False, at=7),
        Sync(handle=9, began=8),
        Sync(handle=2, began=10),
    ]
    assert len({survivors.files["a/x"] for survivors in cuts(calls, order)}) > 2


def test_one_journal_keeps_the_order_of_names_and_a_loose_file_system_does_not() -> None:
    calls = [
        *write("/c/a/first", b"", synced=False, at=7, handle=8),
        *write("/c/b/second", b"", synced=False, at=9, handle=9),
    ]
    second_alone = {
        order: any(
            "b/second" in survivors.files and "a/first" not in survivors.files for survivors in cuts(calls, order)
        )
        for order in Order
    }
    assert second_alone == {Order.JOURNAL: False, Order.LOOSE: True}


@pytest.mark.parametrize("order", Order)
def test_what_was_removed_may_be_there_again_and_whole(order: Order) -> None:
    calls = [*write("/c/a/x", NEW, synced=True, at=7), Sync(handle=2, began=10), Remove(path="/c/a/x")]
    assert {survivors.files.get("a/x") for survivors in cuts(calls, order)} == {None, NEW}


PROGRAMS = {
    "links": "import os; os.link(f'{c}/x', f'{c}/y')",
    "writes through memory": "import mmap; f = open(f'{c}/x', 'r+b'); mmap.mmap(f.fileno(), 0)",
    "changes its folder": "import os; os.chdir(c)",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_cannot_be_followed_is_an_error_not_a_gap(tmp_path: Path, program: str) -> None:
    folder = tmp_path / "c"
    start = f"import os; c = {str(folder)!r}; os.mkdir(c); open(f'{{c}}/x', 'w').write('data')"
    with pytest.raises(NotUnderstood):
        record(
            [sys.executable, "-I", "-c", f"{start}; {PROGRAMS[program]}"],
            folder,
            marks=tmp_path / "marks",
            scratch=tmp_path,
        )


def test_what_threads_and_children_do_is_seen_with_their_own_descriptors(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    code = f"""
import os, threading
c = {str(folder)!r}
os.mkdir(c)
shared = os.open(f"{{c}}/shared", os.O_WRONLY | os.O_CREAT)
threads = [threading.Thread(target=os.pwrite, args=(shared, b"%d" % n * 1000, n * 1000)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if os.fork() == 0:
    os.close(shared)
    own = os.open(f"{{c}}/child", os.O_WRONLY | os.O_CREAT)
    assert own == shared
    os.write(own, b"child")
    os._exit(0)
os.wait()
os.write(shared, b"parent")
"""
    disk = Disk(str(folder), Order.JOURNAL)
    for call in record([sys.executable, "-I", "-c", code], folder, marks=tmp_path / "marks", scratch=tmp_path):
        disk.take(call)
    assert disk.whole().files == {path.name: path.read_bytes() for path in folder.iterdir()}
