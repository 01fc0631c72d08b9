"""What several processes do to one index, step by step: where one is between two steps of another."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from cache.disk import Found, Shard, charge_bytes
from cache.index import Index
from cache.policies import POLICIES
from cache.types import Blob, Digest

BLOB = Blob(key="image-1", size_bytes=1000)
CHARGE_BYTES = charge_bytes(1000)
NAME = "image-1.1"
FILE = Found(BLOB.key, 1000, 0.0)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index.db")


def nothing(*_: object) -> None:
    return None


def no_fill(_: str) -> bool:
    return False


def test_a_promise_given_back_late_is_the_next_fills(index: Index) -> None:
    """One removes its file, another begins anew under the same name, then the first gives its promise back."""
    assert index.promise(NAME, BLOB, CHARGE_BYTES, int)
    assert index.promise(NAME, BLOB, CHARGE_BYTES, int)
    index.release(NAME, lambda name: name == NAME, nothing)
    assert index.is_promised(NAME)
    index.release(NAME, lambda _: False, nothing)
    assert not index.is_promised(NAME)


def test_a_fill_that_begins_anew_under_a_promised_name_waits_for_what_there_was_before(index: Index) -> None:
    """The file of before is out of use, still read, and its promise is not given back yet."""
    assert index.promise(NAME, BLOB, CHARGE_BYTES, int)
    assert not index.promise(NAME, BLOB, CHARGE_BYTES, lambda: 1)
    assert index.promise(NAME, BLOB, CHARGE_BYTES + 1, lambda: 1)


def test_what_is_taken_out_of_use_while_room_is_promised_counts(index: Index) -> None:
    assert not index.promise(NAME, BLOB, 2 * CHARGE_BYTES - 1, lambda: CHARGE_BYTES)
    assert index.promise(NAME, BLOB, 2 * CHARGE_BYTES, lambda: CHARGE_BYTES)


def test_a_lost_promise_whose_fill_begins_anew_is_none(index: Index) -> None:
    looks = iter([False, True])  # before and under the lock
    assert index.promise(NAME, BLOB, CHARGE_BYTES, int)
    index.lost_promises(lambda _: next(looks), nothing)
    assert index.is_promised(NAME)


def test_an_entry_that_was_evicted_before_it_was_noted_has_no_row(index: Index) -> None:
    index.commit(NAME, BLOB, no_fill, nothing)
    assert (index.usage().entries, index.usage().charged_bytes) == (0, 0)


def test_an_entry_that_was_published_again_before_its_eviction_was_noted_keeps_its_row(index: Index) -> None:
    index.commit(NAME, BLOB, no_fill, lambda _: FILE)
    index.forget(BLOB.key, lambda _: True)
    assert (index.usage().entries, index.usage().charged_bytes) == (1, CHARGE_BYTES)
    index.forget(BLOB.key, lambda _: False)
    assert (index.usage().entries, index.usage().charged_bytes) == (0, 0)


@pytest.mark.parametrize("is_over", [True, False], ids=["published", "still filling"])
def test_an_entry_whose_fill_died_before_it_was_noted_is_counted_once(index: Index, *, is_over: bool) -> None:
    assert index.promise(NAME, BLOB, CHARGE_BYTES, int)
    file = FILE if is_over else None
    files = {FILE.key: (FILE.size_bytes, FILE.modified_s)} if is_over else {}
    index.settle(index.suspects([Shard(FILE.key[:2], files)]), lambda _: file, lambda _: not is_over)
    assert index.usage().entries == is_over
    assert index.usage().charged_bytes == CHARGE_BYTES
    assert index.is_promised(NAME) is not is_over


def test_what_differs_between_index_and_folder_is_made_to_agree(index: Index) -> None:
    """Files without rows, rows without files, in sub-folders that are gone as well, and other sizes."""
    there = {key: Found(key, size, at) for key, size, at in (("aa-1", 10, 5.0), ("aa-2", 20, 7.0), ("bb-1", 30, 6.0))}
    for key, size_bytes in (("aa-1", 10), ("aa-2", 21), ("aa-gone", 1), ("zz-gone", 2)):
        blob = Blob(key=key, size_bytes=size_bytes, digest=None)
        index.commit(f"{key}.1", blob, no_fill, lambda key: Found(key, 1, 0.0))
    shards = [
        Shard(prefix, {key: (file.size_bytes, file.modified_s) for key, file in there.items() if key[:2] == prefix})
        for prefix in ("aa", "bb")
    ]
    suspects = index.suspects(shards)
    assert {key for some in suspects for _, key in some} == {"aa-2", "bb-1", "aa-gone", "zz-gone"}
    assert index.settle(suspects, there.get, lambda _: False) == 4
    assert [(entry.key, entry.size_bytes) for entry in index.entries()] == [("aa-1", 10), ("aa-2", 20), ("bb-1", 30)]
    assert index.suspects(shards) == []


def test_who_waited_in_vain_for_the_lock_waits_for_a_moment_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has it hangs; as soon as he is gone, all is as before."""
    monkeypatch.setattr("cache.index_file._BUSY_S", 0.2)
    index, other = Index(tmp_path / "index.db"), Index(tmp_path / "index.db")

    def patience_ms() -> int:
        return int(index._db.execute("PRAGMA busy_timeout").fetchone()[0])

    before_ms = patience_ms()
    with other._write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        index.forget("image-1", lambda _: False)
    assert (before_ms, patience_ms()) == (200, 100)
    index.forget("image-1", lambda _: False)
    assert patience_ms() == 200
    for each in (index, other):
        each.close()


