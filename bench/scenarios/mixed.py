"""`mixed`: GET /v2/images/{id} while others download. How long small answers wait behind large ones."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from bench.glint import Images, file_path, glint_process
from bench.load import Downloads, Requests
from bench.measuring import Measured, Run, measure, verify, xxh3_of
from bench.metadata_image import check, create
from bench.places import GLANCE, GLINT, glint_name, place
from bench.results import Column
from bench.session import Scenario, Session
from tests.content import GIB, MIB, Noise
from tests.peers import StaticNginx

NAME = "mixed"
EXPECTED = """\
A turn of a download holds Glint's loop for 1 to 4 MiB of sendfile, 0.3 to 1 ms; 64 of them before a small answer make
20 to 50 ms at worst in one worker, and clients and server share two cores. Glance serves 16 at once: with 64 downloads
a small request waits until some have ended, which is seconds."""
_BEFORE_S = 0.5  # for the downloads to be under way
_SPARE_S = 0.5  # for them to outlast the requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    size_bytes: int
    downloads: tuple[int, ...]  # clients beside the one that asks; 0: what the answer takes alone
    clients: int
    seconds: float
    rounds: int
    workers: tuple[int, ...] = (1,)


SMALL = Load(size_bytes=4 * MIB, downloads=(0, 4), clients=1, seconds=0.6, rounds=1)
REAL = Load(size_bytes=GIB, downloads=(0, 64), clients=4, seconds=5.0, rounds=3, workers=(1, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    server: Measured
    requests: Requests
    downloads: Downloads


def run(session: Session, load: Load) -> list[Run]:
    """Interleaved. Raises WrongBytes."""
    runs: list[Run] = []
    with _places(session, load) as found:
        for downloads in load.downloads:
            for turn in range(1, load.rounds + 1):
                for name, one in found.items():
                    job = replace(one.requests, clients=load.clients, seconds=load.seconds, delay_s=_BEFORE_S)
                    seconds = _BEFORE_S + load.seconds + _SPARE_S
                    beside = [replace(one.downloads, clients=downloads, seconds=seconds)] if downloads else []
                    done, outcome = measure(
                        NAME,
                        name,
                        one.server,
                        [job],
                        cores=session.cores,
                        turn=turn,
                        case=f"beside {downloads} downloads",
                        beside=beside,
                    )
                    if outcome.sample:
                        check(name, job.path, outcome.sample)
                    done = replace(done, verified=done.bodies)
                    session.add(runs, done, f"p50 {done.wait_p50_s * 1000:.1f} ms, p99 {done.wait_p99_s * 1000:.1f} ms")
    return runs


@contextmanager
def _places(session: Session, load: Load) -> Iterator[dict[str, _Place]]:
    """Glint with the image in its cache, Glance with it in its file store; both with tokens."""
    content = Noise(load.size_bytes, seed=1)
    identity, glance = session.peers
    token = identity.keystone.token("demo")
    headers = {"X-Auth-Token": token}
    found: dict[str, _Place] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(session.folder())
        (folder / "www").mkdir()
        with (folder / "www" / "image").open("wb") as file:
            for piece in content.pieces():
                file.write(piece)
        origin = stack.enter_context(StaticNginx(folder / "nginx", folder / "www"))
        for workers in load.workers:
            settings = {"server.workers": workers} if workers > 1 else None
            glint = stack.enter_context(glint_process(folder / f"glint{workers}", identity=identity, settings=settings))
            image_id = Images(glint.port, token).register("mixed", f"{origin.url}/image", content.digest())
            job = place(glint, glint.port, file_path(image_id), content.size_bytes, headers).job
            found[glint_name(workers)] = _Place(server=glint, requests=create(glint.port, token), downloads=job)
        front = Images(glance.front.port, token)
        image_id = front.create("mixed")
        front.upload(image_id, content)
        Images(glance.port, token).download(image_id)
        job = place(glance, glance.port, file_path(image_id), content.size_bytes, headers).job
        found[GLANCE] = _Place(server=glance, requests=create(glance.port, token), downloads=job)
        for name, one in found.items():
            verify(name, one.downloads, xxh3_of(content))
        yield found


SCENARIO = Scenario(
    name=NAME,
    title="Mixed: GET /v2/images/{id} beside downloads",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("p50 ms", lambda run: run.wait_p50_s * 1000, ".2f"),
        Column("p99 ms", lambda run: run.wait_p99_s * 1000, ".2f"),
        Column("requests/s", lambda run: run.bodies_s, ".0f"),
        Column("unanswered", lambda run: run.unanswered, ".0f"),
        Column("downloads GiB/s", lambda run: run.beside_bytes / GIB / (run.seconds + _BEFORE_S + _SPARE_S), ".2f"),
    ),
    ours=(GLINT, glint_name(2)),
    theirs=(GLANCE,),
    ratios=("p50 ms", "p99 ms"),
    plots=("p50 ms", "p99 ms"),
    disk_bytes=lambda load: (2 + len(load.workers)) * load.size_bytes,
)
