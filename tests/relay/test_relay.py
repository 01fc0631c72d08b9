"""The relay itself: it passes on what it is not told to spoil, and each fault is what its name says."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.content import KIB, MIB, Fixed, Noise
from tests.origin import Fault as OfOrigin
from tests.origin import Origin
from tests.relay import Fault, Gate, Relay

CONTENT = Noise(MIB + 5, seed=3)
OTHER = Fixed(b"another object")


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        origin.add("disk", CONTENT)
        yield origin


@pytest.fixture
def relay(origin: Origin) -> Iterator[Relay]:
    with Relay(origin.port) as relay:
        yield relay


def get(relay: Relay, path: str = "/disk", headers: dict[str, str] | None = None, method: str = "GET") -> Got:
    with closing(http.client.HTTPConnection("127.0.0.1", relay.port, timeout=30)) as connection:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return Got(answer.status, answer.headers, answer.read())


def test_what_no_rule_names_goes_through_on_one_connection(relay: Relay, origin: Origin) -> None:
    before = origin.connections
    with closing(http.client.HTTPConnection("127.0.0.1", relay.port, timeout=30)) as connection:
        for headers in ({}, {"Range": "bytes=7-1000"}):
            connection.request("GET", "/disk", headers=headers)
            answer = connection.getresponse()
            assert answer.read() == (CONTENT.read(7, 1001) if headers else CONTENT.read())
    assert origin.connections == before + 1
    assert origin.counts("disk").requests[-1].headers["host"] == f"127.0.0.1:{relay.port}"
    assert [(seen.status, seen.sent_bytes) for seen in relay.seen] == [(200, CONTENT.size_bytes), (206, 994)]


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_body_of_any_framing_goes_through(relay: Relay, origin: Origin, framing: str) -> None:
    origin.script("disk", OfOrigin(framing="chunked" if framing == "chunked" else "close"))
    got = get(relay)
    assert got.body == CONTENT.read()
    assert got.headers["Content-Length"] is None
    assert relay.seen[0].sent_bytes == CONTENT.size_bytes


def test_only_the_named_requests_are_spoilt(relay: Relay) -> None:
    rule = relay.on("GET", "^/disk$", Fault(status=503), skip=1, times=2)
    assert get(relay, method="HEAD").status == 200
    assert [get(relay).status for _ in range(5)] == [200, 503, 503, 200, 200]
    assert (rule.met, rule.made) == (5, 2)
    relay.on("GET", "disk", Fault(status=500), times=None)
    assert get(relay).status == 500
    relay.heal()
    assert get(relay).status == 200


def test_a_status_or_a_redirect_is_told_without_the_server(relay: Relay, origin: Origin) -> None:
    before = origin.counts("disk").gets
    relay.on("GET", "disk", Fault(status=401, headers={"WWW-Authenticate": "Token"}))
    relay.on("GET", "disk", Fault(redirect="http://elsewhere.example/"), skip=1)
    refused, sent_on = get(relay), get(relay)
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Token")
    assert (sent_on.status, sent_on.headers["Location"]) == (302, "http://elsewhere.example/")
    assert origin.counts("disk").gets == before


@pytest.mark.parametrize("fault", [Fault(cut_at=1000), Fault(cut_at=0), Fault(length_off=1)], ids=repr)
def test_a_body_that_is_cut_is_short_for_its_reader(relay: Relay, fault: Fault) -> None:
    relay.on("GET", "disk", fault)
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(relay)
    assert len(cut.value.partial) == (CONTENT.size_bytes if fault.cut_at is None else fault.cut_at)


def test_a_refused_request_and_a_reset_body_are_resets(relay: Relay) -> None:
    relay.on("GET", "disk", Fault(refuse=True))
    relay.on("GET", "disk", Fault(cut_at=KIB, reset=True), skip=1)
    for _ in range(2):
        with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
            get(relay)
    relay.is_down = True
    with pytest.raises(ConnectionResetError):
        get(relay)
    relay.heal()
    assert get(relay).status == 200


def test_heads_and_bodies_are_changed_as_told(relay: Relay) -> None:
    part = {"Range": "bytes=100-199"}
    relay.on("GET", "disk", Fault(flip_at=150, etag='"other"', framing="chunked"))
    changed = get(relay, headers=part)
    assert changed.headers["ETag"] == '"other"'
    assert changed.headers["Transfer-Encoding"] == "chunked"
    assert [at for at in range(100) if changed.body[at] != CONTENT.read(100, 200)[at]] == [50]
    relay.on("GET", "disk", Fault(whole=OTHER))
    whole = get(relay, headers=part)
    assert (whole.status, whole.headers["Content-Range"], whole.body) == (200, None, OTHER.read())
    relay.on("GET", "disk", Fault(length_off=-1))
    assert get(relay, headers=part).body == CONTENT.read(100, 199)
    relay.on("GET", "disk", Fault(framing="close"))
    assert get(relay, headers=part).headers["Content-Length"] is None


def test_an_answer_is_held_before_its_head_and_in_its_body(relay: Relay) -> None:
    for at in (-1, 1000):
        gate = Gate(at=at)
        relay.on("GET", "disk", Fault(gate=gate))
        with closing(http.client.HTTPConnection("127.0.0.1", relay.port, timeout=30)) as connection:
            connection.request("GET", "/disk")
            gate.wait_reached()
            assert relay.seen[-1].sent_bytes == max(0, at)
            assert relay.at_once == 1
            relay.heal()
            assert connection.getresponse().read() == CONTENT.read()


def test_latency_and_rate_take_their_time(relay: Relay) -> None:
    relay.on("GET", "disk", Fault(rate_bytes_s=10 * MIB))
    began = time.monotonic()
    assert get(relay).body == CONTENT.read()
    assert time.monotonic() - began >= 0.08
    relay.latency_s, relay.rate_bytes_s = 0.05, 20 * MIB
    began = time.monotonic()
    assert get(relay).body == CONTENT.read()
    assert time.monotonic() - began >= 0.14  # connection, answer, and 50 ms for a MiB


class Keeper(ThreadingHTTPServer):
    """Takes uploads. A target with `no` in it is refused as soon as its head is there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.kept: dict[str, bytes] = {}
        self.broken = threading.Event()


