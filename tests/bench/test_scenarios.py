"""The benches measure what they say, in their small sizes. No test here knows how fast anything is."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import processes
from bench.catalogue import SCENARIOS
from bench.floor import Floor
from bench.glint import Identity
from bench.load import Downloads
from bench.measuring import Cores, Run, WrongBytes, measure, xxh3_of
from bench.places import (
    FLOOR,
    GLANCE,
    GLINT,
    GLINT_FILE,
    GLINT_SYSTEM,
    NGINX,
    NGINX_CACHE,
    NGINX_CUBIC,
    STORE,
    VARNISH,
    glint_name,
)
from bench.results import Results, ratio_lines, rows, table
from bench.scenarios import cold, hot, listing, metadata, mixed, pages, ranges, restart, slow, storm
from bench.session import Session
from tests.content import MIB, Noise
from tests.peers import Glance, Keystone, Memcached

ROOT = Path(__file__).parents[2]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path / "work", Results(tmp_path / "results")) as session:
        yield session


@pytest.fixture
def session_with_glance(tmp_path: Path, keystone: Keystone, memcached: Memcached, glance: Glance) -> Iterator[Session]:
    peers = Identity(keystone=keystone, memcached=memcached), glance
    with Session(tmp_path / "work", Results(tmp_path / "results"), peers=peers) as session:
        yield session


def lines(tmp_path: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "results" / f"{name}.jsonl").read_text().splitlines()]


def shown(name: str, runs: list[Run]) -> str:
    """As `python -m bench` prints it."""
    scenario = SCENARIOS[name]
    found = rows(runs, scenario.columns)
    told = ratio_lines(found, scenario.ours, scenario.theirs, scenario.ratios)
    return table(found, scenario.columns) + "\n".join(told)


def test_hot_compares_right_bytes_from_all_servers_and_leaves_a_line_for_each(
    session_with_glance: Session, tmp_path: Path
) -> None:
    runs = hot.run(session_with_glance, hot.SMALL)

    written = lines(tmp_path, "hot")
    servers = [FLOOR, NGINX, GLINT, NGINX_CUBIC, NGINX_CACHE, VARNISH, GLINT_SYSTEM, GLINT_FILE, GLANCE]
    assert [line["server"] for line in written] == servers * len(hot.SMALL.clients)
    assert all(line["verified"] == 1 and line["cpu_s"] > 0 and line["rss_peak_bytes"] > 0 for line in written)
    assert all(line["body_bytes"] > 0 and line["seconds"] >= hot.SMALL.seconds for line in written)
    report = shown("hot", runs)
    assert all(name in report for name in (*servers, "glint / nginx, 3 clients: GiB/s"))
    # A line says by what and where it was made.
    assert {"at", "commit", "machine", "versions", "server_cores", "client_cores"} <= written[0].keys()
    machine = {"cpu", "cores", "memory_bytes", "kernel", "congestion_control", "python"}
    assert machine <= written[0]["machine"].keys()
    assert {"aiohttp", "uvloop", "nginx", "varnishd", "glance"} <= written[0]["versions"].keys()


def test_cold_images_reach_every_client_through_every_cache_by_one_read_of_the_store(
    session: Session, tmp_path: Path
) -> None:
    runs = cold.run(session, cold.SMALL)

    written = lines(tmp_path, "cold")
    caches = ["glint, sha512", "glint, sha256", "glint, no digest", NGINX_CACHE, VARNISH]
    assert [line["server"] for line in written] == [STORE, *caches] * len(cold.SMALL.clients)
    for line in written:
        assert line["verified"] == line["clients"]
        assert line["store_reads"] == (line["clients"] if line["server"] == STORE else 1)
    assert {"sha512", "sha256", "write and fdatasync"} <= written[0]["notes"].keys()
    assert "glint, sha512 / store alone, store without limit, 3 clients" in shown("cold", runs)


def test_a_storm_reads_the_store_once_and_every_client_gets_the_image(session: Session, tmp_path: Path) -> None:
    runs = storm.run(session, storm.SMALL)

    written = lines(tmp_path, "storm")
    assert [line["server"] for line in written] == [GLINT, glint_name(2), NGINX_CACHE, VARNISH]
    [(clients, size_mib)] = storm.SMALL.storms
    for line in written:
        assert line["store_reads"] == 1
        assert line["store_bytes"] == size_mib * MIB
        assert line["verified"] == line["clients"] == clients
    assert "store bytes / image" in shown("storm", runs)


def test_random_parts_are_those_of_the_image_in_hot_and_in_cold_caches(session: Session, tmp_path: Path) -> None:
    runs = ranges.run(session, ranges.SMALL)

    written = lines(tmp_path, "ranges")
    hot_servers, cold_servers = [GLINT, NGINX, NGINX_CACHE, VARNISH], [STORE, GLINT, NGINX_CACHE, VARNISH]
    assert [line["server"] for line in written] == hot_servers + cold_servers
    assert all(line["verified"] == ranges.SMALL.clients for line in written)
    assert all(line["bodies"] == ranges.SMALL.clients * ranges.SMALL.hot_parts for line in written[:4])
    assert all(line["store_reads"] >= 1 for line in written[4:])
    assert "parts/s" in shown("ranges", runs)


def test_slow_clients_are_all_served_and_what_they_cost_in_memory_is_written(session: Session, tmp_path: Path) -> None:
    runs = slow.run(session, slow.SMALL)

    written = lines(tmp_path, "slow")
    assert [line["server"] for line in written] == [GLINT, NGINX, NGINX_CACHE, VARNISH]
    assert all(line["verified"] == line["clients"] == slow.SMALL.clients for line in written)
    assert all(line["rss_growth_bytes"] >= 0 for line in written)
    assert "KiB a client" in shown("slow", runs)


def test_images_that_are_not_in_memory_are_downloaded_while_small_answers_are_timed(
    session: Session, tmp_path: Path
) -> None:
    runs = pages.run(session, pages.SMALL)

    written = lines(tmp_path, "pages")
    assert [line["server"] for line in written] == [NGINX, GLINT] * 2
    assert all(line["beside_bytes"] > 0 and line["bodies"] > 0 for line in written)
    assert all(0 < line["figures"]["lag_p99_s"] < 30 for line in written if line["server"] == GLINT)
    assert all(0 <= line["figures"]["idle_lag_p99_s"] < 30 for line in written)
    assert "downloads GiB/s" in shown("pages", runs)


def test_a_restart_is_over_with_a_hit_that_needs_no_store(session: Session, tmp_path: Path) -> None:
    runs = restart.run(session, restart.SMALL)

    written = lines(tmp_path, "restart")
    assert [line["server"] for line in written] == [GLINT, NGINX_CACHE] * len(restart.SMALL.entries)
    assert all(line["verified"] == 1 for line in written)
    assert all(line["figures"]["index_s"] >= line["seconds"] for line in written if line["server"] == GLINT)
    assert "first hit s" in shown("restart", runs)


def test_pages_of_many_images_are_the_right_ones_on_every_database(session: Session, tmp_path: Path) -> None:
    runs = listing.run(session, listing.SMALL)

    written = lines(tmp_path, "listing")
    assert {line["server"] for line in written} == {listing.ON_SQLITE, listing.ON_POSTGRESQL}
    assert all(line["bodies"] > 0 for line in written)
    assert "p99 ms" in shown("listing", runs)


def test_metadata_asks_glint_and_glance_for_the_same_images(session_with_glance: Session, tmp_path: Path) -> None:
    runs = metadata.run(session_with_glance, metadata.SMALL)

    written = lines(tmp_path, "metadata")
    assert [(line["case"], line["server"]) for line in written] == [
        (case, server) for case in ("list of 20", "") for server in (GLINT, GLANCE)
    ]
    assert all(line["bodies_s"] > 0 and line["wait_p99_s"] >= line["wait_p50_s"] > 0 for line in written)
    assert "glint / glance, 2 clients: requests/s" in shown("metadata", runs)


def test_mixed_asks_for_metadata_while_others_download(session_with_glance: Session, tmp_path: Path) -> None:
    runs = mixed.run(session_with_glance, mixed.SMALL)

    written = lines(tmp_path, "mixed")
    assert [line["server"] for line in written] == [GLINT, GLANCE] * len(mixed.SMALL.downloads)
    alone, beside = written[:2], written[2:]
    assert all(line["beside_bytes"] == 0 for line in alone)
    assert all(line["beside_bytes"] > 0 and line["clients"] == mixed.SMALL.clients for line in beside)
    assert "p99 ms" in shown("mixed", runs)


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
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)

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
