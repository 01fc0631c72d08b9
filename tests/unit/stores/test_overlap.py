"""Whether two locations have the same object: the bytes where one goes on for the other."""

from collections.abc import AsyncGenerator

import pytest

from upstream.stores.overlap import OVERLAP_BYTES, AnotherObject, End, after_overlap


async def _chunks(*chunks: bytes) -> AsyncGenerator[bytes]:
    for chunk in chunks:
        yield chunk


async def _read(expected: bytes, *chunks: bytes) -> list[bytes]:
    return [chunk async for chunk in after_overlap(_chunks(*chunks), expected)]


def test_the_last_bytes_before_a_place_are_known_if_they_ended_there() -> None:
    end = End()
    assert end.before(0) == b""
    end.add(0, b"a" * 10)
    end.add(10, b"b" * 10)
    assert end.before(20) == b"a" * 10 + b"b" * 10
    assert end.before(19) == b""
    end.add(100, b"c")  # somewhere else
    assert end.before(101) == b"c"


@pytest.mark.parametrize("size", [1000, OVERLAP_BYTES - 1, OVERLAP_BYTES, OVERLAP_BYTES + 1, 3 * OVERLAP_BYTES])
def test_no_more_is_kept_than_is_compared(size: int) -> None:
    end, data = End(), bytes(range(256)) * (4 * OVERLAP_BYTES // 256)
    for start in range(0, len(data), size):
        end.add(start, data[start : start + size])
    assert end.before(len(data)) == data[-OVERLAP_BYTES:]


@pytest.mark.parametrize("chunks", [(b"abcdef",), (b"a", b"b", b"c", b"d", b"ef"), (b"abc", b"def"), (b"ab", b"cdef")])
async def test_what_comes_after_the_overlap_is_given(chunks: tuple[bytes, ...]) -> None:
    first, *rest = await _read(b"abc", *chunks)
    assert first == b""
    assert b"".join(rest) == b"def"


@pytest.mark.parametrize("chunks", [(b"abX", b"def"), (b"Xbcdef",), (b"ab",), (), (b"a", b"X")])
async def test_other_bytes_or_too_few_are_of_another_object(chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(AnotherObject):
        await _read(b"abc", *chunks)
