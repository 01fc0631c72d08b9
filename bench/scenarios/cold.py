"""`cold`: an image that no server has yet. How near a cache comes to its store, and what each byte costs on its way."""

import hashlib
import os
import tempfile
import time
from dataclasses import dataclass, replace

from bench.measuring import Run, measure, xxh3_of
from bench.places import GLINT, NGINX_CACHE, NO_DIGEST, STORE, VARNISH, asked, cold_places
from bench.results import Column
from bench.session import Scenario, Session, check_digests
from tests.content import GIB, MIB, Noise

NAME = "cold"
EXPECTED = """\
A store slower than the machine's digest and disk is passed on at its own speed (0.95 to 1.0 of the store alone). One
without a limit is bound by two cores: the store's sending, Glint's reading, digest, write and sending, the client's
digest. SHA-512 runs at about 0.7 GiB/s a core here, SHA-256 at 1.65, so that is the bound for one image. nginx and
Varnish compare nothing with the image's digest: the line "no digest" is the one to compare with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    size_mib: int
    clients: tuple[int, ...]
    many_size_mib: int  # of the image where clients are more than one: all of them get all of it
    rates_mib_s: tuple[int, ...]  # of the store, for each answer; 0: as fast as it can
    rounds: int
    algorithms: tuple[str, ...] = ("sha512", "sha256", NO_DIGEST)


SMALL = Load(size_mib=4, clients=(3,), many_size_mib=2, rates_mib_s=(0,), rounds=1)
REAL = Load(size_mib=512, clients=(1, 64), many_size_mib=64, rates_mib_s=(256, 0), rounds=3)


def run(session: Session, load: Load) -> list[Run]:
    """Interleaved; each run is a new image behind the same URL, or a new URL of the same image. Raises WrongBytes."""
    runs: list[Run] = []
    bounds = _bounds(session, load)
    session.tell(f"{NAME}: this machine, GiB/s: {bounds}")
    names = [STORE, *(_glint_name(one) for one in load.algorithms), NGINX_CACHE, VARNISH]
    for rate_mib_s in load.rates_mib_s:
        for clients in load.clients:
            _rounds(session, load, rate_mib_s, clients, names, bounds, runs)
    return runs


def _rounds(
    session: Session,
    load: Load,
    rate_mib_s: int,
    clients: int,
    names: list[str],
    bounds: dict[str, str],
    runs: list[Run],
) -> None:
    size_mib = load.size_mib if clients == 1 else load.many_size_mib
    expected = xxh3_of(Noise(size_mib * MIB, seed=0))
    case = f"store at {rate_mib_s} MiB/s" if rate_mib_s else "store without limit"
    with cold_places(session, size_mib, names, rate_mib_s=rate_mib_s) as places:
        for turn in range(1, load.rounds + 1):
            for name, fresh in places.fresh.items():
                place = fresh()
                os.sync()  # what the run before left to write is not written during this one
                job = asked(place, clients=clients, digest="xxh3_128")
                done, outcome = measure(
                    NAME,
                    name,
                    place.server,
                    [job],
                    cores=session.cores,
                    turn=turn,
                    case=case,
                    store=places.origin,
                )
                check_digests(NAME, name, outcome.digests, [expected] * clients)
                done = replace(done, notes=bounds)
                session.add(runs, done, f"{done.gib_s:.2f} GiB/s, {done.store_reads} store reads")


def _glint_name(algorithm: str) -> str:
    return f"{GLINT}, {algorithm}"


def _bounds(session: Session, load: Load) -> dict[str, str]:
    """GiB/s that one core digests and that the disk takes, each alone."""
    data = Noise(min(load.size_mib, 256) * MIB)
    found = {name: _speed(data, hashlib.new(name).update) for name in load.algorithms if name != NO_DIGEST}
    with session.folder() as folder, tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        began_s = time.perf_counter()
        for piece in data.pieces():
            file.write(piece)
        os.fdatasync(file.fileno())
        found["write and fdatasync"] = data.size_bytes / GIB / (time.perf_counter() - began_s)
    return {name: f"{speed:.2f}" for name, speed in found.items()}


def _speed(data: Noise, take: object) -> float:
    assert callable(take)
    began_s = time.perf_counter()
    for piece in data.pieces():
        take(piece)
    return data.size_bytes / GIB / (time.perf_counter() - began_s)


SCENARIO = Scenario(
    name=NAME,
    title="Cold: the first download of an image",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("GiB/s", lambda run: run.gib_s, ".2f"),
        Column("seconds", lambda run: run.seconds, ".2f"),
        Column("CPU-s/GiB", lambda run: run.cpu_s_gib, ".3f"),
        Column("first byte p50 ms", lambda run: run.wait_p50_s * 1000, ".1f"),
        Column("p99 ms", lambda run: run.wait_p99_s * 1000, ".1f"),
        Column("store reads", lambda run: run.store_reads, ".0f"),
        Column("store bytes / image", lambda run: (run.store_bytes or 0) * run.bodies / run.body_bytes, ".2f"),
        Column("RSS growth MiB", lambda run: run.rss_growth_bytes / MIB, ".1f"),
    ),
    ours=tuple(_glint_name(one) for one in REAL.algorithms),
    theirs=(STORE, NGINX_CACHE, VARNISH),
    ratios=("GiB/s",),
    plots=("GiB/s", "first byte p50 ms"),
    # In Glint's cache once for each algorithm, in nginx's once; Varnish has it in memory.
    disk_bytes=lambda load: (
        (len(load.algorithms) + 1) * load.rounds * max(load.size_mib, load.many_size_mib) * MIB + 256 * MIB
    ),
)