class _Taking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Keeper

    def do_PUT(self) -> None:
        if "no" in self.path:
            self.close_connection = True
            self._say(401)
            return
        size = int(self.headers["Content-Length"])
        body = self.rfile.read(size)
        if len(body) < size:
            self.server.broken.set()
            return
        self.server.kept[self.path] = body
        self._say(201)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
        pass

    def _say(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with Keeper() as keeper:
        thread = threading.Thread(target=keeper.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield keeper
        keeper.shutdown()
        thread.join()


@pytest.fixture
def before_keeper(keeper: Keeper) -> Iterator[Relay]:
    keeper.broken.clear()
    with Relay(keeper.server_address[1]) as relay:
        yield relay


def put(relay: Relay, path: str, data: bytes) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", relay.port, timeout=30)) as connection:
        connection.request("PUT", path, data)
        return connection.getresponse().status


def test_an_upload_goes_through_and_may_be_refused_early(before_keeper: Relay, keeper: Keeper) -> None:
    assert put(before_keeper, "/a", CONTENT.read()) == 201
    assert keeper.kept["/a"] == CONTENT.read()
    assert before_keeper.seen[0].taken_bytes == CONTENT.size_bytes
    assert put(before_keeper, "/no", b"x") == 401
    before_keeper.on("PUT", "/b", Fault(status=507))
    with closing(http.client.HTTPConnection("127.0.0.1", before_keeper.port, timeout=30)) as connection:
        for expected in (507, 201):
            connection.request("PUT", "/b", CONTENT.read())
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (expected, b"")


def test_an_upload_that_is_cut_reaches_the_server_in_part(before_keeper: Relay, keeper: Keeper) -> None:
    before_keeper.on("PUT", "/cut", Fault(take=1000))
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        put(before_keeper, "/cut", CONTENT.read())
    assert keeper.broken.wait(10)
    assert before_keeper.seen[0].taken_bytes == 1000
    assert "/cut" not in keeper.kept


def test_an_answer_that_is_lost_leaves_what_the_server_did(before_keeper: Relay, keeper: Keeper) -> None:
    before_keeper.on("PUT", "/lost", Fault(lose_answer=True))
    with pytest.raises(http.client.RemoteDisconnected):
        put(before_keeper, "/lost", b"data")
    assert keeper.kept["/lost"] == b"data"
