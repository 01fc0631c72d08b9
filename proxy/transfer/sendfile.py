"""Bytes from a file to a plain socket by `os.sendfile`, under any event loop.

uvloop has no sendfile of its own, so the kernel's is called on a duplicate of the transport's socket, whenever the
loop says that it is writable. The transport must be silent meanwhile: its buffer is drained before the first call.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


# One turn of the loop per client sends at most this much, so that many clients share it evenly. The first turns are
# short, so that the first bytes of many clients who come at once do not wait for each other's bodies.
_TURN_BYTES = 1024 * 1024
# BBR sends by timers, and slows down for a socket that runs empty between turns: it gets long turns and a deep queue.
# What waits there are pages of the file, no copies.
_PACED_TURN_BYTES = 4 * 1024 * 1024
_PACED_BUFFER_BYTES = 4 * 1024 * 1024
_FIRST_TURN_BYTES = 256 * 1024
# All clients together get no more than about this much before the loop looks after everything else: some 25 ms of it.
_ROUND_BYTES = 128 * 1024 * 1024
_PROBE_STEP_BYTES = 2 * 1024 * 1024  # each probe costs 2 us; readahead and reclaim rarely leave smaller holes
_READ_AHEAD_BYTES = 8 * 1024 * 1024
_PAGE_BYTES = 4096
_DISK_S = 10.0  # then whoever can goes on without the disk
_ALGORITHM_NAME_MAX = 16
_PROBE = (bytearray(1),)  # what is read into it is never looked at
# What a filesystem says that cannot answer RWF_NOWAIT; some answer it with nothing read.
_CANNOT_TELL = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}


class ClientGone(ConnectionError):
    """The client closed its side, or took no byte for too long."""


class DiskSlow(OSError):
    """The disk did not bring the next bytes in time."""


class FileShort(Exception):
    """The file ends before the bytes that were promised from it."""


class NoSuchAlgorithm(Exception):
    """The system does not have the congestion control that was asked for; the message says what it has."""


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


class Round:
    """How many clients are sent to at once, and how much each of them gets in a turn."""

    def __init__(self) -> None:
        self.clients = 0

    def share_bytes(self, most_bytes: int) -> int:
        return max(_FIRST_TURN_BYTES, min(most_bytes, _ROUND_BYTES // max(1, self.clients)))


class SocketSender:
    """Sends parts of files to one client, one `send` at a time. The transport must be plain and drained."""

    def __init__(
        self,
        transport: asyncio.Transport,
        cold: ThreadPoolExecutor,
        *,
        idle_s: float,
        turns: Round,
        congestion_control: str | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._socket = self._connection.fileno()
        self._cold, self._idle_s, self._round = cold, idle_s, turns
        self._file, self._at, self._stop = -1, 0, 0
        self._turn_bytes, self._turn_max_bytes = _FIRST_TURN_BYTES, _tuned(self._connection, congestion_control)
        self._advance: Callable[[int], None] = lambda _: None
        self._done: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        self._round.clients += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._round.clients -= 1
        self._loop.remove_writer(self._socket)
        self._connection.close()

    async def send(
        self,
        file: int,
        start: int,
        stop: int,
        advance: Callable[[int], None],
        drops_behind: Callable[[], bool] = lambda: False,
    ) -> None:
        """Send the bytes from `start` up to `stop`, calling `advance` with the next byte to send after each turn.

        `drops_behind` is asked when the disk had to be waited for: whether to let go of the memory of what was sent.

        Raises ClientGone, FileShort, OSError of the file. After an error or a cancellation the client has some prefix:
        the connection is good for nothing more.
        """
        self._file, self._at, self._stop, self._advance = file, start, stop, advance
        kept_from = start
        while self._at < self._stop:
            done = self._done = self._loop.create_future()
            self._loop.add_writer(self._socket, self._turn)
            try:
                await self._wait(done)
            finally:
                self._loop.remove_writer(self._socket)
                self._done = None
            if self._at < self._stop:
                behind = range(kept_from, self._at) if drops_behind() else range(0)
                await read_ahead(self._cold, file, self._at, stop, behind)
                kept_from = self._at

    async def _wait(self, done: asyncio.Future[None]) -> None:
        while not done.done():
            before = self._at
            await asyncio.wait({done}, timeout=self._idle_s)
            if not done.done() and self._at == before:
                raise ClientGone(f"the client took no byte for {self._idle_s:g} s")
        done.result()

    def _turn(self) -> None:
        """One turn: the loop calls it while the socket is writable."""
        done = self._done
        assert done is not None
        if done.done():
            return
        count = min(self._turn_bytes, self._stop - self._at)
        try:
            if not is_resident(self._file, self._at, count):
                done.set_result(None)
                return
            self._sent(_checked(os.sendfile(self._socket, self._file, self._at, count)))
        except BlockingIOError:
            return
        except (OSError, FileShort) as error:
            done.set_exception(_translated(error))
            return
        self._turn_bytes = min(2 * self._turn_bytes, self._round.share_bytes(self._turn_max_bytes))
        if self._at == self._stop:
            done.set_result(None)

    def _sent(self, count: int) -> None:
        self._at += count
        self._advance(self._at)


async def read_ahead(cold: ThreadPoolExecutor, file: int, start: int, stop: int, behind: range = range(0)) -> None:
    """Wait in a thread until the next pages are in memory, so that no other client waits. Those `behind` are let go.

    Raises DiskSlow when that takes too long, FileShort, OSError.
    """
    await in_time(cold, file, lambda own: _read(own, start, stop, behind))


async def in_time(cold: ThreadPoolExecutor, file: int, call: Callable[[int], T]) -> T:
    """What `call` gives in a thread, with a descriptor of its own for `file`. Raises DiskSlow if that takes too long.

    A call that is given up harms nobody when the disk comes back.
    """
    own = os.dup(file)

    def closing() -> T:
        try:
            return call(own)
        finally:
            os.close(own)

    waiting = asyncio.get_running_loop().run_in_executor(cold, closing)
    try:
        async with asyncio.timeout(_DISK_S):
            return await asyncio.shield(waiting)
    except TimeoutError as error:
        waiting.add_done_callback(_look_at)
        raise DiskSlow(f"the disk gave no byte for {_DISK_S:g} s") from error
    except asyncio.CancelledError:
        waiting.add_done_callback(_look_at)
        raise


def _look_at(waiting: asyncio.Future[T]) -> None:
    """So that asyncio does not report an error that nobody waits for any more."""
    if not waiting.cancelled():
        waiting.exception()


def _read(own: int, start: int, stop: int, behind: range) -> None:
    """In a thread: have the disk bring the next pages, and wait for the first of them."""
    if behind:
        os.posix_fadvise(own, behind.start, len(behind), os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(own, start, min(_READ_AHEAD_BYTES, stop - start), os.POSIX_FADV_WILLNEED)
    if not os.pread(own, 1, min(start + _TURN_BYTES, stop) - 1):
        raise FileShort("the file ends before the bytes that were promised from it")
    # The last page came; those before it came with it or are on their way. One that is lost would be asked for
    # again for ever, so each is touched.
    for at in range(start, min(start + _TURN_BYTES, stop), _PAGE_BYTES):
        os.pread(own, 1, at)


def is_resident(file: int, start: int, count: int) -> bool:
    """Whether these bytes can be had without the disk, as far as samples tell; True where nobody can tell."""
    stop = start + count
    for at in (*range(start, stop, _PROBE_STEP_BYTES), stop - 1):
        try:
            os.preadv(file, _PROBE, at, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _CANNOT_TELL:
                return True
            raise
    return True


def _tuned(connection: socket.socket, congestion_control: str | None) -> int:
    """Prepare a socket for a large body, and say how much one turn should send.

    What the system refuses, of a client that has just gone for one, is left: the first turn finds out who is there.
    """
    with contextlib.suppress(OSError):
        if congestion_control is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion_control.encode())
        algorithm = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _ALGORITHM_NAME_MAX)
        if algorithm.startswith(b"bbr"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PACED_BUFFER_BYTES)
            return _PACED_TURN_BYTES
    return _TURN_BYTES


def _checked(sent: int) -> int:
    """Zero is the end of the file, never a full socket: that would be BlockingIOError."""
    if sent == 0:
        raise FileShort("the file ends before the bytes that were promised from it")
    return sent


def _translated(error: OSError | FileShort) -> Exception:
    if isinstance(error, ConnectionError) or (isinstance(error, OSError) and error.errno == errno.ENOTCONN):
        return ClientGone("the client closed the connection")
    return error
