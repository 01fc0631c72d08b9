"""Workers fill, read, leave, evict and pin on a folder too small for all; it never holds more than it may."""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import uvloop

from tests.kill.checking import check, files_in
from tests.kill.churning import COUNT, LARGEST_BYTES, LIMIT_BYTES, Churn, churn
from tests.kill.images import config_of, images
from tests.kill.sampling import Sampler
from tests.kill.workers import start
from tests.seeds import seed_of_this_run

WORKERS = 3
_END_S = 60
_UNLINKING_S = 1.0  # who removes a file has it open himself
_LAG_MAX_S = 1.0  # 10 ms is what is wanted; tests run on machines that do something else meanwhile


class Churning:
    """The workers, and what is done to them now and then."""

    def __init__(self, scratch: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.config = config_of(scratch / "cache", LIMIT_BYTES)
        self.stop = scratch / "stop"
        self._scratch = scratch
        self._born = 0
        self.processes: dict[ForkServerProcess, Path] = {}
        self.asleep: int | None = None
        self._reports: list[dict[str, Any]] = []

    def start(self) -> None:
        self._born += 1
        report = self._scratch / f"report-{self._born}"
        task = Churn(folder=self.config.dir, report=report, stop=self.stop, seed=self.chance.getrandbits(32))
        self.processes[start(churn, task)] = report

    def kill(self) -> None:
        """One worker is killed and replaced."""
        process = self.chance.choice(list(self.processes))
        process.kill()
        process.join()
        self._end(process)
        self.start()

    def stop_for_a_while(self) -> Callable[[], None]:
        """One worker is stopped; the result lets it go on."""
        process = self.chance.choice(list(self.processes))
        assert process.pid is not None
        self.asleep = process.pid
        os.kill(process.pid, signal.SIGSTOP)
        return lambda: os.kill(process.pid or 0, signal.SIGCONT)

    def end(self) -> None:
        self.stop.touch()
        for process in list(self.processes):
            process.join(_END_S)
            assert process.exitcode == 0, "a worker does not end"
            self._end(process)

    def kill_all(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()

    def reports(self) -> list[dict[str, Any]]:
        return self._reports

    def _end(self, process: ForkServerProcess) -> None:
        report = self.processes.pop(process)
        if report.exists():
            said = json.loads(report.read_text())
            assert not said["trouble"], said["trouble"]
            self._reports.append(said)


@pytest.mark.parametrize(
    ("lasts_s", "disturbances"),
    [(8, 0), pytest.param(600, 60, marks=[pytest.mark.long, pytest.mark.timeout(1200)])],
    ids=["short", "long"],
)
def test_the_limit_holds_at_every_sample_under_churn(
    tmp_path: Path, lasts_s: float, disturbances: int, capsys: pytest.CaptureFixture[str]
) -> None:
    churning = Churning(tmp_path, seed_of_this_run())
    for _ in range(WORKERS):
        churning.start()
    try:
        _until(lambda: bool(files_in(churning.config.dir, "entries")))
        sampler = Sampler(churning.config.dir)
        try:
            took_s = _sample(churning, sampler, lasts_s, disturbances)
            churning.end()
            sampler.sample(())
        finally:
            sampler.close()
        with structlog.testing.capture_logs():
            uvloop.run(check(churning.config, images(COUNT, LARGEST_BYTES), churning.chance, orphan_s=0.1))
    finally:
        churning.kill_all()
    lag_p99_s = max(report["lag_p99_s"] for report in churning.reports())
    with capsys.disabled():
        print(
            f"\nchurn: {sampler.samples / took_s:.0f} samples/s, at most {sampler.most_bytes / LIMIT_BYTES:.1%} of the "
            f"limit, {sampler.longest_unnamed_s:.3f} s unlinked and open; loop lag p99 {lag_p99_s * 1000:.1f} ms; "
            f"{[report['done'] for report in churning.reports()]}"
        )
    assert sampler.most_bytes > LIMIT_BYTES / 2, "it was never full: nothing was shown"
    assert sampler.longest_unnamed_s < _UNLINKING_S, "a file was unlinked while somebody had it open"
    assert lag_p99_s < _LAG_MAX_S


def _sample(churning: Churning, sampler: Sampler, lasts_s: float, disturbances: int) -> float:
    """Look as often as possible, and disturb in between. Returns how long that took."""
    began_s = time.monotonic()
    pause_s = lasts_s / (disturbances + 1)
    next_s, go_on, go_on_s = began_s + pause_s, None, 0.0
    try:
        while (now_s := time.monotonic()) - began_s < lasts_s:
            sure_bytes = sampler.sample([process.pid or 0 for process in churning.processes], churning.asleep)
            assert sure_bytes <= LIMIT_BYTES, (
                f"{sure_bytes} bytes lie there, {LIMIT_BYTES} are allowed:\n{sampler.told()}\nasleep: {churning.asleep}"
            )
            promised_bytes = sampler.promised_bytes()
            assert promised_bytes <= LIMIT_BYTES, f"{promised_bytes} bytes are promised, {LIMIT_BYTES} are there"
            assert all(process.exitcode is None for process in churning.processes), _trouble(churning)
            if go_on is not None and now_s > go_on_s:
                go_on()
                go_on = churning.asleep = None
            if disturbances and now_s > next_s and go_on is None:
                next_s += pause_s
                if churning.chance.random() < 0.5:
                    churning.kill()
                else:
                    go_on, go_on_s = churning.stop_for_a_while(), now_s + churning.chance.choice((0.5, 3))
    finally:
        if go_on is not None:
            go_on()
    return time.monotonic() - began_s


def _trouble(churning: Churning) -> str:
    return "\n".join(report.read_text() for report in churning.processes.values() if report.exists())


def _until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _END_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
