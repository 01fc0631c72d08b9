"""Workers are killed at every point of their lives: the others' clients notice nothing, and nothing wrong is left.

The folder is kept from one kill to the next. A run is repeated by its seed, as far as threads and processes allow.
"""

import asyncio
import itertools
import random
import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing
import uvloop

from cache import ImageCache
from metrics import Instruments
from tests.kill import life
from tests.kill.checking import CLEAN_S, check, files_in
from tests.kill.images import LIAR, config_of, images
from tests.kill.life import Life, live
from tests.kill.workers import said_by, start
from tests.seeds import seed_of_this_run

CONTENTS = images(life.COUNT, life.LARGEST_BYTES)
LARGEST = sorted(CONTENTS.keys() - {LIAR}, key=lambda key: CONTENTS[key].size_bytes)[-3:]  # they take some time
_END_S = 90


class Sweep:
    """Rounds on one folder. In each, some workers live at once, of which some die."""

    def __init__(self, scratch: Path, seed: int) -> None:
        self.seed, self.chance = seed, random.Random(seed)
        self.kills = self.takeovers = 0
        self.config = config_of(scratch / "cache", life.LIMIT_BYTES)
        self._scratch = scratch
        self.rounds: deque[str] = deque(maxlen=5)

    def round(self, deaths: list[int | None], *, steps: int, dies_after_s: float | None = None) -> list[str]:
        """One life per item: at which point it dies, None for those that live on. Returns what they reported.

        `dies_after_s`: besides, the first one is killed then, wherever it is: in the midst of SQLite's own writing.
        """
        self.rounds.append(f"{deaths} {dies_after_s}")
        hot = self.chance.choice(LARGEST)
        lives = [
            Life(
                folder=self.config.dir,
                report=self._scratch / f"report-{n}",
                seed=self.chance.getrandbits(32),
                hot=hot,
                steps=steps,
                dies_at=dies_at,
            )
            for n, dies_at in enumerate(deaths)
        ]
        for one in lives:
            one.report.unlink(missing_ok=True)
        processes = [start(live, one) for one in lives]
        try:
            if dies_after_s is not None:
                processes[0].join(dies_after_s)
                processes[0].kill()
            for process in processes:
                process.join(_END_S)
                assert process.exitcode is not None, "a worker does not end"
        finally:
            for process in processes:
                process.kill()
                process.join()
                process.close()
        said = [said_by(one.report) for one in lives]
        for number, text in enumerate(said):
            assert text.startswith("passed") or not text, f"worker {number} of {len(said)}: {text}"
            was_to_die = deaths[number] is not None or (number == 0 and dies_after_s is not None)
            assert text or was_to_die, f"worker {number} vanished"
            self.kills += not text
            self.takeovers += int(text.split()[2]) if text else 0
        return said

    def check(self, *, orphan_s: float | None) -> None:
        with structlog.testing.capture_logs():
            uvloop.run(check(self.config, CONTENTS, self.chance, orphan_s=orphan_s))

    def forget_all(self) -> None:
        shutil.rmtree(self.config.dir, ignore_errors=True)


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    """Whatever fails tells the seed and the last rounds."""
    sweep = Sweep(tmp_path, seed_of_this_run())
    yield sweep
    print("the last rounds:", *sweep.rounds)


LONG = [pytest.mark.long, pytest.mark.timeout(3000)]


@pytest.mark.parametrize(("kills", "stride"), [(20, 11), pytest.param(600, 1, marks=LONG)])
def test_after_a_kill_at_any_point_every_entry_is_its_image_and_every_image_can_be_stored(
    sweep: Sweep, kills: int, stride: int
) -> None:
    for dies_at in itertools.cycle(range(sweep.chance.randint(1, stride), 240, stride)):
        sweep.round([dies_at], steps=8)
        sweep.check(orphan_s=sweep.chance.choice((0.1, None)))
        if sweep.kills >= kills:
            break


@pytest.mark.parametrize("kills", [25, pytest.param(400, marks=LONG)])
def test_clients_of_workers_that_live_on_do_not_notice_that_others_are_killed(sweep: Sweep, kills: int) -> None:
    """At any point, or at any time: then also in the midst of what SQLite writes by itself."""
    while sweep.kills < kills:
        workers = sweep.chance.choice((2, 3))
        deaths: list[int | None] = [sweep.chance.randint(1, 300) for _ in range(sweep.chance.randint(0, workers))]
        deaths += [None] * (workers - len(deaths))
        sweep.round(deaths, steps=8, dies_after_s=sweep.chance.choice((None, sweep.chance.random() / 3)))
        sweep.check(orphan_s=sweep.chance.choice((0.1, None)))
    print(f"{sweep.takeovers} fills were taken over")
    assert sweep.takeovers or kills < 100, "nothing was shown"


@pytest.mark.parametrize(("kills", "stride"), [(12, 3), pytest.param(120, 1, marks=LONG)])
def test_a_kill_while_the_folder_is_being_made_can_be_repeated(sweep: Sweep, kills: int, stride: int) -> None:
    for dies_at in itertools.cycle(range(sweep.chance.randint(1, stride), 40, stride)):
        sweep.forget_all()
        sweep.round([dies_at], steps=1)
        sweep.round([None, dies_at], steps=1)
        sweep.check(orphan_s=0.1)
        if sweep.kills >= kills:
            break


@pytest.mark.long
def test_a_half_filled_file_is_gone_ten_seconds_after_the_start(sweep: Sweep) -> None:
    """In real time; with it, all that was promised to it."""
    while not any(path.stat().st_size for path in files_in(sweep.config.dir, "fills")):
        sweep.round([sweep.chance.randint(20, 100)], steps=8)

    async def starts() -> None:
        async with asyncio.timeout(CLEAN_S), ImageCache(sweep.config, Instruments()) as cache:
            while files_in(sweep.config.dir, "fills", "leaving") or (await cache.usage()).reserved_bytes:  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.1)

    uvloop.run(starts())
