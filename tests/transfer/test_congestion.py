"""Which congestion control a download gets."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.transfer.congestion import chosen, tune


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    """The server's end of a connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
        ours, _ = listening.accept()
        with ours:
            yield ours


@pytest.mark.parametrize(
    ("configured", "current", "round_trip_us", "wanted"),
    [
        ("auto", "bbr", 999, "cubic"),
        ("auto", "bbr", 1000, None),
        ("auto", "bbr2", 50, "cubic"),
        ("auto", "cubic", 50, None),
        ("auto", "reno", 50_000, None),
        (None, "bbr", 50, None),
        ("bbr", "cubic", 50, "bbr"),
        ("reno", "bbr", 50_000, "reno"),
    ],
)
def test_the_systems_choice_stands_but_for_bbr_to_a_client_that_is_near(
    configured: str | None, current: str, round_trip_us: int, wanted: str | None
) -> None:
    assert chosen(configured, current=current, round_trip_us=round_trip_us) == wanted


def test_a_client_on_this_machine_is_near_and_gets_no_paced_turns(connection: socket.socket) -> None:
    assert tune(connection, "auto") == 2 * 1024 * 1024
    assert not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).startswith(b"bbr")


def test_a_named_algorithm_is_set_and_one_that_is_refused_changes_nothing(connection: socket.socket) -> None:
    tune(connection, "reno")
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"reno"
    tune(connection, "pigeon")
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"reno"


async def test_a_paced_socket_gets_long_turns_and_no_smaller_buffer_without_blocking(connection: socket.socket) -> None:
    allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
    if "bbr" not in await asyncio.to_thread(allowed.read_text):
        assert tune(connection, "bbr") == 2 * 1024 * 1024
        return
    before = connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert tune(connection, "bbr") == 4 * 1024 * 1024
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= before
