"""Into which parts an object is cut: all of it, in no more than 10,000, and never too much in memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstream.errors import LimitExceeded
from upstream.stores.s3.plan import HELD_MAX_BYTES, PARTS_MAX, Part, Plan

MIB = 1024 * 1024
GIB = 1024 * MIB
TIB = 1024 * GIB


def parts(plan: Plan, size_bytes: int) -> list[Part]:
    found: list[Part] = []
    sent = 0
    while sent < size_bytes:
        found.append(plan.part(len(found) + 1, sent))
        sent += min(found[-1].size_bytes, size_bytes - sent)
    return found


@given(
    size=st.integers(1, 5 * TIB),
    chunk=st.integers(5 * MIB, 5 * GIB),
    is_known=st.booleans(),
)
def test_any_object_fits_and_what_is_held_fits_in_memory(size: int, chunk: int, *, is_known: bool) -> None:
    plan = Plan(chunk_bytes=chunk, size_bytes=size if is_known else None)
    try:
        found = parts(plan, size)
    except LimitExceeded:
        assert not is_known
        assert size > 300 * GIB
        return
    assert len(found) <= PARTS_MAX
    assert all(part.is_streamed or part.size_bytes <= HELD_MAX_BYTES for part in found)
    assert all(part.size_bytes >= 5 * MIB for part in found[:-1])
    if is_known:
        streamed = [part.size_bytes for part in found if part.is_streamed]
        assert not streamed or sum(streamed) == size


def test_four_gib_go_in_parts_as_configured() -> None:
    found = parts(Plan(chunk_bytes=10 * MIB, size_bytes=4 * GIB), 4 * GIB)
    assert {part.size_bytes for part in found} == {10 * MIB}
    assert len(found) == 410


def test_a_tib_goes_in_as_few_parts_as_there_may_be_each_passed_on_as_it_comes() -> None:
    found = parts(Plan(chunk_bytes=10 * MIB, size_bytes=TIB), TIB)
    assert len(found) == PARTS_MAX
    assert all(part.is_streamed for part in found)


def test_of_an_unknown_size_parts_grow() -> None:
    found = parts(Plan(chunk_bytes=10 * MIB, size_bytes=None), 500 * GIB)
    assert found[0].size_bytes == 10 * MIB
    assert found[-1].size_bytes == HELD_MAX_BYTES


def test_data_that_are_larger_than_announced_are_cut_too() -> None:
    assert Plan(chunk_bytes=10 * MIB, size_bytes=15 * MIB).part(3, 20 * MIB) == Part(3, 10 * MIB)


def test_what_fits_into_no_parts_is_told_with_what_would() -> None:
    with pytest.raises(LimitExceeded, match="when their size is not announced"):
        Plan(chunk_bytes=10 * MIB, size_bytes=None).part(PARTS_MAX + 1, 600 * GIB)
