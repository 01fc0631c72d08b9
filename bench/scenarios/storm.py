"""`storm`: a cold image, and all want it at once. What the store sees of it, and whether every body is right."""

from dataclasses import dataclass

from bench.measuring import Run, measure, xxh3_of
from bench.places import GLINT, NGINX_CACHE, VARNISH, asked, cold_places, glint_name
from bench.results import Column
from bench.session import Scenario, Session, check_digests
from tests.content import MIB, Noise

NAME = "storm"
EXPECTED = """\
One read of the store and each of its bytes once, whatever the number of clients and of workers. All stream while it
fills, so first bytes come after some ms for each client (1,000 heads take about 0.3 s of one core). nginx lets all but
one wait for the whole; Varnish streams. The clients digest on the same cores: 2 to 4 GiB/s in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    storms: tuple[tuple[int, int], ...]  # clients, and MiB of the image
    processes: int
    rounds: int
    workers: tuple[int, ...] = (1,)


SMALL = Load(storms=((8, 4),), processes=2, rounds=1, workers=(1, 2))
REAL = Load(storms=((64, 256), (1000, 24)), processes=2, rounds=3, workers=(1, 2))


def run(session: Session, load: Load) -> list[Run]:
    """Interleaved; each run is a new image behind the same URL, or a new URL of the same image. Raises WrongBytes."""
    runs: list[Run] = []
    names = [*(glint_name(workers) for workers in load.workers), NGINX_CACHE, VARNISH]
    for clients, size_mib in load.storms:
        expected = xxh3_of(Noise(size_mib * MIB, seed=0))
        with cold_places(session, size_mib, names) as places:
            for turn in range(1, load.rounds + 1):
                for name, fresh in places.fresh.items():
                    place = fresh()
                    job = asked(place, clients=clients // load.processes, digest="xxh3_128")
                    done, outcome = measure(
                        NAME,
                        name,
                        place.server,
                        [job] * load.processes,
                        cores=session.cores,
                        turn=turn,
                        case=f"{size_mib} MiB",
                        store=places.origin,
                    )
                    check_digests(NAME, name, outcome.digests, [expected] * clients)
                    session.add(runs, done, f"{done.store_reads} store reads, {done.gib_s:.2f} GiB/s")
    return runs


SCENARIO = Scenario(
    name=NAME,
    title="Storm: all clients ask for a cold image at once",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("store reads", lambda run: run.store_reads, ".0f"),
        Column("store bytes / image", lambda run: (run.store_bytes or 0) * run.bodies / run.body_bytes, ".3f"),
        Column("right digests", lambda run: run.verified, ".0f"),
        Column("seconds", lambda run: run.seconds, ".2f"),
        Column("GiB/s", lambda run: run.gib_s, ".2f"),
        Column("CPU-s/GiB", lambda run: run.cpu_s_gib, ".3f"),
        Column("first byte p50 ms", lambda run: run.wait_p50_s * 1000, ".0f"),
        Column("p99 ms", lambda run: run.wait_p99_s * 1000, ".0f"),
        Column("RSS growth MiB", lambda run: run.rss_growth_bytes / MIB, ".1f"),
    ),
    ours=(GLINT, glint_name(2)),
    theirs=(NGINX_CACHE, VARNISH),
    ratios=("GiB/s", "CPU-s/GiB", "first byte p50 ms"),
    plots=("first byte p50 ms", "GiB/s"),
    disk_bytes=lambda load: (
        max((size_mib for _, size_mib in load.storms)) * MIB * load.rounds * (len(load.workers) + 1) + 64 * MIB
    ),
)
