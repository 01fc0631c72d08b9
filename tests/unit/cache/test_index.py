"""What several processes do to one index, step by step: where one is between two steps of another."""

from pathlib import Path

import pytest

from cache.disk import Found, charge_bytes
from cache.index import Index
from cache.types import Blob

BLOB = Blob(key="image-1", size_bytes=1000)
CHARGE_BYTES = charge_bytes(1000)
NAME = "image-1.1"
FILE = Found(BLOB.key, 1000, 0.0)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index.db")


def nothing(*_: object) -> None:
    return None


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
    index.commit(NAME, BLOB, nothing)
    assert (index.usage().entries, index.usage().charged_bytes) == (0, 0)


def test_an_entry_that_was_published_again_before_its_eviction_was_noted_keeps_its_row(index: Index) -> None:
    index.commit(NAME, BLOB, lambda _: FILE)
    index.forget(BLOB.key, lambda _: True)
    assert (index.usage().entries, index.usage().charged_bytes) == (1, CHARGE_BYTES)
    index.forget(BLOB.key, lambda _: False)
    assert (index.usage().entries, index.usage().charged_bytes) == (0, 0)


@pytest.mark.parametrize("is_over", [True, False], ids=["published", "still filling"])
def test_an_entry_whose_fill_died_before_it_was_noted_is_counted_once(index: Index, *, is_over: bool) -> None:
    assert index.promise(NAME, BLOB, CHARGE_BYTES, int)
    file = FILE if is_over else None
    index.settle([FILE] if is_over else [], lambda _: file, lambda _: not is_over)
    assert index.usage().entries == is_over
    assert index.usage().charged_bytes == CHARGE_BYTES
    assert index.is_promised(NAME) is not is_over
