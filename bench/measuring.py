"""One run: clients let loose on one server, and what that cost it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

import xxhash

from bench import processes
from bench.load import Downloads, Job, Outcome
from bench.loading import Clients
from bench.origin import OriginProcess
from tests.content import GIB, Content


class WrongBytes(Exception):
    """A client got something else than it asked for: what was measured then means nothing."""


class Measured(Protocol):
    """A server under test."""

    @property
    def pid(self) -> int:
        """It leads its process group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One line of results. Seconds and bytes of the clients, `cpu_s` and memory of the server."""

    scenario: str
    server: str
    round: int  # 0: a look before the rounds that count
    clients: int
    bodies: int
    body_bytes: int
    seconds: float
    cpu_s: float
    client_cpu_s: float  # on loopback the kernel does part of the server's sending in the clients' time
    wait_p50_s: float  # from request to first body byte; of small answers to the last byte
    wait_p99_s: float
    rss_before_bytes: int
    rss_peak_bytes: int
    pss_after_bytes: int
    verified: int  # bodies whose digest was right, or whose content was compared
    server_cores: tuple[int, ...] = ()  # empty: all
    client_cores: tuple[int, ...] = ()
    case: str = ""  # what sets it apart within the scenario, such as the speed of the store
    unanswered: int = 0  # who still waited at the end; with the time so far they are in the waits
    store_reads: int | None = None
    store_bytes: int | None = None
    beside_bytes: int = 0  # moved by other clients at the same time
    figures: dict[str, float] = field(default_factory=dict)  # what only one scenario has
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def gib_s(self) -> float:
        return self.body_bytes / GIB / self.seconds

    @property
    def cpu_s_gib(self) -> float:
        return self.cpu_s / (self.body_bytes / GIB) if self.body_bytes else math.nan

    @property
    def all_cpu_s_gib(self) -> float:
        return (self.cpu_s + self.client_cpu_s) / (self.body_bytes / GIB) if self.body_bytes else math.nan

    @property
    def bodies_s(self) -> float:
        return self.bodies / self.seconds

    @property
    def cpu_s_1000(self) -> float:
        return self.cpu_s / self.bodies * 1000 if self.bodies else math.nan

    @property
    def rss_growth_bytes(self) -> int:
        return self.rss_peak_bytes - self.rss_before_bytes

    def document(self) -> dict[str, object]:
        derived = {
            "gib_s": self.gib_s,
            "cpu_s_gib": self.cpu_s_gib,
            "all_cpu_s_gib": self.all_cpu_s_gib,
            "bodies_s": self.bodies_s,
        }
        return asdict(self) | derived | {"cpu_s_1000": self.cpu_s_1000, "rss_growth_bytes": self.rss_growth_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Where servers and clients run; empty: on all cores, and the kernel decides."""

    server: tuple[int, ...] = ()
    client: tuple[int, ...] = ()

    def keep(self, server: Measured) -> None:
        if self.server:
            processes.pin(server.pid, self.server)


def measure(
    scenario: str,
    name: str,
    server: Measured,
    jobs: Sequence[Job],
    *,
    cores: Cores,
    turn: int = 0,
    case: str = "",
    store: OriginProcess | None = None,
    beside: Sequence[Job] = (),
) -> tuple[Run, Outcome]:
    """The jobs' outcome and what it cost. `beside` is load that runs at the same time and is not in the outcome.

    Raises WrongBytes if any body had another status or length than it must have.
    """
    cores.keep(server)
    jobs, beside = ([replace(job, cores=cores.client) for job in some] for some in (jobs, beside))
    seen = store.seen() if store else None
    with Clients([*jobs, *beside]) as clients:
        processes.forget_peak(server.pid)
        before, began_s = processes.memory(server.pid), processes.cpu_s(server.pid)
        outcomes = clients.run_each()
        cpu_s, after = processes.cpu_s(server.pid) - began_s, processes.memory(server.pid)
    failed = [error for outcome in outcomes for error in outcome.errors]
    if failed:
        raise WrongBytes(f"{scenario}: {name}: {len(failed)} clients failed, the first: {failed[0]}")
    outcome = Outcome.merged(outcomes[: len(jobs)])
    run = Run(
        scenario=scenario,
        server=name,
        round=turn,
        case=case,
        clients=sum(job.clients for job in jobs),
        bodies=outcome.bodies,
        body_bytes=outcome.body_bytes,
        seconds=outcome.seconds,
        cpu_s=cpu_s,
        client_cpu_s=outcome.cpu_s,
        wait_p50_s=statistics.median(outcome.waits_s),
        wait_p99_s=quantile(outcome.waits_s, 0.99),
        rss_before_bytes=before.rss_bytes,
        # The kernel counts memory per core and adds up now and then: two figures may contradict each other by a page.
        rss_peak_bytes=max(after.rss_peak_bytes, before.rss_bytes),
        pss_after_bytes=after.pss_bytes,
        verified=len(outcome.digests),
        unanswered=outcome.unanswered,
        beside_bytes=sum(one.body_bytes for one in outcomes[len(jobs) :]),
        server_cores=cores.server,
        client_cores=cores.client,
    )
    if store and seen:
        now = store.settled()
        run = replace(run, store_reads=now.gets - seen.gets, store_bytes=now.sent_bytes - seen.sent_bytes)
    return run, outcome


def verify(name: str, job: Downloads, expected_xxh3: str) -> None:
    """One more download, beside the measured ones, looked at byte for byte. Raises WrongBytes."""
    with Clients([replace(job, clients=1, times=1, digest="xxh3_128")]) as clients:
        outcome = clients.run()
    if outcome.errors or outcome.digests != [expected_xxh3]:
        raise WrongBytes(f"{name}: {outcome.errors[0] if outcome.errors else 'a wrong digest'}")


def quantile(values: Sequence[float], part: float) -> float:
    """By nearest rank, so that it is a value that occurred."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def xxh3_of(content: Content) -> str:
    """Fast enough to look at every byte without being what is measured; the origin and the clients are no adversary."""
    state = xxhash.xxh3_128()
    for piece in content.pieces():
        state.update(piece)
    return state.hexdigest()
