"""The sum of what several processes count, one of which is killed now and then."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics import forget_what_was_in_flight, numbers_folder, sum_of_workers
from metrics.shared import _LEFT_BEHIND_S
from tests.preloaded import run_program

# A worker in small: counts by the lines that it is given, then dies as hard as can be.
WORKER = """
import os, signal, sys
from pathlib import Path
from metrics import Instruments, count_into
count_into(Path(sys.argv[1]), int(sys.argv[2]))
it = Instruments()
exec(sys.argv[3])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with numbers_folder() as made:
        yield made
    assert not made.exists()


def live(folder: Path, worker: int, counts: str) -> None:
    """One life of a worker."""
    ended = run_program(WORKER, folder, str(worker), counts)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def value(folder: Path, name: str, **labels: str) -> float | None:
    return sum_of_workers(folder).get_sample_value(name, labels)


def test_counters_go_on_where_a_killed_worker_left_them_in_the_same_files(folder: Path) -> None:
    counts = "it.downloads.labels('hit').inc(3); it.first_byte_seconds.labels('hit').observe(0.04)"
    live(folder, 0, counts)
    files = sorted(folder.iterdir())
    for _ in range(2):
        live(folder, 0, counts)
    live(folder, 1, counts)
    assert value(folder, "glint_downloads_total", outcome="hit") == 12
    assert value(folder, "glint_first_byte_seconds_bucket", outcome="hit", le="0.05") == 4
    assert value(folder, "glint_first_byte_seconds_bucket", outcome="hit", le="0.025") == 0
    assert value(folder, "glint_first_byte_seconds_count", outcome="hit") == 4
    assert sorted(folder.iterdir()) == sorted([*files, *(Path(str(file).replace("_0.db", "_1.db")) for file in files)])


def test_what_a_dead_worker_had_in_flight_is_forgotten(folder: Path) -> None:
    for worker in (0, 1):
        live(folder, worker, "it.fills_in_flight.inc(2); it.disk_state.set(2 - int(sys.argv[2]))")
    assert value(folder, "glint_fills_in_flight") == 4
    assert value(folder, "glint_disk_state") == 2
    forget_what_was_in_flight(folder, 0)
    assert value(folder, "glint_fills_in_flight") == 2
    assert value(folder, "glint_disk_state") == 1


def test_of_what_workers_share_the_last_word_counts_whoever_said_it(folder: Path) -> None:
    live(folder, 1, "it.cache_bytes.labels('committed').set(7)")
    live(folder, 0, "it.cache_bytes.labels('committed').set(5)")
    forget_what_was_in_flight(folder, 0)
    assert value(folder, "glint_cache_bytes", state="committed") == 5


def test_a_file_that_is_being_made_is_passed_over(folder: Path) -> None:
    live(folder, 0, "it.fill_bytes.inc(9)")
    (folder / "counter_1.db").touch()
    assert value(folder, "glint_fill_bytes_total") == 9


def test_folders_of_killed_supervisors_are_removed_and_no_others() -> None:
    with numbers_folder() as used:
        left = used.with_name(f"{used.name}-left")
        left.mkdir()
        (left / "counter_0.db").touch()
        past_s = time.time() - 2 * _LEFT_BEHIND_S
        for path in (used, left):
            os.utime(path, (past_s, past_s))
        with numbers_folder() as fresh:
            assert used.exists()
            assert fresh.stat().st_mode & 0o777 == 0o700
            assert not left.exists()
