"""One cache, several processes of a real Glint: who reads the store, what the death or sleep of one costs others."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients import Cut, download, fast_digest
from tests.content import MIB, Content, Noise
from tests.descriptors import links_of, locker_of
from tests.glint import Glint
from tests.origin import Fault, Gate, Origin
from tests.stopping import stopped

CONTENT = Noise(24 * MIB + 11, seed=77)
DIGEST = fast_digest(CONTENT)
GATE_AT = 8 * MIB
CLIENTS = 24
_ESTABLISHED = "01"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as serving:
        yield serving


@pytest.fixture
def glint(tmp_path: Path) -> Iterator[Glint]:
    with Glint(tmp_path, {"server.workers": 3, "cache.stall_s": 4, "cache.fill_idle_s": 20}) as served:
        while served.metrics().value("glint_workers") < 3:  # the others answer somewhat later
            time.sleep(0.05)
        yield served


class Downloads:
    """Clients that come at once and run beside the test; each ends with a digest or with a cut."""

    def __init__(self, glint: Glint, image_id: str, clients: int = CLIENTS) -> None:
        url = f"{glint.url}/v2/images/{image_id}/file"
        self._threads = ThreadPoolExecutor(clients)
        self._running: list[Future[str]] = [self._threads.submit(self._one, url) for _ in range(clients)]

    @staticmethod
    def _one(url: str) -> str:
        try:
            return download(url)
        except Cut:
            return "cut"

    def ends(self) -> list[str]:
        ends = [running.result() for running in self._running]
        self._threads.shutdown()
        return ends


def registered(glint: Glint, origin: Origin, name: str, content: Content = CONTENT, *faults: Fault) -> str:
    origin.add(name, content)
    origin.script(name, *faults)
    return glint.register(origin.url(name), content)


def filler_of(glint: Glint) -> int:
    """The process that holds the lock of the one growing file."""
    (path,) = (glint.cache_dir / "fills").iterdir()
    found = locker_of(path)
    assert found is not None
    return found


def clients_of(glint: Glint, pid: int) -> int:
    """How many connections at Glint's port a process has accepted."""
    sockets = set(links_of(pid))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    mine = [row for row in rows if row[1].endswith(f":{glint.port:04X}") and row[3] == _ESTABLISHED]
    return sum(f"socket:[{row[9]}]" in sockets for row in mine)


def until_written(glint: Glint, size_bytes: int) -> None:
    """Wait until the one growing file has so many bytes."""
    (partial,) = (glint.cache_dir / "fills").iterdir()
    while partial.stat().st_size < size_bytes:
        time.sleep(0.01)


def until_quiet(glint: Glint) -> None:
    """Wait until nothing grows and nothing leaves."""
    deadline = time.monotonic() + 60
    while any((glint.cache_dir / "fills").iterdir()) or any((glint.cache_dir / "leaving").iterdir()):
        assert time.monotonic() < deadline, [str(path) for path in glint.cache_dir.rglob("*")]
        time.sleep(0.05)


def is_cached(glint: Glint, image_id: str) -> bool:
    return bool((glint.cache_dir / "entries" / image_id[:2] / image_id).exists())


def test_many_misses_over_all_workers_are_one_store_read(glint: Glint, origin: Origin) -> None:
    gate = Gate(at=MIB)
    image_id = registered(glint, origin, "storm", CONTENT, Fault(gate=gate))
    downloads = Downloads(glint, image_id, clients=96)
    gate.wait_reached()
    while sum(clients_of(glint, pid) for pid in glint.worker_pids) < 96:
        time.sleep(0.02)
    gate.open()
    assert downloads.ends() == [DIGEST] * 96
    assert origin.counts("storm").gets == 1
    assert origin.counts("storm").sent_bytes == CONTENT.size_bytes
    assert origin.counts("storm").heads <= 1


def test_another_worker_goes_on_when_the_filling_one_is_killed(glint: Glint, origin: Origin) -> None:
    gate = Gate(at=GATE_AT)
    image_id = registered(glint, origin, "killed", CONTENT, Fault(gate=gate))
    downloads = Downloads(glint, image_id)
    gate.wait_reached()
    until_written(glint, GATE_AT)
    filler = filler_of(glint)
    others = [pid for pid in glint.worker_pids if pid != filler]
    while sum(clients_of(glint, pid) for pid in [filler, *others]) < CLIENTS:
        time.sleep(0.02)
    survivors = sum(clients_of(glint, pid) for pid in others)
    os.kill(filler, signal.SIGKILL)
    ends = downloads.ends()
    assert (ends.count(DIGEST), ends.count("cut")) == (survivors, CLIENTS - survivors)
    assert origin.counts("killed").ranges == [None, f"bytes={GATE_AT}-"]
    gate.open()
    until_quiet(glint)
    assert is_cached(glint, image_id)
    glint.until_counted(1, "glint_fill_takeovers_total", reason="died")
    assert download(f"{glint.url}/v2/images/{image_id}/file") == DIGEST


def test_a_worker_that_sleeps_is_gone_round_and_its_own_clients_finish_when_it_wakes(
    glint: Glint, origin: Origin
) -> None:
    gate = Gate(at=GATE_AT)
    image_id = registered(glint, origin, "asleep", CONTENT, Fault(gate=gate))
    downloads = Downloads(glint, image_id)
    gate.wait_reached()
    with stopped(filler_of(glint), glint.directory):
        deadline = time.monotonic() + 60
        while not is_cached(glint, image_id):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        gate.open()
    assert downloads.ends() == [DIGEST] * CLIENTS
    until_quiet(glint)
    assert len(origin.counts("asleep").ranges) == 2
    glint.until_counted(1, "glint_fill_takeovers_total", reason="stalled")
    deadline = time.monotonic() + 60
    while ((usage := glint.get("/v2/cache/usage").json)["reserved_bytes"], usage["entries"]) != (0, 1):
        assert time.monotonic() < deadline, usage
        time.sleep(0.05)


def test_a_fill_is_gone_on_with_after_everything_was_killed(glint: Glint, origin: Origin) -> None:
    gate = Gate(at=GATE_AT)
    image_id = registered(glint, origin, "restarted", CONTENT, Fault(gate=gate))
    downloads = Downloads(glint, image_id, clients=3)
    gate.wait_reached()
    until_written(glint, GATE_AT)
    for pid in [*glint.worker_pids, glint.pid]:
        os.kill(pid, signal.SIGKILL)
    assert downloads.ends() == ["cut"] * 3
    gate.open()
    glint.stop()
    glint.start()
    deadline = time.monotonic() + 60
    while not is_cached(glint, image_id):  # nobody asks for it: Glint remembers
        assert time.monotonic() < deadline, glint.log[-3000:]
        time.sleep(0.05)
    until_quiet(glint)
    assert len(origin.counts("restarted").ranges) == 2
    assert origin.counts("restarted").ranges[1] is not None
    assert download(f"{glint.url}/v2/images/{image_id}/file") == DIGEST
