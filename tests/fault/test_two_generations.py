"""A rolling upgrade on one host: two `glint serve` on one cache folder, of which the old one drains or is killed."""

import http.client
import random
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients import Cut, download, fast_digest
from tests.content import KIB, MIB, Noise
from tests.fault.test_shared_cache import clients_of
from tests.glint import Glint
from tests.kill.checking import entries_in, files_in
from tests.kill.sampling import Sampler
from tests.origin import Fault, Gate, Origin
from tests.seeds import seed_of_this_run
from tests.takeover.service import wait_until

CONTENT = Noise(12 * MIB + 11, seed=77)
DIGEST = fast_digest(CONTENT)
GATE_AT = 4 * MIB
NOTICE_S = 1.5  # in which who has just chosen the old one gets to it
CLIENTS = 6  # of each generation
LIMIT_BYTES = 16 * MIB
IMAGES = [Noise(2 * MIB + n * 300 * KIB, seed=n % 8) for n in range(8)]  # 24 MiB: not all fit


def settings_of(folder: Path, workers: int = 1, size_max: int = 64 * MIB) -> dict[str, Any]:
    return {
        "server.workers": workers,
        "server.drain_s": 30,
        "registry.url": f"sqlite:///{folder / 'registry.db'}",
        "stores.backends.local": {"kind": "file", "dir": str(folder / "images")},
        "cache": {
            "dir": str(folder / "cache"),
            "size_max": size_max,
            "free_min": 0,
            "min_age_s": 0,
            "stall_s": 2,
            "evict_from_percent": 100,
            "evict_to_percent": 90,
        },
        "logging.level": "info",
    }


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as serving:
        yield serving


@pytest.mark.parametrize("is_killed", [False, True], ids=["drains", "is killed"])
def test_an_image_that_the_old_one_fills_is_read_once_and_served_by_both(
    tmp_path: Path, origin: Origin, is_killed: bool
) -> None:
    name, gate = f"handed-over-{is_killed}", Gate(at=GATE_AT)
    origin.add(name, CONTENT)
    origin.script(name, Fault(gate=gate))
    settings = settings_of(tmp_path)
    with Glint(tmp_path / "old", settings, stop_s=60) as old, Glint(tmp_path / "new", settings) as new:
        image_id = old.register(origin.url(name), CONTENT)
        with ThreadPoolExecutor(2 * CLIENTS + 1) as threads:
            of_old = _downloads(threads, old, image_id)
            gate.wait_reached()
            wait_until(lambda: clients_of(old, old.pid) >= CLIENTS)
            of_new = _downloads(threads, new, image_id)
            (growing,) = files_in(tmp_path / "cache", "fills")
            wait_until(lambda: growing.stat().st_size >= GATE_AT and clients_of(new, new.pid) >= CLIENTS)
            if is_killed:
                old.kill()
            else:
                stopping = threads.submit(old.stop)
                wait_until(lambda: not _accepts(old))
            gate.open()
            assert [running.result() for running in of_new] == [DIGEST] * CLIENTS
            assert [running.result() for running in of_old] == (["cut"] if is_killed else [DIGEST]) * CLIENTS
            if not is_killed:
                stopping.result()
        wait_until(lambda: image_id in entries_in(tmp_path / "cache") and not files_in(tmp_path / "cache", "fills"))
        assert origin.counts(name).ranges == ([None, f"bytes={GATE_AT}-"] if is_killed else [None])
        assert download(f"{new.url}/v2/images/{image_id}/file") == DIGEST
        new.until_counted(1, "glint_downloads_total", outcome="hit")
        _is_in_order(new, tmp_path / "cache")


@pytest.mark.parametrize(
    ("turns", "workers"),
    [
        pytest.param(2, 1, id="two turns"),
        pytest.param(12, 2, id="twelve turns of two workers", marks=[pytest.mark.long, pytest.mark.timeout(600)]),
    ],
)
def test_generations_that_come_drain_and_die_on_one_folder_keep_it_whole(
    tmp_path: Path, origin: Origin, turns: int, workers: int
) -> None:
    """All serve, fill and evict at once on a folder too small for all images, and the limit is looked at meanwhile."""
    chance = random.Random(seed_of_this_run())
    settings, folder = settings_of(tmp_path, workers, LIMIT_BYTES), tmp_path / "cache"
    settings["server.drain_notice_s"] = NOTICE_S
    with Glint(tmp_path / "first", settings, stop_s=60) as first:
        images = [_registered(first, origin, f"of-generations-{number}", image) for number, image in enumerate(IMAGES)]
        clients = Clients(images, [first], chance)
        with clients.at_work(), _sampled(folder, clients):
            for turn in range(turns):
                leaving = clients.serving[0]
                (new := Glint(tmp_path / f"next-{turn}", settings, stop_s=60)).start()
                clients.serving = [leaving, new]
                clients.until_done(12)
                clients.serving = [new]
                if turn % 2:
                    clients.killed.add(leaving)
                    leaving.kill()
                else:
                    leaving.stop()
                clients.until_done(6)
        last = clients.serving[0]
        try:
            assert clients.failures == []
            for image_id, image in images:
                assert download(f"{last.url}/v2/images/{image_id}/file") == fast_digest(image)
            assert last.metrics().value("glint_evictions_total") > 0
            wait_until(lambda: not files_in(folder, "fills", "leaving"))
            _is_in_order(last, folder)
        finally:
            last.stop()


