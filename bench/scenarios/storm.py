"""`storm`: a cold image, and all want it at once. What the store sees of it, and whether every body is right."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.glint import Images, file_path, glint_process
from bench.load import Downloads
from bench.measuring import Cores, Run, WrongBytes, measure, xxh3_of
from bench.origin import OriginProcess
from bench.results import Results, table
from tests.content import MIB, Noise

NAME = "storm"
EXPECTED = """\
Expected: one read of the origin and each of its bytes once, whatever the number of clients. The fill digests with
SHA-512 (about 1.5 s/GiB) and writes, so 256 MiB take some 0.5 to 0.8 s; to that comes the sending, 16 GiB at 2 to
4 GiB/s beside clients that digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    size_mib: int
    clients: int
    processes: int
    rounds: int


SMALL = Load(size_mib=4, clients=8, processes=2, rounds=1)
REAL = Load(size_mib=256, clients=64, processes=2, rounds=3)


def run(directory: Path, load: Load, cores: Cores, results: Results, tell: Callable[[str], None] = print) -> list[Run]:
    """Each round is a new image behind the same URL, so it is cold. Raises WrongBytes."""
    content = Noise(load.size_mib * MIB, seed=0)
    expected = xxh3_of(content)
    runs = []
    with OriginProcess(load.size_mib) as origin, glint_process(directory / "glint") as glint:
        images = Images(glint.port)
        for turn in range(1, load.rounds + 1):
            image_id = images.register(f"storm {turn}", origin.url, content.digest())
            job = Downloads(
                host="127.0.0.1",
                port=glint.port,
                path=file_path(image_id),
                size_bytes=content.size_bytes,
                clients=load.clients // load.processes,
                digest="xxh3_128",
            )
            before = origin.seen()
            done, outcome = measure(NAME, "glint", glint, [job] * load.processes, cores=cores, turn=turn)
            seen = origin.seen()
            if outcome.digests != [expected] * load.clients:
                raise WrongBytes(f"{NAME}: not all of {load.clients} clients got the image")
            done = replace(done, store_reads=seen.gets - before.gets, store_bytes=seen.sent_bytes - before.sent_bytes)
            results.add(done)
            runs.append(done)
            tell(f"{NAME} round {turn}: {done.store_reads} store reads, {done.seconds:.2f} s, {done.gib_s:.2f} GiB/s")
    return runs


def report(runs: list[Run]) -> str:
    return table(
        runs,
        (
            ("store reads", lambda run: run.store_reads or 0, ".0f"),
            ("store bytes MiB", lambda run: (run.store_bytes or 0) / MIB, ".1f"),
            ("store bytes / image", lambda run: (run.store_bytes or 0) * run.bodies / run.body_bytes, ".3f"),
            ("right digests", lambda run: run.verified, ".0f"),
            ("seconds", lambda run: run.seconds, ".2f"),
            ("GiB/s", lambda run: run.gib_s, ".2f"),
            ("CPU-s/GiB", lambda run: run.cpu_s_gib, ".3f"),
            ("first byte p50 ms", lambda run: run.wait_p50_s * 1000, ".0f"),
            ("p99 ms", lambda run: run.wait_p99_s * 1000, ".0f"),
        ),
    )
