"""Which congestion control a download's socket has, and how much is sent to it at once."""

import contextlib
import socket
import struct
from functools import cache

from proxy.transfer.errors import NoSuchAlgorithm

AUTO = "auto"

_PACED = "bbr"
_TURN_BYTES = 2 * 1024 * 1024
# BBR sends by timers, and slows down for a socket that runs empty between turns: it gets long turns and a deep queue.
# What waits there are pages of the file, no copies.
_PACED_TURN_BYTES = 4 * 1024 * 1024
_PACED_BUFFER_BYTES = 4 * 1024 * 1024
_NEAR_US = 1000
_ALGORITHM_NAME_MAX = 16
# struct tcp_info of linux/tcp.h: eight bytes of flags, then numbers of 32 bits, of which the sixteenth is tcpi_rtt.
_INFO_BYTES = 104
_RTT_AT = 8 + 15 * 4


def check_congestion_control(name: str) -> None:
    """Raises NoSuchAlgorithm for one that sockets of this process cannot have."""
    with socket.socket() as scratch:
        try:
            scratch.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError as error:
            raise NoSuchAlgorithm(
                f"server.tcp_congestion_control: sockets here cannot have {name!r} ({error.strerror}); "
                "sysctl net.ipv4.tcp_allowed_congestion_control lists what they can have",
            ) from error


def begin_with(listener: socket.socket, configured: str | None) -> None:
    """Give a listening socket the algorithm that connections are to begin with: that of those who are near.

    Not when they are there: a socket that had BBR goes on sending by its timers, whatever it is given later. A name
    that sockets here cannot have is left to whoever checks the configuration.
    """
    _give(listener, chosen(configured, system=system_algorithm(), round_trip_us=0))


def tune(connection: socket.socket, configured: str | None) -> int:
    """Prepare a socket for a large body, and say how many bytes one turn should send.

    What the system refuses, of a client that has just gone for one, is left: the first turn finds out who is there.
    """
    with contextlib.suppress(OSError):
        _give(connection, chosen(configured, system=system_algorithm(), round_trip_us=_round_trip_us(connection)))
        if _algorithm(connection).startswith(_PACED):
            if _buffer_can_grow():
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PACED_BUFFER_BYTES)
            return _PACED_TURN_BYTES
    return _TURN_BYTES


def chosen(configured: str | None, *, system: str, round_trip_us: int) -> str | None:
    """The algorithm that a socket should have; None: what it has got.

    `auto` is the system's choice, but for BBR to a client that is near: its timers cost twice the processor there, and
    there is no long queue that it could keep short.
    """
    if configured != AUTO:
        return configured
    if not system.startswith(_PACED):
        return None
    return "cubic" if round_trip_us < _NEAR_US else system


@cache
def system_algorithm() -> str:
    """What a socket has that nobody gave another one (sysctl net.ipv4.tcp_congestion_control), when first asked."""
    with socket.socket() as scratch:
        return _algorithm(scratch)


def _give(one: socket.socket, wanted: str | None) -> None:
    with contextlib.suppress(OSError):  # not every system lends every algorithm to everybody
        if wanted is not None and _algorithm(one) != wanted:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, wanted.encode())


def _algorithm(connection: socket.socket) -> str:
    name = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _ALGORITHM_NAME_MAX)
    return name.rstrip(b"\0").decode("ascii", "replace")


def _round_trip_us(connection: socket.socket) -> int:
    """As the kernel has measured it so far: the handshake is enough."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    return int(struct.unpack_from("=I", info, _RTT_AT)[0])


@cache
def _buffer_can_grow() -> bool:
    """Whether a socket may have the deep buffer (net.core.wmem_max).

    One that was asked for grows no more by itself, so it must not come out smaller.
    """
    with socket.socket() as scratch:
        scratch.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PACED_BUFFER_BYTES)
        return scratch.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 2 * _PACED_BUFFER_BYTES  # it tells the double
