"""`pages`: images that are on the server's disk and not in its memory. Who asks for something else must not wait."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from bench.glint import Images, file_path, glint_process
from bench.idle import Idle
from bench.load import Downloads, Job, Requests, SlowDownloads
from bench.measuring import Measured, Run, measure, verify, xxh3_of
from bench.places import GLINT, NGINX, glint_name, place
from bench.results import Column
from bench.session import Scenario, Session
from tests.content import GIB, MIB, Noise
from tests.glint import Glint, Metrics
from tests.peers import StaticNginx

NAME = "pages"
EXPECTED = """\
The disk is the bound, so the same throughput for both. nginx without threads waits for it in its loop, and so does
everybody who asks it for something small. Glint asks whether pages are in memory, has threads wait for the others, and
sends in threads: its loop is late by what the cores make it wait, as is a process that only sleeps (the kernel and the
host of a virtual machine do that to everybody). Where clients read at a steady rate the cores have time left, and the
loop's p99 stays below 10 ms."""
_LAG = "glint_loop_lag_seconds"
_LATE_S = 0.01  # a bound of the histogram
_BEFORE_S = 0.2  # for the downloads to be under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    images: int
    size_bytes: int
    downloads: int  # clients for each image
    clients: int  # who ask for something small, each so long after the last answer
    pause_s: float
    seconds: float
    rounds: int
    rate_bytes_s: int  # of each download, in the case where they are paced: well below what disk and cores can do
    workers: tuple[int, ...] = (1,)

    @property
    def cases(self) -> dict[str, int]:
        """The rate by what it is called; 0: as fast as they come."""
        return {"unpaced": 0, f"{self.rate_bytes_s / MIB:g} MiB/s each": self.rate_bytes_s}


