"""`slow`: a thousand clients on slow lines. What they cost in memory, and whether all are served at once."""

from dataclasses import dataclass

from bench.connection import digest_of
from bench.load import SlowDownloads
from bench.measuring import Run, measure
from bench.places import GLINT, NGINX, NGINX_CACHE, VARNISH, glint_name, hot_places, tuned_name
from bench.results import Column
from bench.session import Scenario, Session, check_digests
from tests.content import KIB, MIB, Noise

NAME = "slow"
EXPECTED = """\
Glint holds a task, a connection and a duplicated socket for each, 20 to 40 KiB, so 1,000 grow it by 20 to 40 MiB; the
bytes themselves wait in the page cache. nginx takes some KiB each, Varnish a thread each. All get their first byte at
once, as none occupies what another needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    size_bytes: int
    clients: int
    rate_bytes_s: int
    stop_bytes: int
    rounds: int
    workers: tuple[int, ...] = (1,)


SMALL = Load(size_bytes=4 * MIB, clients=20, rate_bytes_s=256 * KIB, stop_bytes=128 * KIB, rounds=1)
REAL = Load(size_bytes=256 * MIB, clients=1000, rate_bytes_s=64 * KIB, stop_bytes=256 * KIB, rounds=3, workers=(1, 2))


def run(session: Session, load: Load) -> list[Run]:
    """Interleaved. Raises WrongBytes."""
    runs: list[Run] = []
    content = Noise(load.size_bytes, seed=1)
    expected = _prefix_digest(content, load.stop_bytes)
    names = [*(glint_name(workers) for workers in load.workers), NGINX, NGINX_CACHE, VARNISH]
    with hot_places(session, content, names) as found:
        for turn in range(1, load.rounds + 1):
            for name, place in found.items():
                called = NGINX if name == tuned_name("1 worker, 2 MiB") else name
                job = SlowDownloads(
                    host=place.job.host,
                    port=place.job.port,
                    path=place.job.path,
                    size_bytes=load.size_bytes,
                    stop_bytes=load.stop_bytes,
                    rate_bytes_s=load.rate_bytes_s,
                    clients=load.clients,
                )
                done, outcome = measure(NAME, called, place.server, [job], cores=session.cores, turn=turn)
                check_digests(NAME, called, outcome.digests, [expected] * load.clients)
                session.add(runs, done, f"memory grew by {done.rss_growth_bytes / MIB:.1f} MiB")
    return runs


def _prefix_digest(content: Noise, stop_bytes: int) -> str:
    digest = digest_of("xxh3_128")
    for piece in content.pieces(0, stop_bytes):
        digest.update(piece)
    return digest.hexdigest()


SCENARIO = Scenario(
    name=NAME,
    title="Slow: many clients on slow lines",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("RSS growth MiB", lambda run: run.rss_growth_bytes / MIB, ".1f"),
        Column("KiB a client", lambda run: run.rss_growth_bytes / KIB / run.clients, ".1f"),
        Column("first byte p50 ms", lambda run: run.wait_p50_s * 1000, ".0f"),
        Column("p99 ms", lambda run: run.wait_p99_s * 1000, ".0f"),
        Column("CPU s", lambda run: run.cpu_s, ".2f"),
        Column("right digests", lambda run: run.verified, ".0f"),
    ),
    ours=(GLINT, glint_name(2)),
    theirs=(NGINX, NGINX_CACHE, VARNISH),
    ratios=("CPU s", "first byte p50 ms"),
    plots=("RSS growth MiB", "first byte p50 ms"),
    disk_bytes=lambda load: (2 + len(load.workers)) * load.size_bytes,
)
