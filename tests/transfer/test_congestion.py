"""Which congestion control a download gets."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.transfer import congestion
from proxy.transfer.congestion import begin_with, chosen, tune

ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")


def algorithm_of(one: socket.socket) -> str:
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    """The server's end of a connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
        ours, _ = listening.accept()
        with ours:
            yield ours


@pytest.mark.parametrize(
    ("configured", "system", "round_trip_us", "wanted"),
    [
        ("auto", "bbr", 999, "cubic"),
        ("auto", "bbr", 1000, "bbr"),
        ("auto", "bbr2", 50, "cubic"),
        ("auto", "bbr2", 50_000, "bbr2"),
        ("auto", "cubic", 50, None),
        ("auto", "reno", 50_000, None),
        (None, "bbr", 50, None),
        ("bbr", "cubic", 50, "bbr"),
        ("reno", "bbr", 50_000, "reno"),
    ],
)
def test_the_systems_choice_stands_but_for_bbr_to_a_client_that_is_near(
    configured: str | None, system: str, round_trip_us: int, wanted: str | None
) -> None:
    assert chosen(configured, system=system, round_trip_us=round_trip_us) == wanted


@pytest.mark.parametrize(("configured", "first"), [("auto", "cubic"), ("reno", "reno"), (None, "bbr")])
def test_connections_begin_with_the_algorithm_of_those_who_are_near(
    monkeypatch: pytest.MonkeyPatch, configured: str | None, first: str
) -> None:
    """Were it changed later, the timers that BBR has begun with would stay."""
    has_bbr = "bbr" in ALLOWED.read_text()
    monkeypatch.setattr(congestion, "system_algorithm", lambda: "bbr")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if has_bbr:
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")
        begin_with(listening, configured)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as ours:
            if has_bbr or configured is not None:
                assert algorithm_of(ours) == first
            tune(ours, configured)
            if has_bbr or configured is not None:
                assert algorithm_of(ours) == first


def test_a_client_that_is_far_gets_bbr_back(monkeypatch: pytest.MonkeyPatch, connection: socket.socket) -> None:
    system = "bbr" if "bbr" in ALLOWED.read_text() else "reno"
    monkeypatch.setattr(congestion, "_PACED", system)
    monkeypatch.setattr(congestion, "system_algorithm", lambda: system)
    tune(connection, "auto")
    assert algorithm_of(connection) == "cubic"
    monkeypatch.setattr(congestion, "_round_trip_us", lambda _: 50_000)
    tune(connection, "auto")
    assert algorithm_of(connection) == system


def test_a_client_on_this_machine_is_near_and_gets_no_paced_turns(connection: socket.socket) -> None:
    assert tune(connection, "auto") == 2 * 1024 * 1024
    assert not algorithm_of(connection).startswith("bbr")


def test_a_named_algorithm_is_set_and_one_that_is_refused_changes_nothing(connection: socket.socket) -> None:
    tune(connection, "reno")
    assert algorithm_of(connection) == "reno"
    tune(connection, "pigeon")
    assert algorithm_of(connection) == "reno"


async def test_a_paced_socket_gets_long_turns_and_no_smaller_buffer_without_blocking(connection: socket.socket) -> None:
    if "bbr" not in await asyncio.to_thread(ALLOWED.read_text):
        assert tune(connection, "bbr") == 2 * 1024 * 1024
        return
    before = connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert tune(connection, "bbr") == 4 * 1024 * 1024
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= before
