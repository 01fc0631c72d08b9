"""SQLite's threads: an answer comes in time or not at all, and a thread that was late answers the next question."""

from pathlib import Path
from threading import Event

import pytest

from upstream.registry.sql.reading import Question, Script
from upstream.registry.sql.sqlite import ReadingThreads

_ONE = Question("SELECT json_array(json_array(1))", (), is_packed=True)


def _one() -> Script[int]:
    rows = yield _ONE
    return int(rows[0][0])


def _late(thaw: Event) -> Script[int]:
    """As on a disk that hangs."""
    thaw.wait(30)
    return (yield from _one())


@pytest.mark.parametrize("at_one_moment", [False, True])
async def test_who_waits_for_a_disk_that_hangs_is_told_so_and_the_next_gets_his_answer(
    tmp_path: Path, *, at_one_moment: bool
) -> None:
    thaw = Event()
    async with ReadingThreads(str(tmp_path / "r.db")) as threads:
        try:
            with pytest.raises(TimeoutError):
                await threads.run(_late(thaw), within_s=0.05, at_one_moment=at_one_moment)
        finally:
            thaw.set()
        assert await threads.run(_one(), within_s=30, at_one_moment=at_one_moment) == 1
