"""The process as a whole: killed at any moment, told to stop, started badly."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients import Cut, download, fast_digest
from tests.content import KIB, MIB, Noise
from tests.glint import Glint
from tests.origin import Fault, Gate, Origin

CONTENT = Noise(32 * MIB + 7, seed=31)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as served:
        served.add("disk", CONTENT)
        yield served


@pytest.fixture
def glint(tmp_path: Path) -> Iterator[Glint]:
    settings = {"cache.size_max": "256 MiB", "stores.backends.web": {"kind": "http"}, "server.drain_s": 60}
    with Glint(tmp_path, settings, stop_s=70) as served:
        yield served


def file_url(glint: Glint, image_id: str) -> str:
    return f"{glint.url}/v2/images/{image_id}/file"


@pytest.mark.parametrize("at", [0, 64 * KIB, 17 * MIB, CONTENT.size_bytes - 1])
def test_killed_while_it_fills_it_serves_nothing_wrong_afterwards(glint: Glint, origin: Origin, at: int) -> None:
    gate = Gate(at=at)
    origin.script("disk", Fault(gate=gate))
    image_id = glint.register(origin.url("disk"), CONTENT)
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(download, file_url(glint, image_id))
        gate.wait_reached()
        glint.kill()
        with pytest.raises(Cut):
            asking.result()
    gate.open()
    assert not list((glint.cache_dir / "entries").rglob("*-*"))
    glint.start()
    assert download(file_url(glint, image_id)) == fast_digest(CONTENT)


def test_entries_survive_a_kill_and_need_no_store(glint: Glint, origin: Origin) -> None:
    image_id = glint.register(origin.url("disk"), CONTENT)
    assert glint.run("prewarm", image_id).returncode == 0
    glint.kill()
    origin.always("disk", Fault(refuse=True))
    glint.start()
    assert download(file_url(glint, image_id)) == fast_digest(CONTENT)
    glint.until_counted(1, "glint_downloads_total", outcome="hit")


def test_told_to_stop_it_finishes_what_runs_and_takes_nothing_new(glint: Glint, origin: Origin) -> None:
    gate = Gate(at=MIB)
    origin.script("disk", Fault(gate=gate))
    image_id = glint.register(origin.url("disk"), CONTENT)
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(download, file_url(glint, image_id))
        gate.wait_reached()
        stopping = threading.Thread(target=glint.stop)
        stopping.start()
        until_refused(glint.port)
        gate.open()
        assert asking.result() == fast_digest(CONTENT)
        stopping.join()
    assert "server.stopped" in glint.log


def test_what_does_not_end_in_the_drain_time_is_cut(glint: Glint, origin: Origin, tmp_path: Path) -> None:
    glint.stop()
    glint.settings["server.drain_s"] = 0.5
    glint.start()
    gate = Gate(at=MIB)
    origin.script("disk", Fault(gate=gate))
    image_id = glint.register(origin.url("disk"), CONTENT)
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(download, file_url(glint, image_id))
        gate.wait_reached()
        glint.stop()
        with pytest.raises(Cut):
            asking.result()
    assert "server.stopped" in glint.log


def test_a_port_that_is_taken_is_told_with_what_to_do(glint: Glint, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = glint.run("serve", "--set", f"server.port={port}", "--set", "metrics.port=0")
    assert finished.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_congestion_control_that_the_system_lacks_is_told(glint: Glint) -> None:
    finished = glint.run("serve", "--set", "server.tcp_congestion_control=pigeon", "--set", "server.port=0")
    assert finished.returncode == 1
    assert "server.tcp_congestion_control: sockets here cannot have 'pigeon'" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_sixty_four_hot_clients_cost_little_memory(glint: Glint, origin: Origin) -> None:
    image_id = glint.register(origin.url("disk"), CONTENT)
    url = file_url(glint, image_id)
    for _ in range(2):
        assert download(url) == fast_digest(CONTENT)
    before = resident_bytes(glint)
    with ThreadPoolExecutor(64) as threads:
        assert set(threads.map(download, [url] * 64)) == {fast_digest(CONTENT)}
    assert resident_bytes(glint) - before <= 64 * MIB


def resident_bytes(glint: Glint) -> int:
    lines = Path(f"/proc/{glint.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith("VmRSS:"))


def until_refused(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError("it still takes connections")
