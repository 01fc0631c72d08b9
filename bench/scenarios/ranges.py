"""`ranges`: random parts, of an image that is in memory and of one that nobody has asked for before."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.connection import digest_of
from bench.load import Ranges
from bench.measuring import Run, measure
from bench.places import GLINT, NGINX, NGINX_CACHE, STORE, VARNISH, Place, asked, cold_places, hot_places, tuned_name
from bench.results import Column
from bench.session import Scenario, Session, check_digests
from tests.content import KIB, MIB, Content, Noise

NAME = "ranges"
HOT, COLD = "hot image", "cold image"
EXPECTED = """\
Of a hot image a part is a small sendfile: the cost is that of the request, some 0.3 ms in Glint and a tenth of it in
nginx, so with parts of 0.5 MiB Glint reaches half of nginx or more. Of a cold one nginx and Varnish fetch the whole
first and a far part waits for it; Glint reads parts from the store until so much was asked for that the whole is worth
it, so the first parts come after one round trip. Store bytes stay below two images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    size_mib: int
    clients: int
    hot_parts: int  # for each client
    cold_parts: int
    parts: Ranges
    rounds: int


SMALL = Load(
    size_mib=4,
    clients=2,
    hot_parts=10,
    cold_parts=5,
    parts=Ranges(length_min_bytes=1, length_max_bytes=64 * KIB),
    rounds=1,
)
REAL = Load(
    size_mib=512,
    clients=16,
    hot_parts=200,
    cold_parts=20,
    parts=Ranges(length_min_bytes=1, length_max_bytes=MIB),
    rounds=3,
)


def run(session: Session, load: Load) -> list[Run]:
    """Interleaved; the same parts of the same image for every server. Raises WrongBytes."""
    runs: list[Run] = []
    content = Noise(load.size_mib * MIB, seed=0)
    digests = _digests(content, load, load.hot_parts)
    with hot_places(session, content, [GLINT, NGINX, NGINX_CACHE, VARNISH]) as found:
        for turn in range(1, load.rounds + 1):
            for name, place in found.items():
                called = NGINX if name == tuned_name("1 worker, 2 MiB") else name
                job = asked(place, clients=load.clients, times=load.hot_parts, ranges=load.parts, digest="xxh3_128")
                done, outcome = measure(NAME, called, place.server, [job], cores=session.cores, turn=turn, case=HOT)
                check_digests(NAME, called, outcome.digests, digests)
                session.add(runs, done, f"{done.bodies_s:.0f}/s, p99 {done.wait_p99_s * 1000:.1f} ms")
    digests = _digests(content, load, load.cold_parts)
    with cold_places(session, load.size_mib, [STORE, GLINT, NGINX_CACHE, VARNISH]) as places:
        for turn in range(1, load.rounds + 1):
            for name, fresh in places.fresh.items():
                place: Place = fresh()  # type: ignore[no-redef]
                job = asked(place, clients=load.clients, times=load.cold_parts, ranges=load.parts, digest="xxh3_128")
                done, outcome = measure(
                    NAME, name, place.server, [job], cores=session.cores, turn=turn, case=COLD, store=places.origin
                )
                check_digests(NAME, name, outcome.digests, digests)
                session.add(runs, done, f"{done.bodies_s:.0f}/s, p99 {done.wait_p99_s * 1000:.1f} ms")
    return runs


def _digests(content: Content, load: Load, parts: int) -> Sequence[str]:
    """What each client must have, all its parts in their order."""
    found = []
    for client in range(load.clients):
        digest = digest_of("xxh3_128")
        for start, stop in load.parts.spans(client, parts, content.size_bytes):
            for piece in content.pieces(start, stop):
                digest.update(piece)
        found.append(digest.hexdigest())
    return found


def _amplification(run: Run) -> float | None:
    """Store bytes over what the clients asked for: above 1 where a whole image was read for parts of it."""
    return None if run.store_bytes is None else run.store_bytes / run.body_bytes


SCENARIO = Scenario(
    name=NAME,
    title="Ranges: random parts of an image",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("parts/s", lambda run: run.bodies_s, ".0f"),
        Column("GiB/s", lambda run: run.gib_s, ".2f"),
        Column("CPU-s/1000", lambda run: run.cpu_s_1000, ".3f"),
        Column("p50 ms", lambda run: run.wait_p50_s * 1000, ".1f"),
        Column("p99 ms", lambda run: run.wait_p99_s * 1000, ".1f"),
        Column("store reads", lambda run: run.store_reads, ".0f"),
        Column("store bytes / asked", _amplification, ".2f"),
    ),
    ours=(GLINT,),
    theirs=(NGINX, NGINX_CACHE, VARNISH, STORE),
    ratios=("parts/s", "p50 ms", "p99 ms"),
    plots=("p50 ms", "p99 ms"),
    disk_bytes=lambda load: (4 + 2 * load.rounds) * load.size_mib * MIB,
)
