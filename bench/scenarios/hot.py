"""`hot`: one image that everybody wants, in memory already. Glint beside nginx and beside the machine's floor."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.floor import Floor
from bench.glint import Images, file_path, glint_process
from bench.load import Downloads
from bench.measuring import Cores, Run, measure, verify, xxh3_of
from bench.results import Results, ratio_lines, ratios, table
from tests.content import GIB, MIB, Noise
from tests.peers import Server, StaticNginx, Tuning

NAME = "hot"
EXPECTED = """\
Expected: a hit is `sendfile` and little else, so 0.19 to 0.25 CPU-s/GiB and the throughput of nginx at every number of
clients (ratio 0.9 to 1.1); what Glint adds is fixed per download (some ms: registry, policy, head), seen at 1 client
only. Memory grows by some KiB a client. The floor (blocking sendfile, a thread each) is a little below both."""

GLINT_CACHE, GLINT_FILE, NGINX, FLOOR = "glint cache", "glint file store", "nginx", "floor"
GLINT_CUBIC = "glint cache, cubic"
# What nginx may be set to, where it can help; the best at each number of clients is measured against.
TUNINGS: Mapping[str, Tuning] = {
    "1 worker, 2 MiB": Tuning(),
    "1 worker, 512 KiB": Tuning(sendfile_max_chunk_kib=512),
    "2 workers, 2 MiB": Tuning(workers=2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    size_bytes: int
    clients: tuple[int, ...]
    moved_min_bytes: int  # few clients ask again and again until so much has moved
    rounds: int
    tunings: tuple[str, ...] = tuple(TUNINGS)


SMALL = Load(size_bytes=4 * MIB, clients=(1, 3), moved_min_bytes=8 * MIB, rounds=1, tunings=("1 worker, 2 MiB",))
REAL = Load(size_bytes=GIB, clients=(1, 8, 64), moved_min_bytes=8 * GIB, rounds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the image can be had."""

    server: Server
    job: Downloads


@contextmanager
def places(directory: Path, load: Load) -> Iterator[dict[str, Place]]:
    """The same bytes behind every server; those of nginx, of the floor and of the file store are one file."""
    content = Noise(load.size_bytes, seed=1)
    www = directory / "www"
    www.mkdir(parents=True)
    with ExitStack() as stack:
        glint = stack.enter_context(glint_process(directory / "glint"))
        images = Images(glint.port)
        uploaded = images.create("uploaded")
        images.upload(uploaded, content)
        (www / "image").hardlink_to(glint.directory / "images" / uploaded)
        servers = {
            f"{NGINX} ({name})": stack.enter_context(
                StaticNginx(directory / f"nginx{number}", www, tuning=TUNINGS[name])
            )
            for number, name in enumerate(load.tunings)
        }
        floor = stack.enter_context(Floor(directory / "floor", www / "image"))
        origin = next(iter(servers.values()))
        behind_http = images.register("behind http", f"{origin.url}/image", images.show(uploaded)["os_hash_value"])

        def place(server: Server, path: str) -> Place:
            job = Downloads(host="127.0.0.1", port=server.port, path=path, size_bytes=load.size_bytes)
            return Place(server=server, job=job)

        found = {FLOOR: place(floor, "/"), **{name: place(server, "/image") for name, server in servers.items()}}
        found[GLINT_CACHE] = place(glint, file_path(behind_http))
        found[GLINT_FILE] = place(glint, file_path(uploaded))
        # Where the system's congestion control is another, Glint may have a better one for itself; nginx may not.
        cubic = stack.enter_context(
            glint_process(directory / "glint-cubic", settings={"server.tcp_congestion_control": "cubic"})
        )
        there = Images(cubic.port).register("behind http", f"{origin.url}/image", content.digest())
        found[GLINT_CUBIC] = place(cubic, file_path(there))
        for name, one in found.items():  # fills the cache, warms the rest
            verify(name, one.job, xxh3_of(content))
        yield found


def run(directory: Path, load: Load, cores: Cores, results: Results, tell: Callable[[str], None] = print) -> list[Run]:
    """Interleaved: A B C A B C. Raises WrongBytes."""
    runs: list[Run] = []
    expected = xxh3_of(Noise(load.size_bytes, seed=1))

    def one(name: str, place: Place, clients: int, turn: int) -> Run:
        times = max(1, load.moved_min_bytes // (clients * load.size_bytes))
        done, _ = measure(
            NAME, name, place.server, [replace(place.job, clients=clients, times=times)], cores=cores, turn=turn
        )
        verify(name, place.job, expected)
        done = replace(done, verified=1)
        results.add(done)
        runs.append(done)
        tell(f"{NAME} {clients} clients, round {turn}: {name}: {done.gib_s:.2f} GiB/s, {done.cpu_s_gib:.3f} CPU-s/GiB")
        return done

    with places(directory, load) as found:
        tunings = [name for name in found if name.startswith(NGINX)]
        for clients in load.clients:
            tried = {name: one(name, found[name], clients, 0).gib_s for name in tunings} if len(tunings) > 1 else {}
            best = max(tried, key=lambda name: tried[name], default=tunings[0])
            for turn in range(1, load.rounds + 1):
                for name in (FLOOR, best, GLINT_CACHE, GLINT_CUBIC, GLINT_FILE):
                    done = one(name, found[name], clients, turn)
                    if name == best:  # one name for all numbers of clients; the note says which it was
                        runs[-1] = replace(done, server=NGINX, notes={"tuning": name})
    return runs


def report(runs: list[Run]) -> str:
    shown = table(
        runs,
        (
            ("GiB/s", lambda run: run.gib_s, ".2f"),
            ("CPU-s/GiB", lambda run: run.cpu_s_gib, ".3f"),
            ("with clients'", lambda run: run.all_cpu_s_gib, ".3f"),
            ("first byte p50 ms", lambda run: run.wait_p50_s * 1000, ".1f"),
            ("p99 ms", lambda run: run.wait_p99_s * 1000, ".1f"),
            ("RSS growth MiB", lambda run: run.rss_growth_bytes / MIB, ".1f"),
        ),
    )
    chosen = {run.clients: run.notes["tuning"] for run in runs if "tuning" in run.notes}
    lines = [shown, "", *(f"- {NGINX} at {clients} clients: {name}" for clients, name in chosen.items())]
    for ours in (GLINT_CACHE, GLINT_CUBIC, GLINT_FILE):
        found = ratios(
            runs,
            ours,
            NGINX,
            {
                "throughput": lambda run: run.gib_s,
                "CPU-s/GiB": lambda run: run.cpu_s_gib,
                "with clients'": lambda run: run.all_cpu_s_gib,
            },
        )
        lines.append(ratio_lines(ours, NGINX, found))
    return "\n".join(lines)


def disk_bytes(load: Load) -> int:
    """What the files of a run take: one uploaded, one in each of two caches."""
    return 3 * load.size_bytes + os.sysconf("SC_PAGE_SIZE")
