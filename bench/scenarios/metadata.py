"""`metadata`: GET /v2/images/{id} with a token that is known already. Glint beside Glance."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.glint import Identity, Images, glint_process
from bench.load import Requests
from bench.measuring import Cores, Run, WrongBytes, measure
from bench.results import Results, ratio_lines, ratios, table
from tests.peers import Glance, Keystone, Memcached, Server

NAME = "metadata"
GLINT, GLANCE = "glint", "glance"
EXPECTED = """\
Expected: Glance about 320/s from two processes on two cores. Glint answers from one process; aiohttp alone manages
30,000/s, the SQL look-up (batched) is the largest part: 2,000 to 4,000/s, 6 to 12 times Glance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    clients: tuple[int, ...]
    seconds: float
    rounds: int


SMALL = Load(clients=(2,), seconds=0.3, rounds=1)
REAL = Load(clients=(1, 16), seconds=5.0, rounds=5)


@contextmanager
def peers(directory: Path) -> Iterator[tuple[Identity, Glance]]:
    """A Glance of two uWSGI processes, and the Keystone and memcached that it shares with Glint."""
    with ExitStack() as stack:
        keystone = stack.enter_context(Keystone(directory / "keystone"))
        memcached = stack.enter_context(Memcached(directory / "memcached"))
        glance = stack.enter_context(Glance(directory / "glance", keystone, memcached))
        yield Identity(keystone=keystone, memcached=memcached), glance


def run(
    directory: Path,
    load: Load,
    cores: Cores,
    results: Results,
    tell: Callable[[str], None] = print,
    shared: tuple[Identity, Glance] | None = None,
) -> list[Run]:
    """Glance is asked at uWSGI itself, without the nginx before it, which would only make it slower.

    `shared` are peers that run already. Raises WrongBytes.
    """
    runs: list[Run] = []
    with ExitStack() as stack:
        identity, glance = shared or stack.enter_context(peers(directory))
        glint = stack.enter_context(glint_process(directory / "glint", identity=identity))
        token = identity.keystone.token("demo")
        jobs = {name: (server, _job(server, token)) for name, server in ((GLINT, glint), (GLANCE, glance))}
        for clients in load.clients:
            for turn in range(1, load.rounds + 1):
                for name, (server, job) in jobs.items():
                    asked = replace(job, clients=clients, seconds=load.seconds)
                    done, outcome = measure(NAME, name, server, [asked], cores=cores, turn=turn)
                    _check(name, job.path, outcome.sample)
                    done = replace(done, verified=done.bodies)  # the client compares each with the one before
                    results.add(done)
                    runs.append(done)
                    tell(f"{NAME} {clients} clients, round {turn}: {name}: {done.bodies_s:.0f}/s")
    return runs


def _job(server: Server, token: str) -> Requests:
    """The same image in both: some properties and tags, as images in use have."""
    images = Images(server.port, token)
    image_id = images.create(
        "bench", tags=["bench", "ubuntu"], os_distro="ubuntu", hw_disk_bus="virtio", architecture="x86_64", min_ram=512
    )
    path = f"/v2/images/{image_id}"
    return Requests(host="127.0.0.1", port=server.port, path=path, headers={"X-Auth-Token": token})


def _check(name: str, path: str, body: str) -> None:
    document = json.loads(body)
    if document["self"] != path or document["os_distro"] != "ubuntu" or sorted(document["tags"]) != ["bench", "ubuntu"]:
        raise WrongBytes(f"{NAME}: {name} answered something else than the image")


def report(runs: list[Run]) -> str:
    shown = table(
        runs,
        (
            ("requests/s", lambda run: run.bodies_s, ".0f"),
            ("CPU-s/1000", lambda run: run.cpu_s_1000, ".3f"),
            ("p50 ms", lambda run: run.wait_p50_s * 1000, ".2f"),
            ("p99 ms", lambda run: run.wait_p99_s * 1000, ".2f"),
            ("PSS MiB", lambda run: run.pss_after_bytes / 2**20, ".0f"),
        ),
    )
    values = {"requests/s": lambda run: run.bodies_s, "CPU-s/1000": lambda run: run.cpu_s_1000}
    return f"{shown}\n\n{ratio_lines(GLINT, GLANCE, ratios(runs, GLINT, GLANCE, values))}"
