"""How an image grows whose size nobody said."""

from hypothesis import given
from hypothesis import strategies as st

from upstream.stores.rbd.writing import grown

MIB, GIB = 1 << 20, 1 << 30


def test_each_step_is_twice_the_one_before_up_to_8_gib() -> None:
    sizes, size, step = [], 0, 8 * MIB
    for _ in range(12):
        size, step = grown(size, step, size + 1)
        sizes.append(size)
    steps = [after - before for before, after in zip([0, *sizes], sizes, strict=False)]
    assert steps == [min(16 * MIB << number, 8 * GIB) for number in range(12)]


@given(st.integers(0, 1 << 44), st.integers(4096, 8 * GIB), st.integers(0, 1 << 44))
def test_it_is_large_enough_and_never_smaller(size: int, step: int, needed: int) -> None:
    new, _ = grown(size, step, needed)

    assert new >= max(size, needed)
    assert new == size or new - needed < 8 * GIB
