"""`metadata`: one image, and a page of 20, with a token that is known already. Glint beside Glance."""

from dataclasses import dataclass, replace
from itertools import product

from bench.glint import glint_process
from bench.load import Requests
from bench.measuring import Run, measure
from bench.metadata_image import check, check_many, create, create_many
from bench.places import GLANCE, GLINT
from bench.results import Column
from bench.session import Scenario, Session
from tests.content import MIB

NAME = "metadata"
EXPECTED = """\
Glance about 320/s from two processes on two cores. Glint answers from one process; aiohttp alone manages 30,000/s, the
SQL look-up (batched) is the largest part: 2,000 to 4,000/s, 6 to 12 times Glance. A page of 20 costs five gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    clients: tuple[int, ...]
    seconds: float
    rounds: int


SMALL = Load(clients=(2,), seconds=1.0, rounds=1)
REAL = Load(clients=(1, 16), seconds=3.0, rounds=3)


def run(session: Session, load: Load) -> list[Run]:
    """Glance is asked at uWSGI itself, without the nginx before it, which would only make it slower."""
    runs: list[Run] = []
    identity, glance = session.peers
    with session.folder() as folder, glint_process(folder / "glint", identity=identity) as glint:
        token = identity.keystone.token("demo")
        servers = {GLINT: glint, GLANCE: glance}
        for case, make in (("list of 20", create_many), ("", create)):
            jobs: dict[str, Requests] = {name: make(server.port, token) for name, server in servers.items()}
            for clients, turn in product(load.clients, range(1, load.rounds + 1)):
                for name, job in jobs.items():
                    asked = replace(job, clients=clients, seconds=load.seconds)
                    done, outcome = measure(
                        NAME, name, servers[name], [asked], cores=session.cores, turn=turn, case=case
                    )
                    if make is create:
                        check(name, job.path, outcome.sample)
                    else:
                        check_many(name, outcome.sample)
                    done = replace(done, verified=done.bodies)  # the client compares each with the one before
                    session.add(runs, done, f"{done.bodies_s:.0f}/s")
    return runs


SCENARIO = Scenario(
    name=NAME,
    title="Metadata: GET /v2/images/{id}, and a page of 20",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("requests/s", lambda run: run.bodies_s, ".0f"),
        Column("CPU-s/1000", lambda run: run.cpu_s_1000, ".3f"),
        Column("p50 ms", lambda run: run.wait_p50_s * 1000, ".2f"),
        Column("p99 ms", lambda run: run.wait_p99_s * 1000, ".2f"),
        Column("PSS MiB", lambda run: run.pss_after_bytes / MIB, ".0f"),
    ),
    ours=(GLINT,),
    theirs=(GLANCE,),
    ratios=("requests/s", "CPU-s/1000", "p50 ms"),
    plots=("requests/s", "p50 ms"),
    disk_bytes=lambda _load: 64 * MIB,
)
