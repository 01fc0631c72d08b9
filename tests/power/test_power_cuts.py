"""The power goes at any moment of a cache's life: what is served afterwards is right, and nothing is stuck.

A cache is recorded while it lives (tests/power/driver.py). Then, for many points of the recording, a disk is made as it
may be found when the power went there (tests/power/disk.py), and a cache is started on it.
"""

import asyncio
import os
import random
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog.testing

from cache import ImageCache, Outcome, Reader
from metrics import Instruments
from tests.content import Content
from tests.power.calls import Call, Mark, Open, Remove, Rename, Write
from tests.power.disk import Disk, Order
from tests.power.driver import LIMIT_BYTES, Memory, blob_of, config_of, images
from tests.power.recorder import record
from tests.seeds import seed_of_this_run

ROOT = Path(__file__).parents[2]
CLEAN_S = 10  # partial files are gone so long after a start
LAZY = {"evict_from_percent": 100, "evict_to_percent": 100}  # what was promised stays as long as there is room


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    calls: list[Call]
    folder: Path
    contents: Mapping[str, Content]


def recorded(scratch: Path, seed: int, count: int) -> Recording:
    folder, marks = scratch / "cache", scratch / "marks"
    calls = record(
        [sys.executable, "-P", "-m", "tests.power.driver", folder, marks, str(seed), str(count)],
        folder,
        marks=marks,
        scratch=scratch,
        environment={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(scratch)},
    )
    return Recording(calls=calls, folder=folder, contents=images(seed, count))


def test_the_recording_ends_with_what_lies_in_the_folder(tmp_path: Path) -> None:
    """Else a call was missed or misread, and the cuts would prove nothing."""
    recording = recorded(tmp_path, seed=1, count=6)
    for order in Order:
        disk = Disk(str(recording.folder), order)
        for call in recording.calls:
            disk.take(call)
        whole, lying = disk.whole(), {str(path.relative_to(recording.folder)): path for path in tree(recording.folder)}
        assert whole.files == {name: None if path.is_dir() else path.read_bytes() for name, path in lying.items()}
        assert whole.modes == {name: path.stat().st_mode & 0o7777 for name, path in lying.items()}


@pytest.mark.parametrize(
    ("count", "points"), [(10, 26), pytest.param(40, 240, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
async def test_after_a_power_cut_all_that_is_served_is_right_and_all_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, points: int
) -> None:
    monkeypatch.setattr("cache.layout.boot_id", lambda: "the boot after the power cut")
    for syncing in ("os.fsync", "os.fdatasync"):  # a second power cut is not played, and syncing takes long
        monkeypatch.setattr(syncing, lambda _: None)
    seed = seed_of_this_run()
    recording = await asyncio.to_thread(recorded, tmp_path, seed, count)
    chance = random.Random(seed)
    for order, number in [(order, n) for order in Order for n in points_of(recording.calls, points // 2, chance)]:
        cut = Cut(recording, order, number, seed)
        try:
            with structlog.testing.capture_logs():
                await cut.check(tmp_path / "after")
        except Exception as error:
            error.add_note(f"{order} order, the power went after {cut.last}")
            raise
        await asyncio.to_thread(shutil.rmtree, tmp_path / "after")


def points_of(calls: list[Call], count: int, chance: random.Random) -> list[int]:
    """After which calls the power goes: half of them just before or after names and syncs, where it matters most."""
    turns = [at + side for at, call in enumerate(calls) if not isinstance(call, Write | Open | Mark) for side in (0, 1)]
    return sorted(
        [*chance.choices(turns, k=count // 2), *(chance.randint(0, len(calls)) for _ in range(count - count // 2))]
    )


class Cut:
    """The power goes after `number` calls."""

    def __init__(self, recording: Recording, order: Order, number: int, seed: int) -> None:
        self._contents = recording.contents
        self._disk = Disk(str(recording.folder), order)
        self._promised: set[str] = set()
        for call in recording.calls[:number]:
            self._disk.take(call)
            match call:
                case Mark():
                    verb, _, key = call.text.partition(" ")
                    (self._promised.add if verb == "stored" else self._promised.discard)(key)
                case Remove() | Rename():  # evicted; it may come again before it is promised again
                    self._promised.discard(Path(call.path).name)
        self._chance = random.Random(f"{seed} {order} {number}")
        self.last = f"call {number} of {len(recording.calls)}, {_brief(recording.calls[number - 1])}"

    async def check(self, folder: Path) -> None:
        survivors = self._disk.cut(self._chance)
        survivors.write_to(folder)
        promised = self._promised
        if survivors.size_bytes > LIMIT_BYTES:  # entries whose removal was lost: some must go, maybe promised ones
            promised = set()
        async with ImageCache(config_of(folder).model_copy(update=LAZY), Instruments()) as cache:
            held = await _settled(cache, folder)
            assert promised <= held, f"stored, not evicted, and gone: {promised - held}"
            for key in sorted(held):
                assert await self._outcome_of(cache, key) is Outcome.HIT
            await self._within_limit(cache, folder)
            for key in self._chance.sample(sorted(self._contents), len(self._contents)):
                assert await self._outcome_of(cache, key) is not Outcome.BYPASS, f"{key} cannot be cached"
                await cache.store(blob_of(key, self._contents[key]), Memory(self._contents[key]))
                assert await self._outcome_of(cache, key) is Outcome.HIT
            await self._within_limit(cache, folder)
            async with asyncio.timeout(CLEAN_S):
                while tree(folder / "fills") + tree(folder / "leaving"):  # noqa: ASYNC110 - the cache has no event for it
                    await asyncio.sleep(0.01)

    async def _outcome_of(self, cache: ImageCache, key: str) -> Outcome:
        content = self._contents[key]
        async with cache.open(blob_of(key, content), Memory(content)) as reader:
            assert await whole_of(reader) == content.read(), f"{key} was served wrong, as a {reader.outcome}"
            return reader.outcome

    async def _within_limit(self, cache: ImageCache, folder: Path) -> None:
        counted = (await cache.usage()).charged_bytes
        lying = sum(
            path.stat().st_size
            for part in ("entries", "fills", "leaving", "quarantine")
            for path in tree(folder / part)
            if path.is_file()
        )
        assert counted <= LIMIT_BYTES
        assert abs(counted - lying) <= lying / 1000


async def _settled(cache: ImageCache, folder: Path) -> set[str]:
    """The entries, once what the cache knows is what lies in its folder: it looks after it has begun to serve."""
    async with asyncio.timeout(CLEAN_S):
        while True:
            known = {entry.key for entry in await cache.entries()}
            lying = {path.name for path in (folder / "entries").glob("*/*") if path.suffix != ".sums"}
            if known == lying:
                return known
            await asyncio.sleep(0.01)


async def whole_of(reader: Reader) -> bytes:
    """What a client would get."""
    if not reader.has_file:
        async with reader.direct() as pieces:
            return b"".join([piece async for piece in pieces])
    content = bytearray()
    assert reader.blob.size_bytes is not None
    while len(content) < reader.blob.size_bytes:
        upto = await reader.beyond(len(content))
        content += await asyncio.to_thread(os.pread, reader.fd, upto - len(content), len(content))
    return bytes(content)


def tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*")) if folder.is_dir() else []


def _brief(call: Call) -> str:
    return f"{call!r:.200}"
