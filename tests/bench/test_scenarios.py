"""The benches measure what they say, in their small sizes. No test here knows how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import processes
from bench.floor import Floor
from bench.glint import Identity
from bench.load import Downloads, Requests
from bench.loading import Clients
from bench.measuring import Cores, WrongBytes, measure, xxh3_of
from bench.results import Results
from bench.scenarios import hot, metadata, storm
from tests.content import MIB, Fixed, Noise
from tests.origin import Fault, Origin
from tests.peers import Glance, Keystone, Memcached

ROOT = Path(__file__).parents[2]


def lines(directory: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / f"{name}.jsonl").read_text().splitlines()]


def test_hot_compares_right_bytes_from_all_servers_and_leaves_a_line_for_each(tmp_path: Path) -> None:
    runs = hot.run(tmp_path / "work", hot.SMALL, Cores(), Results(tmp_path / "results"))

    written = lines(tmp_path / "results", "hot")
    assert len(written) == len(runs) == 5 * len(hot.SMALL.clients)
    assert all(line["verified"] == 1 and line["cpu_s"] > 0 and line["rss_peak_bytes"] > 0 for line in written)
    assert all(line["body_bytes"] >= hot.SMALL.moved_min_bytes - hot.SMALL.size_bytes for line in written)
    report = hot.report(runs)
    servers = (hot.FLOOR, hot.NGINX, hot.GLINT_CACHE, hot.GLINT_CUBIC, hot.GLINT_FILE)
    assert all(name in report for name in (*servers, "throughput"))


def test_a_storm_reads_the_store_once_and_every_client_gets_the_image(tmp_path: Path) -> None:
    runs = storm.run(tmp_path / "work", storm.SMALL, Cores(), Results(tmp_path / "results"))

    [line] = lines(tmp_path / "results", "storm")
    assert line["store_reads"] == 1
    assert line["store_bytes"] == storm.SMALL.size_mib * MIB
    assert line["verified"] == line["clients"] == storm.SMALL.clients
    assert "store reads" in storm.report(runs)
    # A line says by what and where it was made.
    assert {"at", "commit", "machine", "versions", "server_cores", "client_cores", "seconds"} <= line.keys()
    assert {"cpu", "cores", "memory_bytes", "kernel", "python"} <= line["machine"].keys()
    assert line["versions"].keys() >= {"aiohttp", "uvloop"}


def test_metadata_asks_glint_and_glance_for_the_same_image(
    tmp_path: Path, keystone: Keystone, memcached: Memcached, glance: Glance
) -> None:
    shared = Identity(keystone=keystone, memcached=memcached), glance

    runs = metadata.run(tmp_path / "work", metadata.SMALL, Cores(), Results(tmp_path / "results"), shared=shared)

    written = lines(tmp_path / "results", "metadata")
    assert [line["server"] for line in written] == [metadata.GLINT, metadata.GLANCE]
    assert all(line["bodies_s"] > 0 and line["wait_p99_s"] >= line["wait_p50_s"] > 0 for line in written)
    assert "requests/s" in metadata.report(runs)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (Fault(cut_at=MIB), "before the end"),
        (Fault(length_off=-1), "instead of 200"),
        (Fault(status=503), "status 503"),
        (Fault(refuse=True), "reset"),
    ],
    ids=str,
)
def test_a_client_that_does_not_get_the_whole_body_says_so(fault: Fault, complaint: str) -> None:
    with Origin() as origin:
        content = origin.add("image", Noise(2 * MIB))
        origin.script("image", fault)
        job = Downloads(host=origin.host, port=origin.port, path="/image", size_bytes=content.size_bytes, clients=2)
        with Clients([job]) as clients:
            outcome = clients.run()

    assert outcome.bodies == 1
    [error] = outcome.errors
    assert complaint in error.lower()


def test_digests_are_those_of_the_bytes_also_over_one_connection_again_and_again() -> None:
    with Origin() as origin:
        content = origin.add("image", Noise(3 * MIB + 1))
        told: list[int] = []
        job = Downloads(
            host=origin.host,
            port=origin.port,
            path="/image",
            size_bytes=content.size_bytes,
            clients=2,
            times=3,
            digest="sha512",
            told_s=1e-9,
        )
        with Clients([job, job]) as clients:
            outcome = clients.run(lambda _, body_bytes: told.append(body_bytes))
        assert origin.counts("image").gets == 12

    assert outcome.digests == [content.digest()] * 12
    assert outcome.body_bytes == 12 * content.size_bytes
    assert len(outcome.waits_s) == 12
    assert max(told) <= 6 * content.size_bytes


def test_small_requests_go_on_over_a_connection_that_the_server_closes() -> None:
    with Origin() as origin:
        origin.add("answer", Fixed(b'{"id": 1}'))
        origin.always("answer", Fault(headers={"Connection": "close"}))
        job = Requests(host=origin.host, port=origin.port, path="/answer", clients=2, seconds=0.1)
        with Clients([job]) as clients:
            outcome = clients.run()

    assert not outcome.errors
    assert outcome.bodies > 2
    assert outcome.sample == '{"id": 1}'


def test_a_changed_answer_ends_the_counting_of_requests() -> None:
    with Origin() as origin:
        origin.add("answer", Fixed(b"right"))
        origin.script("answer", Fault(), Fault(), Fault(flip_at=1))
        job = Requests(host=origin.host, port=origin.port, path="/answer", seconds=30)
        with Clients([job]) as clients:
            outcome = clients.run()

    assert outcome.bodies == 2
    assert len(outcome.errors) == 1


def test_what_a_server_costs_is_that_of_all_its_threads_and_is_kept_on_named_cores(tmp_path: Path) -> None:
    content = Noise(8 * MIB)
    (tmp_path / "file").write_bytes(content.read())
    with Floor(tmp_path / "floor", tmp_path / "file") as floor:
        job = Downloads(host="127.0.0.1", port=floor.port, path="/", size_bytes=content.size_bytes, digest="xxh3_128")
        run, outcome = measure("test", "floor", floor, [job], cores=Cores(server=(0,), client=(0,)))

        [server] = processes.members(floor.pid)
        tasks = list(Path(f"/proc/{server}/task").iterdir())
        allowed = [(task / "status").read_text().partition("Cpus_allowed_list:\t")[2].split()[0] for task in tasks]

    assert set(allowed) == {"0"}
    assert outcome.digests == [xxh3_of(content)]
    assert 0 < run.cpu_s <= run.seconds + 1
    assert run.rss_peak_bytes >= run.rss_before_bytes > 0


def test_a_run_with_a_wrong_body_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"short")
    with Floor(tmp_path / "floor", tmp_path / "file") as floor:
        job = Downloads(host="127.0.0.1", port=floor.port, path="/", size_bytes=6)
        with pytest.raises(WrongBytes, match="instead of 200 with 6"):
            measure("test", "floor", floor, [job], cores=Cores())


def test_the_demo_shows_one_store_read_and_only_right_digests() -> None:
    command = [sys.executable, "-m", "bench.demo", "--size-mib", "4", "--clients", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]]
        for line in done.stdout.splitlines()
        if line.count("│") == 4
    }
    assert rows["right digests"] == ["3 of 3", "3 of 3"]
    assert rows["store reads"] == ["1", "0"]
    assert rows["read from the store"] == ["4 MiB", "0 MiB"]
    assert "right." in done.stdout
