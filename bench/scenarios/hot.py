"""`hot`: one image that everybody wants, in memory already. Glint beside its peers and the machine's floor."""

from dataclasses import dataclass, replace

from bench.measuring import Run, measure, verify, xxh3_of
from bench.places import (
    FLOOR,
    GLANCE,
    GLINT,
    GLINT_FILE,
    GLINT_SYSTEM,
    NGINX,
    NGINX_CACHE,
    NGINX_CUBIC,
    TUNINGS,
    VARNISH,
    Place,
    asked,
    glint_name,
    hot_places,
    tuned_name,
)
from bench.results import Column
from bench.session import Scenario, Session
from tests.content import GIB, MIB, Noise

NAME = "hot"
EXPECTED = """\
A hit is `sendfile` and little else, so 0.19 to 0.25 CPU-s/GiB and the throughput of nginx at every number of clients
(ratio 0.9 to 1.1); what Glint adds is fixed per download (some ms: registry, policy, head), seen at 1 client only.
Memory grows by some KiB a client. The floor (blocking sendfile, a thread each) is a little below both. Varnish writes
from memory, so twice the CPU. Glance sends by threads: 64 clients are more than it has. Where the system has BBR, Glint
by itself has cubic for those who are near; nginx has no setting for that, and is shown with it beside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    size_bytes: int
    clients: tuple[int, ...]
    seconds: float  # of each run: clients ask again and again, and are cut in mid-body at the end
    rounds: int
    others_rounds: int = 3  # of those that are only shown beside: they need no fine median
    workers: tuple[int, ...] = (1,)
    tunings: tuple[str, ...] = tuple(TUNINGS)
    others: tuple[str, ...] = (NGINX_CUBIC, NGINX_CACHE, VARNISH, GLINT_SYSTEM, GLINT_FILE, GLANCE)


SMALL = Load(size_bytes=4 * MIB, clients=(3,), seconds=0.5, rounds=1, tunings=("1 worker, 2 MiB",))
REAL = Load(size_bytes=GIB, clients=(1, 8, 64), seconds=4.0, rounds=5, workers=(1, 2))


def run(session: Session, load: Load) -> list[Run]:
    """Interleaved: A B C A B C. Raises WrongBytes."""
    runs: list[Run] = []
    content = Noise(load.size_bytes, seed=1)
    expected = xxh3_of(content)

    def one(name: str, place: Place, clients: int, turn: int, called: str = "") -> Run:
        job = asked(place, clients=clients, seconds=load.seconds)
        done, _ = measure(NAME, called or name, place.server, [job], cores=session.cores, turn=turn)
        verify(name, place.job, expected)
        done = replace(done, verified=1, notes={"tuning": name} if called else {})
        session.add(runs, done, f"{done.gib_s:.2f} GiB/s, {done.cpu_s_gib:.3f} CPU-s/GiB")
        return done

    ours = [glint_name(workers) for workers in load.workers]
    tunings = [tuned_name(name) for name in load.tunings]
    with hot_places(session, content, [FLOOR, NGINX, *ours, *load.others], tunings=load.tunings) as found:
        for clients in load.clients:
            tried = {name: one(name, found[name], clients, 0).gib_s for name in tunings} if len(tunings) > 1 else {}
            best = max(tried, key=lambda name: tried[name], default=tunings[0])
            for turn in range(1, load.rounds + 1):
                one(FLOOR, found[FLOOR], clients, turn)
                # One name for all numbers of clients; the note says which setting it was.
                one(best, found[best], clients, turn, called=NGINX)
                for name in (*ours, *(load.others if turn <= load.others_rounds else ())):
                    one(name, found[name], clients, turn)
    return runs


SCENARIO = Scenario(
    name=NAME,
    title="Hot: one image in memory",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("GiB/s", lambda run: run.gib_s, ".2f"),
        Column("CPU-s/GiB", lambda run: run.cpu_s_gib, ".3f"),
        Column("with clients'", lambda run: run.all_cpu_s_gib, ".3f"),
        Column("first byte p50 ms", lambda run: run.wait_p50_s * 1000, ".1f"),
        Column("p99 ms", lambda run: run.wait_p99_s * 1000, ".1f"),
        Column("unanswered", lambda run: run.unanswered, ".0f"),
        Column("RSS growth MiB", lambda run: run.rss_growth_bytes / MIB, ".1f"),
    ),
    ours=(GLINT, glint_name(2), GLINT_SYSTEM, GLINT_FILE),
    theirs=(NGINX, NGINX_CUBIC, NGINX_CACHE, VARNISH, GLANCE),
    ratios=("GiB/s", "CPU-s/GiB", "with clients'"),
    plots=("GiB/s", "CPU-s/GiB"),
    disk_bytes=lambda load: (4 + len(load.others) + len(load.workers)) * load.size_bytes,
)