def test_a_publisher_that_notes_its_entry_late_leaves_the_next_fills_promise_alone(index: Index) -> None:
    """It was stopped before: others have noted the entry, evicted it, and begun anew under its name."""
    assert index.promise(NAME, BLOB, CHARGE_BYTES, int)
    index.commit(NAME, BLOB, lambda name: name == NAME, nothing)
    assert index.is_promised(NAME)


def test_an_entry_that_another_process_noted_first_keeps_what_it_has_learnt_since(index: Index) -> None:
    """Its publisher was late: it was pinned and used by then, and somebody holds that its digest was proved."""
    other = Blob(key="image-2", size_bytes=1000)
    assert index.promise(NAME, BLOB, CHARGE_BYTES, int)
    index.lost_promises(no_fill, lambda _: FILE)
    index.pin(BLOB.key, pinned=True)
    index.touch({BLOB.key: 3}, POLICIES["lru"], 10 * CHARGE_BYTES)
    before = index.entry(BLOB.key)
    index.commit("image-2.1", other, no_fill, lambda key: Found(key, 1000, 0.0))
    index.commit(NAME, replace(BLOB, digest=Digest("sha512", "00")), no_fill, lambda _: FILE)
    assert before is not None
    assert index.entry(BLOB.key) == replace(before, digest=Digest("sha512", "00"))
    assert [entry.key for entry in index.entries()] == [BLOB.key, other.key]
    assert (index.usage().entries, index.usage().charged_bytes) == (2, 2 * CHARGE_BYTES)


def test_another_policy_keeps_nobody_from_writing_while_all_entries_fall_back(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"image-{number}" for number in range(25)]
    for key in keys:
        index.commit(f"{key}.1", Blob(key=key, size_bytes=1000), no_fill, lambda key: Found(key, 1000, 0.0))
    index.touch(dict.fromkeys(keys, 1), POLICIES["slru"], 100 * CHARGE_BYTES)
    other = Index(tmp_path / "index.db")
    pauses = []

    def writes(pause_s: float) -> None:
        pauses.append(pause_s)
        assert other.promise(f"{NAME}{len(pauses)}", BLOB, 100 * CHARGE_BYTES, int)

    monkeypatch.setattr("cache.index._SETTLED_AT_ONCE", 10)
    monkeypatch.setattr("cache.index.time.sleep", writes)
    index.fit(POLICIES["lru"], 100 * CHARGE_BYTES)
    assert len(pauses) == 2
    assert index._segment_bytes(1) == 0
    assert [candidate.key for candidate in index.candidates(0.0)] == keys
    other.close()
