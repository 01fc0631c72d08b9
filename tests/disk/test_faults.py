"""Whatever the cache's disk does, whatever the cache is about: each client gets every byte while the store is well.

And nothing is left over: when the disk is well again, the image lies in the cache, the limit holds, all is counted.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cache import Verdict
from tests.disk.faults import DISK_FAULTS, FILE_FAULTS, flip
from tests.disk.scene import STATES, Scene, scene

# So that a minute of good behaviour need not be waited for. A disk that is only slow is judged by the real numbers.
_QUICK = {
    "cache.health.CLEAN_S": 0.2,
    "cache.health.CLEAN_OPERATIONS_MIN": 12,
    "cache.health.UNSTABLE_PROBE_PAUSE_S": 0.05,
    "cache.housekeeping._EVERY_S": 0.1,
    "cache.books._ORPHAN_S": 0.3,
}
_QUICK_TO_HANG = {"cache.watch.HANG_S": 0.8, "cache.boarding._LOCATE_S": 0.5}
# Of these, `make test` does those that matter most.
_LONG = {(fault, state) for fault in ("slow", "hangs", "little at once") for state in ("cold", "evicting", "scrubbing")}


def _fault(name: str) -> Callable[[Scene], None]:
    if name in DISK_FAULTS:
        return lambda now: DISK_FAULTS[name](now.disk)
    return lambda now: FILE_FAULTS[name](now.files())


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        pytest.param(fault, state, marks=[pytest.mark.long] if (fault, state) in _LONG else [], id=f"{fault}, {state}")
        for fault in [*DISK_FAULTS, *FILE_FAULTS]
        for state in STATES
    ],
)
async def test_each_client_gets_every_byte_and_nothing_is_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, state: str
) -> None:
    for name, value in (_QUICK | (_QUICK_TO_HANG if fault == "hangs" else {})).items():
        monkeypatch.setattr(name, value)
    async with scene(tmp_path, _fault(fault)) as now:
        await STATES[state](now)
        now.disk.heal()
        await now.have(now.wanted)
        await now.is_left_as_it_should_be()
        assert not now.disk.held_loops, "the event loop waited for the disk"


@pytest.mark.parametrize("when", ["written", "lying", "checked"])
async def test_a_bit_that_flips_is_found_when_the_entry_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    for name, value in _QUICK.items():
        monkeypatch.setattr(name, value)
    async with scene(tmp_path, _fault("full")) as now:
        if when == "written":
            now.disk.flip({"pwrite", "pwritev"}, path_part="/fills/")
            assert len(await now.glint.fetch(now.wanted.image_id)) == len(now.wanted.data)
        else:
            await now.have(now.wanted)
        entry = await now.entry_of(now.wanted)
        if when == "lying":
            await asyncio.to_thread(flip, [entry])
        if when == "checked":
            now.disk.flip("preadv", path_part="/entries/")
        assert await now.glint.services.cache.verify(now.wanted.image_id) is Verdict.DAMAGED
        await now.have(now.wanted)
        await now.entry_of(now.wanted)
        assert await now.glint.services.cache.verify(now.wanted.image_id) is Verdict.WHOLE
        await now.is_left_as_it_should_be()