class Clients:
    """Threads that download, read parts and evict, each time at one of those that serve."""

    def __init__(self, images: Sequence[tuple[str, Noise]], serving: list[Glint], chance: random.Random) -> None:
        self._images, self.serving = images, serving
        self._seeds = [chance.getrandbits(32) for _ in range(4)]
        self._stopping = threading.Event()
        self.killed: set[Glint] = set()
        self.failures: list[str] = []
        self.done = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with ThreadPoolExecutor(len(self._seeds)) as threads:
            running = [threads.submit(self._work, random.Random(seed)) for seed in self._seeds]
            try:
                yield
            finally:
                self._stopping.set()
            for work in running:
                work.result()

    def until_done(self, count: int) -> None:
        """So many more requests are answered, or one is answered wrong."""
        before = self.done
        wait_until(lambda: self.done >= before + count or bool(self.failures))

    def _work(self, chance: random.Random) -> None:
        while not self._stopping.is_set():
            image_id, image = chance.choice(self._images)
            glint, act = (
                chance.choice(self.serving),
                chance.choices((self._whole, self._part, self._evict), (6, 3, 1))[0],
            )
            try:
                act(chance, glint, image_id, image)
                self.done += 1
            except ConnectionRefusedError:
                if glint in self.serving:
                    self.failures.append(f"{act.__name__}: {glint.directory.name} serves and refuses")
            except Exception as error:  # noqa: BLE001 - each is a request that failed
                if glint not in self.killed:
                    self.failures.append(f"{act.__name__} at {glint.directory.name}: {type(error).__name__}: {error}")

    def _whole(self, _: random.Random, glint: Glint, image_id: str, image: Noise) -> None:
        answer = glint.request("GET", f"/v2/images/{image_id}/file")
        assert answer.status == 200, answer.content
        assert answer.content == image.read(), f"{len(answer.content)} wrong bytes"

    def _part(self, chance: random.Random, glint: Glint, image_id: str, image: Noise) -> None:
        start, stop = sorted(chance.sample(range(image.size_bytes), 2))
        part = {"Range": f"bytes={start}-{stop - 1}"}
        answer = glint.request("GET", f"/v2/images/{image_id}/file", headers=part)
        assert answer.status == 206, answer.content
        assert answer.content == image.read(start, stop), f"{len(answer.content)} wrong bytes of a part"

    def _evict(self, _: random.Random, glint: Glint, image_id: str, __: Noise) -> None:
        assert glint.request("DELETE", f"/v2/cache/{image_id}").status in {204, 404}


@contextmanager
def _sampled(folder: Path, clients: Clients) -> Iterator[None]:
    """Look all the time how much there is, and how much is promised."""
    ended = threading.Event()

    def sample() -> int:
        with closing(Sampler(folder)) as sampler:
            while not ended.wait(0.005):
                for size_bytes in (sampler.sample(()), sampler.promised_bytes()):
                    if size_bytes > LIMIT_BYTES:
                        clients.failures.append(f"{size_bytes} bytes are there or promised, {LIMIT_BYTES} are allowed")
            return sampler.most_bytes

    with ThreadPoolExecutor(1) as threads:
        sampling = threads.submit(sample)
        try:
            yield
        finally:
            ended.set()
        assert sampling.result() > LIMIT_BYTES / 2, "it was never full: nothing was shown"


def _registered(glint: Glint, origin: Origin, name: str, image: Noise) -> tuple[str, Noise]:
    origin.add(name, image)
    return glint.register(origin.url(name), image), image


def _downloads(threads: ThreadPoolExecutor, glint: Glint, image_id: str) -> list[Future[str]]:
    return [threads.submit(_end_of, f"{glint.url}/v2/images/{image_id}/file") for _ in range(CLIENTS)]


def _end_of(url: str) -> str:
    try:
        return download(url)
    except Cut:
        return "cut"


def _accepts(glint: Glint) -> bool:
    try:
        glint.request("GET", "/healthcheck", timeout_s=2)
    except (OSError, http.client.HTTPException):
        return False
    return True


def _is_in_order(glint: Glint, folder: Path) -> None:
    """The index counts what lies there, nothing is promised, and every entry is as it was written.

    What a process could not write down before its end another one does within seconds.
    """

    def agrees() -> bool:
        usage = glint.get("/v2/cache/usage").json
        size_bytes = sum(path.stat().st_size for path in files_in(folder, "entries"))
        return bool(usage["reserved_bytes"] == 0 and usage["committed_bytes"] == size_bytes)

    wait_until(agrees)
    with closing(sqlite3.connect(folder / "index.db")) as index:
        keys = {key for (key,) in index.execute("SELECT key FROM entries")}
    assert keys == entries_in(folder).keys()
    verified = glint.run("cache", "verify", *keys)
    assert verified.returncode == 0, verified.stdout