SMALL = Load(
    images=2, size_bytes=4 * MIB, downloads=2, clients=1, pause_s=0.01, seconds=0.6, rounds=1, rate_bytes_s=MIB
)
REAL = Load(
    images=8,
    size_bytes=GIB // 2,
    downloads=8,
    clients=4,
    pause_s=0.01,
    seconds=2.0,
    rounds=10,
    rate_bytes_s=4 * MIB,
    workers=(1, 2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    server: Measured
    requests: Requests
    downloads: Sequence[Downloads]
    files: Sequence[Path]
    lag: Callable[[], Metrics | None]


def run(session: Session, load: Load) -> list[Run]:
    """Interleaved. Raises WrongBytes."""
    runs: list[Run] = []
    with _places(session, load) as found:
        lags = {(name, case): _Lags() for name in found for case in load.cases}
        for turn in range(1, load.rounds + 1):
            for case, rate_bytes_s in load.cases.items():
                for name, one in found.items():
                    for file in one.files:
                        _forget(file)
                    job = replace(
                        one.requests,
                        clients=load.clients,
                        seconds=load.seconds,
                        delay_s=_BEFORE_S,
                        pause_s=load.pause_s,
                    )
                    beside = [_download(each, load, rate_bytes_s) for each in one.downloads]
                    before = one.lag()
                    with Idle() as idle:
                        done, _ = measure(
                            NAME, name, one.server, [job], cores=session.cores, turn=turn, case=case, beside=beside
                        )
                    lag = lags[name, case]
                    lag.add(before, one.lag(), idle.lags_s)
                    done = replace(done, verified=done.bodies, figures=lag.figures())
                    waits = f"p50 {done.wait_p50_s * 1000:.1f} ms, p99 {done.wait_p99_s * 1000:.1f} ms"
                    session.add(runs, done, waits)
    return runs


def _download(job: Downloads, load: Load, rate_bytes_s: int) -> Job:
    """Of one image by its clients, until the small answers have been counted; paced, each reads a part of his own."""
    seconds = _BEFORE_S + load.seconds
    if not rate_bytes_s:
        return replace(job, clients=load.downloads, seconds=seconds)
    return SlowDownloads(
        host=job.host,
        port=job.port,
        path=job.path,
        size_bytes=job.size_bytes,
        stop_bytes=int(rate_bytes_s * seconds),
        rate_bytes_s=rate_bytes_s,
        apart_bytes=job.size_bytes // load.downloads,
        clients=load.downloads,
    )


@contextmanager
def _places(session: Session, load: Load) -> Iterator[dict[str, _Place]]:
    """Nginx with the images as files, Glint with them in its cache; all were downloaded once and were right."""
    with ExitStack() as stack:
        folder = stack.enter_context(session.folder())
        www = folder / "www"
        www.mkdir()
        (www / "small").write_text("OK")
        contents = [Noise(load.size_bytes, seed=number) for number in range(load.images)]
        for number, content in enumerate(contents):
            with (www / f"{number}").open("wb") as file:
                for piece in content.pieces():
                    file.write(piece)
                os.fdatasync(file.fileno())
        nginx = stack.enter_context(StaticNginx(folder / "nginx", www))
        paths = [f"/{number}" for number in range(load.images)]
        files = [www / path[1:] for path in paths]
        found = {NGINX: _place(nginx, nginx.port, load, "/small", paths, files, lambda: None)}
        for workers in load.workers:
            settings = {"server.workers": workers} if workers > 1 else None
            glint = stack.enter_context(glint_process(folder / f"glint{workers}", settings=settings))
            images = Images(glint.port)
            ids = [
                images.register(f"{number}", f"{nginx.url}/{number}", content.digest("sha256"), "sha256")
                for number, content in enumerate(contents)
            ]
            files = [glint.cache_dir / "entries" / one[:2] / one for one in ids]
            paths = [file_path(one) for one in ids]
            found[glint_name(workers)] = _place(glint, glint.port, load, "/healthcheck", paths, files, glint.metrics)
        for name, one in found.items():
            for job, content in zip(one.downloads, contents, strict=True):
                verify(name, job, xxh3_of(content))
        yield found


def _place(
    server: StaticNginx | Glint,
    port: int,
    load: Load,
    small: str,
    paths: Sequence[str],
    files: Sequence[Path],
    lag: Callable[[], Metrics | None],
) -> _Place:
    return _Place(
        server=server,
        requests=Requests(host="127.0.0.1", port=port, path=small),
        downloads=[place(server, port, path, load.size_bytes).job for path in paths],
        files=files,
        lag=lag,
    )


def _forget(path: Path) -> None:
    """Drop the file's pages from memory. They are on the disk: only clean ones can be dropped."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


class _Lags:
    """How late one server's loop was, and an idle process beside it, in all rounds: one has too few looks for a p99."""

    def __init__(self) -> None:
        self._counts: Counter[float] = Counter()
        self._idle_s: list[float] = []

    def add(self, before: Metrics | None, after: Metrics | None, idle_s: Sequence[float]) -> None:
        self._idle_s += idle_s
        if before is not None and after is not None:
            self._counts.update(_counts(after))
            self._counts.subtract(_counts(before))

    def figures(self) -> dict[str, float]:
        """The loop's p99 is the upper bound of the bucket that it is in. `late`: the share of looks beyond 10 ms."""
        figures = {
            "idle_lag_p99_s": sorted(self._idle_s)[int(len(self._idle_s) * 0.99)],
            "idle_late": sum(lag_s > _LATE_S for lag_s in self._idle_s) / len(self._idle_s),
        }
        if looks := self._counts[inf]:
            figures["lag_p99_s"] = min(bound for bound, count in self._counts.items() if count >= 0.99 * looks)
            figures["late"] = 1 - self._counts[_LATE_S] / looks
        return figures


def _counts(metrics: Metrics) -> dict[float, int]:
    """By upper bound, of all workers: how many were not later."""
    found: dict[float, int] = {}
    for sample in metrics.samples:
        if sample.name == f"{_LAG}_bucket":
            bound = float(sample.labels["le"])
            found[bound] = found.get(bound, 0) + int(sample.value)
    return found


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


SCENARIO = Scenario(
    name=NAME,
    title="Pages: images on the disk that are not in memory",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("small answers p50 ms", lambda run: run.wait_p50_s * 1000, ".2f"),
        Column("p99 ms", lambda run: run.wait_p99_s * 1000, ".2f"),
        Column(
            "loop lag p99, at most ms", lambda run: _times(1000, run.figures.get("lag_p99_s")), ".1f", is_pooled=True
        ),
        Column("an idle process's", lambda run: _times(1000, run.figures.get("idle_lag_p99_s")), ".1f", is_pooled=True),
        Column("loop late by over 10 ms, %", lambda run: _times(100, run.figures.get("late")), ".1f", is_pooled=True),
        Column("idle process, %", lambda run: _times(100, run.figures.get("idle_late")), ".1f", is_pooled=True),
        Column("unanswered", lambda run: run.unanswered, ".0f"),
        Column("downloads GiB/s", lambda run: run.beside_bytes / GIB / (run.seconds + _BEFORE_S), ".2f"),
        Column("CPU s", lambda run: run.cpu_s, ".2f"),
    ),
    ours=(GLINT, glint_name(2)),
    theirs=(NGINX,),
    ratios=("p99 ms", "downloads GiB/s"),
    plots=("p99 ms", "downloads GiB/s"),
    disk_bytes=lambda load: (1 + len(load.workers)) * load.images * load.size_bytes,
)
