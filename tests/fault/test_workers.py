"""Several processes behind one port: who gets what, and what is left when one of them, or their parent, dies."""

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

import pytest
import xxhash

from tests.clients import Cut, fast_digest
from tests.content import MIB, Noise
from tests.descriptors import links_of
from tests.glint import Glint
from tests.peers.ports import is_free

CONTENT = Noise(32 * MIB + 7, seed=33)  # more than sockets hold: a client that stops reading stops the server
SECRET = "taciturn-otter"
COUNTERS = ("_total", "_count", "_sum", "_bucket")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glint]:
    """For tests after which it still runs, with all its workers."""
    folder = tmp_path_factory.mktemp("lasting")
    policy_of(folder).write_text("{}")
    settings = {"server.workers": 2, "logging.level": "info", "api.policy_file": str(policy_of(folder))}
    with Glint(folder, settings) as served:
        until_complete(served)
        yield served


@pytest.fixture
def glint(tmp_path: Path) -> Iterator[Glint]:
    """For tests that end it."""
    with Glint(tmp_path, {"server.workers": 2, "server.drain_s": 100, "logging.level": "info"}) as served:
        until_complete(served)
        yield served


class SlowClient:
    """Has the head of an answer and some of its body, and leaves the rest where it is until it is asked to read on."""

    def __init__(self, glint: Glint, image_id: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", glint.port, timeout=30)
        self.connection.request("GET", f"/v2/images/{image_id}/file")
        self.answer: HTTPResponse = self.connection.getresponse()
        self._left = int(self.answer.headers["Content-Length"])
        self._digest = xxhash.xxh3_128()
        self._read()

    def read_on(self) -> str:
        """Digest of the whole body. Raises Cut."""
        try:
            while self._left:
                self._read()
        except (HTTPException, ConnectionError) as error:
            raise Cut from error
        return self._digest.hexdigest()

    def _read(self) -> None:
        piece = self.answer.read(min(MIB, self._left))
        if not piece:
            raise Cut(f"{self._left} bytes are missing")
        self._digest.update(piece)
        self._left -= len(piece)


@contextmanager
def downloading(glint: Glint) -> Iterator[SlowClient]:
    image_id = glint.upload(CONTENT.read())
    client = SlowClient(glint, image_id)
    with closing(client.connection):
        yield client


def test_workers_share_a_port_and_its_clients_fairly(lasting: Glint) -> None:
    """Of up to five crowds: on a busy machine one of the workers may not have its turn while all of them come."""
    image_id = lasting.upload(CONTENT.read())
    shares: list[list[int]] = []
    while not shares or min(shares[-1]) < 8:
        assert len(shares) < 5, shares
        shares.append(_shares_of_a_crowd(lasting, image_id))
        assert sum(shares[-1]) == 64


def _shares_of_a_crowd(glint: Glint, image_id: str) -> list[int]:
    """How many of 64 clients each worker has."""
    before = {pid: sockets_of(pid) for pid in glint.worker_pids}
    with ExitStack() as stack:
        address = ("127.0.0.1", glint.port)
        clients = [stack.enter_context(closing(socket.create_connection(address))) for _ in range(64)]
        for client in clients:
            client.sendall(f"GET /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        for client in clients:
            assert client.recv(12) == b"HTTP/1.1 200"
        return [len(sockets_of(pid) - others) for pid, others in before.items()]


def kill(pid: int) -> float:
    """When it was dead: on a busy machine it may take what comes for a while after the signal."""
    ended = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([ended], [], [], 20)[0], "it does not die"
        return time.monotonic()
    finally:
        os.close(ended)


@pytest.mark.parametrize("deaths", [1, pytest.param(50, marks=pytest.mark.long)])
def test_a_killed_worker_is_replaced_and_no_new_connection_fails(lasting: Glint, deaths: int) -> None:
    """What was on connections of the dead one is lost; connections that begin after that are all answered."""
    files, restarts = numbers_files(lasting), restarts_of(lasting)
    lasting.config_path.write_text("server: {workers: what}")  # a replacement works by what was read at the start
    with asking(lasting) as asked, scraping(lasting) as scraped:
        for _ in range(deaths):
            victim, *others = lasting.worker_pids
            died_s = kill(victim)
            until(lambda victim=victim: victim not in lasting.worker_pids)  # type: ignore[misc]
            until_complete(lasting)
            assert set(others) < set(lasting.worker_pids)
            asked.until_answered_after(time.monotonic())
            assert all(began_s < died_s for began_s in asked.failed_s)
            asked.failed_s.clear()
    assert scraped.went_back == []
    assert scraped.count > deaths
    assert restarts_of(lasting) == restarts + deaths
    assert lasting.metrics().value("glint_http_requests_total", route="/healthcheck") >= asked.answered
    assert numbers_files(lasting) == files
    assert "was killed by SIGKILL" in lasting.log


def test_workers_that_cannot_start_again_are_tried_until_they_can(lasting: Glint) -> None:
    """As long as one is left, it answers; after that, clients wait for the next."""
    policy, died = policy_of(lasting.directory), lasting.log.count("worker.died")
    victim, other = lasting.worker_pids
    policy.write_text("get_image: [")
    os.kill(victim, signal.SIGKILL)
    until(lambda: lasting.log.count("worker.died") >= died + 2)
    assert lasting.get("/healthcheck").status == 200
    assert health_of(lasting) == 200
    os.kill(other, signal.SIGKILL)
    until(lambda: lasting.metrics().value("glint_workers") == 0)
    assert health_of(lasting) == 503
    assert f"policy file {policy}: is no YAML" in lasting.log
    with closing(HTTPConnection("127.0.0.1", lasting.port, timeout=90)) as waiting:
        waiting.request("GET", "/healthcheck")
        policy.write_text("{}")
        assert waiting.getresponse().status == 200
    until_complete(lasting)
    assert health_of(lasting) == 200


@pytest.mark.parametrize("to_all", [False, True], ids=["to the supervisor", "to the whole group"])
def test_told_to_stop_workers_finish_what_runs(glint: Glint, to_all: bool) -> None:
    folder = numbers_folder(glint)
    with downloading(glint) as client:
        (os.killpg if to_all else os.kill)(glint.pid, signal.SIGTERM)
        until(lambda: is_free(glint.port))
        assert client.read_on() == fast_digest(CONTENT)
    until(lambda: not glint.is_running)
    assert "server.stopped" in glint.log
    assert "worker.died" not in glint.log
    assert not folder.exists()


def test_a_second_signal_ends_all_at_once(glint: Glint) -> None:
    folder = numbers_folder(glint)
    with downloading(glint) as client:
        os.kill(glint.pid, signal.SIGTERM)
        until(lambda: is_free(glint.port))
        os.kill(glint.pid, signal.SIGTERM)
        until(lambda: not glint.is_running)  # in less than the time to drain
        with pytest.raises(Cut):
            client.read_on()
    assert not folder.exists()
    assert "server.stopped" not in glint.log


@pytest.mark.long
def test_a_worker_that_hangs_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    with Glint(tmp_path, {"server.workers": 2, "server.drain_s": 0}) as glint:
        until_complete(glint)
        hanging = glint.worker_pids[0]
        os.kill(hanging, signal.SIGSTOP)
        os.kill(glint.pid, signal.SIGTERM)
        until(lambda: not glint.is_running, timeout_s=30)
        assert not is_alive(hanging)
        assert glint.log.count("was killed by SIGKILL") == 1
        assert "server.stopped" in glint.log


class Bereaved(Glint):
    """Its supervisor runs below a shell that stays, or else the guard would end the workers with the supervisor."""

    def _command(self) -> Sequence[str | Path]:
        return ["/bin/sh", "-c", '"$@"; sleep 60', "sh", *super()._command()]


def test_workers_whose_supervisor_was_killed_finish_what_runs_and_go(tmp_path: Path) -> None:
    with Bereaved(tmp_path, {"server.workers": 2, "server.drain_s": 20}) as glint:
        until_complete(glint)
        (supervisor,) = glint.worker_pids
        workers = children_of(supervisor)
        with downloading(glint) as client:
            os.kill(supervisor, signal.SIGKILL)
            until(lambda: is_free(glint.port))
            assert client.read_on() == fast_digest(CONTENT)
        until(lambda: not any(map(is_alive, workers)))
        assert glint.log.count("worker.orphaned") == 2


def test_what_keeps_workers_from_starting_is_told_once(tmp_path: Path) -> None:
    glint = configured(tmp_path, {"server.workers": 2, "server.tcp_congestion_control": "pigeon"})
    finished = glint.run("serve")
    assert finished.returncode == 1
    assert finished.stderr.count("sockets here cannot have 'pigeon'") == 1
    assert "Traceback" not in finished.stderr
    assert is_free(glint.port)


def test_a_taken_port_is_told_as_by_a_single_process(tmp_path: Path) -> None:
    glint = configured(tmp_path, {"server.workers": 2})
    with socket.create_server(("127.0.0.1", glint.port)):
        finished = glint.run("serve")
    assert finished.returncode == 1
    assert f"cannot listen on 127.0.0.1:{glint.port}" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
def test_workers_that_start_at_once_on_a_fresh_folder_all_come_up(tmp_path: Path, rounds: int) -> None:
    """Tables, folders and indexes are made by whoever comes first. No secret can be read off the processes."""
    settings = {"server.workers": 3, "token_cache.secret_key": SECRET}
    for number in range(rounds):
        with Glint(tmp_path / str(number), settings, forks_workers=False) as glint:
            until_complete(glint, 3)
            assert "worker.died" not in glint.log
            for pid in glint.worker_pids:
                shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
                assert SECRET.encode() not in shown


class Asking:
    """Short requests, each on a connection of its own, one after the other in each of a few threads."""

    def __init__(self, glint: Glint) -> None:
        self.answered = 0
        self.answered_s = 0.0  # when the connection began whose answer came last
        self.failed_s: list[float] = []  # when the connections began that failed
        self._glint, self._ended = glint, threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            began_s = time.monotonic()
            try:
                assert self._glint.get("/healthcheck").status == 200
            except (OSError, HTTPException):
                self.failed_s.append(began_s)
            else:
                self.answered += 1
                self.answered_s = max(self.answered_s, began_s)

    def end(self) -> None:
        self._ended.set()

    def until_answered_after(self, moment_s: float) -> None:
        until(lambda: self.answered_s > moment_s)


class Scraping:
    """Scrapes again and again, and notes each counter that was smaller, or gone, the next time."""

    def __init__(self, glint: Glint) -> None:
        self.count = 0
        self.went_back: list[object] = []
        self._glint, self._ended = glint, threading.Event()

    def run(self) -> None:
        before: dict[object, float] = {}
        while not self._ended.is_set():
            now: dict[object, float] = {
                (sample.name, *sorted(sample.labels.items())): sample.value
                for sample in self._glint.metrics().samples
                if sample.name.endswith(COUNTERS)
            }
            self.went_back += [(key, value, now.get(key)) for key, value in before.items() if now.get(key, -1) < value]
            self.count += 1
            before = now

    def end(self) -> None:
        self._ended.set()


@contextmanager
def asking(glint: Glint) -> Iterator[Asking]:
    client = Asking(glint)
    with _threads(client.run, 3, client.end):
        yield client


@contextmanager
def scraping(glint: Glint) -> Iterator[Scraping]:
    client = Scraping(glint)
    with _threads(client.run, 1, client.end):
        yield client


@contextmanager
def _threads(run: Callable[[], None], count: int, end: Callable[[], None]) -> Iterator[None]:
    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end()
        for thread in threads:
            thread.join()


def configured(folder: Path, settings: dict[str, object]) -> Glint:
    """Not started, but other commands find its configuration."""
    glint = Glint(folder, settings)
    glint._prepare()
    return glint


def until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.02)


def until_complete(glint: Glint, workers: int = 2) -> None:
    until(lambda: glint.metrics().value("glint_workers") == workers)


def policy_of(folder: Path) -> Path:
    return folder / "policy.yaml"


def health_of(glint: Glint) -> int:
    with closing(HTTPConnection("127.0.0.1", glint.metrics_port, timeout=30)) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().status


def restarts_of(glint: Glint) -> float:
    return glint.metrics().value("glint_worker_restarts_total")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Not so for one that has ended and waits for its parent to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def sockets_of(pid: int) -> set[str]:
    links = links_of(pid)
    return {link for link in links if link.startswith("socket:")}


def numbers_folder(glint: Glint) -> Path:
    """Where the workers count."""
    maps = Path(f"/proc/{glint.worker_pids[0]}/maps").read_text().split()
    return next(Path(word).parent for word in maps if "/glint-numbers-" in word)


def numbers_files(glint: Glint) -> set[str]:
    return {path.name for path in numbers_folder(glint).iterdir()}
