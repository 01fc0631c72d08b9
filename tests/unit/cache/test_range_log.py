"""What any worker was asked for counts in each, whoever dies, and takes no more memory than it was given."""

import os
import random
from collections.abc import Iterator

import pytest

from cache.range_log import RING_RECORDS, RangeLog, RangeTable, SharedHistory, new_range_table
from cache.range_policy import RangeHistory
from cache.types import Span
from tests.seeds import seed_of_this_run

WORKERS = 3


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Workers:
    """`replace` is what a supervisor does when one has died."""

    def __init__(self, table: int) -> None:
        self._table, self.clock = table, Clock()
        self._logs = [RangeLog(RangeTable(table, ring)) for ring in range(WORKERS)]
        self.histories = [SharedHistory(log, self.clock) for log in self._logs]

    def replace(self, worker: int) -> None:
        self._logs[worker].close()
        self._logs[worker] = RangeLog(RangeTable(self._table, worker))
        self.histories[worker] = SharedHistory(self._logs[worker], self.clock)

    def close(self) -> None:
        for log in self._logs:
            log.close()


@pytest.fixture
def table() -> Iterator[int]:
    fd = new_range_table(WORKERS)
    yield fd
    os.close(fd)


@pytest.fixture
def workers(table: int) -> Iterator[Workers]:
    found = Workers(table)
    yield found
    found.close()


def test_parts_asked_of_several_workers_are_counted_together_and_once(workers: Workers) -> None:
    one, two, three = workers.histories
    assert one.add("image", Span(0, 10)) == 10
    assert two.add("image", Span(10, 20)) == 20
    assert three.add("image", Span(5, 25)) == 25
    assert one.add("other", Span(0, 1)) == 1


def test_a_fill_that_one_worker_started_clears_the_history_of_all(workers: Workers) -> None:
    one, two, _ = workers.histories
    one.add("image", Span(0, 10))
    two.add("other", Span(0, 10))
    two.forget("image")
    assert one.add("image", Span(50, 51)) == 1
    assert two.add("image", Span(60, 61)) == 2
    assert one.add("other", Span(10, 20)) == 20


def test_what_a_worker_was_asked_for_outlives_it_for_ten_minutes(workers: Workers) -> None:
    workers.histories[0].add("image", Span(0, 10))
    workers.replace(0)
    assert workers.histories[0].add("image", Span(10, 20)) == 20
    assert workers.histories[1].add("image", Span(20, 30)) == 30
    workers.clock.now_s += 600
    workers.replace(2)
    assert workers.histories[2].add("image", Span(30, 31)) == 1
    assert workers.histories[1].add("image", Span(31, 32)) == 2


def test_who_reads_seldom_misses_what_was_overwritten_and_counts_it_no_more(table: int, workers: Workers) -> None:
    size_bytes = os.fstat(table).st_size
    written = 3 * RING_RECORDS + 7
    for number in range(written):
        workers.histories[0].add("image", Span(number, number + 1))
    counted = {workers.histories[1].add("image", Span(0, 0)) for _ in range(RING_RECORDS)}
    assert max(counted) == workers.histories[1].add("image", Span(0, 0)) <= RING_RECORDS
    assert workers.histories[1].add("image", Span(written - 1, written)) == max(counted)  # that came last is known
    assert workers.histories[0].add("image", Span(0, 1)) == written
    assert os.fstat(table).st_size == size_bytes


def test_a_record_that_is_half_written_is_none(table: int, workers: Workers) -> None:
    workers.histories[0].add("image", Span(0, 10))
    used = next(at for at in range(os.fstat(table).st_size) if os.pread(table, 1, at) != b"\0")
    written = os.pread(table, 1, used + 10)
    os.pwrite(table, bytes([written[0] ^ 1]), used + 10)
    assert workers.histories[1].add("image", Span(10, 20)) == 10
    os.pwrite(table, written, used + 10)
    assert workers.histories[1].add("image", Span(10, 20)) == 20


def test_any_workers_in_any_order_count_as_one(workers: Workers) -> None:
    chance, model = random.Random(seed_of_this_run()), RangeHistory()
    for _ in range(500):
        workers.clock.now_s += chance.choice((0.001, 0.1, 7))
        history, key = workers.histories[chance.randrange(WORKERS)], f"image-{chance.randrange(3)}"
        start = chance.randrange(1000)
        if chance.random() < 0.05:
            history.forget(key)
            model.forget(key)
        elif chance.random() < 0.05:
            workers.replace(chance.randrange(WORKERS))
        else:
            span = Span(start, start + chance.randrange(1, 50))
            assert history.add(key, span) == model.add(key, span, workers.clock.now_s)
