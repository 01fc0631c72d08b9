"""One download's body: the same loop for a whole entry, a growing one, a local file, and a source without a file."""

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from cache import CacheUnusable, Outcome, Reader, Span
from metrics import Instruments
from proxy.transfer.buffered import Outlet, drain, send_buffered
from proxy.transfer.cold import ColdPages
from proxy.transfer.congestion import AUTO, check_congestion_control, tune
from proxy.transfer.errors import ClientGone, DiskSlow, FileShort
from proxy.transfer.pages import Behind, patience_s
from proxy.transfer.pump import Pump
from proxy.transfer.stretch import Stretch, Turn
from proxy.transfer.waiting import CLIENT_CHECKED_S, while_there

log = structlog.get_logger(__name__)

_COLD_THREADS = 8
_BYTES_FROM = {
    Outcome.HIT: "cache",
    Outcome.JOIN: "fill",
    Outcome.MISS: "fill",
    Outcome.BYPASS: "store",
    Outcome.LOCAL: "local",
}


class Sender:
    """Sends bodies. Holds the threads that send, and those that wait for cold pages; `close` ends them."""

    def __init__(
        self, instruments: Instruments, *, client_idle_s: float, congestion_control: str | None = None
    ) -> None:
        """Raises NoSuchAlgorithm."""
        if congestion_control not in (None, AUTO):
            check_congestion_control(congestion_control)
        self._instruments, self._client_idle_s = instruments, client_idle_s
        self._congestion_control = congestion_control
        self._cold = ThreadPoolExecutor(_COLD_THREADS, thread_name_prefix="cold-pages")
        self._pump = Pump(ColdPages(self._cold))

    async def close(self) -> None:
        await self._pump.close()
        self._cold.shutdown(wait=False)

    async def send(
        self, request: web.Request, response: web.StreamResponse, reader: Reader, span: Span
    ) -> web.StreamResponse:
        """Send the head of `response` and the bytes of `span`. Returns in any case; the outcome is counted and logged.

        What cannot be completed ends with an aborted connection, so that no client takes a short body for a whole one.
        A bypass opens its source before the head leaves: its refusals are raised and can still become a status.
        """
        started = time.monotonic()
        body = _Body(request, response, reader, span, self._instruments, started)
        try:
            if not reader.has_file:
                await self._send_direct(body)
            else:
                await self._send_file(body)
            await response.write_eof()
            body.log_end("download.finished")
        except asyncio.CancelledError:
            body.abort("cancelled")
            raise
        except Exception as error:
            if not response.prepared:
                raise
            self._cut(body, error)
        finally:
            self._instruments.downloads.labels(reader.outcome).inc()
            self._instruments.download_bytes.labels(_BYTES_FROM[reader.outcome]).inc(body.sent_bytes)
        return response

    async def _send_file(self, body: "_Body") -> None:
        try:
            writer = await body.prepare()
            if body.is_plain:
                await self._send_plain(body, writer)
            else:
                self._tune(body)
                out = Outlet(writer, idle_s=self._client_idle_s)
                async for stop in body.parts():
                    await send_buffered(out, self._cold, body.fd, body.at, stop, body.advance, body.disk_s)
        except (CacheUnusable, FileShort, OSError) as error:
            if isinstance(error, ConnectionError) or not body.reader.can_go_direct:
                raise
            # The cache lost its disk, or its file, in mid-body. The store is well: the rest comes from there.
            log.warning("download.went_direct", key=body.reader.blob.key, at_bytes=body.at, error=type(error).__name__)
            if _is_of_the_file(error, has_begun=body.sent_bytes > 0):
                body.reader.distrust_file()
            await self._send_direct(body)

    async def _send_plain(self, body: "_Body", writer: AbstractStreamWriter) -> None:
        await drain(body.transport, writer, idle_s=self._client_idle_s)
        # The transport may close its socket at any time; the duplicate stays what it is.
        with body.connection() as connection:
            turn_max_bytes = tune(connection, self._congestion_control)
            behind = Behind(self._cold, body.at)
            async for stop in body.parts():
                while body.at < stop:
                    drops = body.reader.drops_behind()
                    until = min(stop, behind.next_stop(body.at)) if drops else stop
                    await self._send_part(body, connection.fileno(), until, turn_max_bytes)
                    if drops:
                        await behind.let_go(body.fd, body.at)

    async def _send_part(self, body: "_Body", connection: int, stop: int, turn_max_bytes: int) -> None:
        """Send up to `stop`. After an error or a cancellation the connection is good for nothing more.

        Raises ClientGone, FileShort, DiskSlow, OSError of the file.
        """
        stretch = Stretch(connection, body.fd, body.at, stop, turn_max_bytes=turn_max_bytes)
        try:
            await self._send_stretch(stretch, body.disk_s)
        finally:
            body.advance(stretch.at, stretch.first_sent_s)

    async def _send_stretch(self, stretch: Stretch, disk_s: float) -> None:
        """The first turn at once, which is all that a short one needs; the others in a thread."""
        try:
            turn = stretch.turn()
        except BaseException:
            stretch.close()
            raise
        if turn is Turn.DONE:
            stretch.close()
            return
        try:
            await self._pump.send(stretch, idle_s=self._client_idle_s, disk_s=disk_s)
        except TimeoutError:
            raise ClientGone(f"the client took no byte for {self._client_idle_s:g} s") from None

    async def _send_direct(self, body: "_Body") -> None:
        async with while_there(body.request), body.reader.direct(body.at) as chunks:
            writer = await body.prepare()
            self._tune(body)
            out = Outlet(writer, idle_s=self._client_idle_s)
            async for chunk in chunks:
                wanted = chunk[: body.span.stop - body.at]
                await out.write(wanted)
                body.advance(body.at + len(wanted))
                if body.at == body.span.stop and body.span.stop != body.reader.blob.size_bytes:
                    return

    def _tune(self, body: "_Body") -> None:
        """For a body that the transport sends; of how much goes out at once it has its own idea."""
        with contextlib.suppress(OSError), body.connection() as connection:  # of a client that has just gone
            tune(connection, self._congestion_control)

    def _cut(self, body: "_Body", error: Exception) -> None:
        reason = "source"
        if isinstance(error, ClientGone | ConnectionError):
            reason = "client"
        elif isinstance(error, FileShort):
            reason = "short_file"
        body.abort(reason)
        body.log_end("download.cut", reason=reason, error=type(error).__name__)


def _is_of_the_file(error: CacheUnusable | FileShort | OSError, *, has_begun: bool) -> bool:
    """Whether it says something of the file that could not be sent, which is worth reading it back."""
    if isinstance(error, CacheUnusable) or (isinstance(error, DiskSlow) and not has_begun):
        return False
    return not (isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE))


class _Body:
    """Where one body stands: `at` is the next byte to send."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        reader: Reader,
        span: Span,
        instruments: Instruments,
        started_s: float,
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ClientGone("the client closed the connection")
        self.request, self.response, self.reader, self.span = request, response, reader, span
        self.transport = transport
        self.at = span.start
        self._instruments, self._started_s = instruments, started_s

    @property
    def is_plain(self) -> bool:
        return self.transport.get_extra_info("sslcontext") is None

    @property
    def fd(self) -> int:
        return self.reader.fd

    def connection(self) -> socket.socket:
        """A duplicate of the transport's socket, which that may close at any time. Raises ClientGone, OSError."""
        number = self.transport.get_extra_info("socket").fileno()
        if number < 0:
            raise ClientGone("the client closed the connection")
        return socket.socket(fileno=os.dup(number))

    async def prepare(self) -> AbstractStreamWriter:
        """Send the head, once."""
        writer = await self.response.prepare(self.request)
        assert writer is not None
        return writer

    async def parts(self) -> AsyncIterator[int]:
        """Where the next stretch that may be sent ends, as the fill lets it go, until all of the span is sent."""
        while self.at < self.span.stop:
            yield min(await self._beyond(), self.span.stop)

    def advance(self, at: int, first_sent_s: float | None = None) -> None:
        """`first_sent_s` is when the first byte of these left, by the monotonic clock; None: now."""
        if self.at == self.span.start and at > self.at:
            left_s = time.monotonic() if first_sent_s is None else first_sent_s
            self._instruments.first_byte_seconds.labels(self.reader.outcome).observe(left_s - self._started_s)
        self.at = at

    @property
    def sent_bytes(self) -> int:
        return self.at - self.span.start

    @property
    def disk_s(self) -> float:
        """For how long the disk may let the client wait: not long for the first byte, if the store can give it."""
        has_store = self.reader.can_go_direct and self.reader.outcome is not Outcome.LOCAL
        return patience_s(has_begun=self.sent_bytes > 0 or not has_store)

    def log_end(self, event: str, **fields: str) -> None:
        log.info(
            event,
            key=self.reader.blob.key,
            outcome=self.reader.outcome,
            sent_bytes=self.sent_bytes,
            size_bytes=self.reader.blob.size_bytes,
            duration_s=round(time.monotonic() - self._started_s, 3),
            **fields,
        )

    def abort(self, reason: str) -> None:
        self._instruments.downloads_aborted.labels(reason).inc()
        self.transport.abort()

    async def _beyond(self) -> int:
        """Wait for the next bytes, but not for a client that has left."""
        while True:
            try:
                async with asyncio.timeout(CLIENT_CHECKED_S):
                    return await self.reader.beyond(self.at, has_begun=self.sent_bytes > 0)
            except TimeoutError:
                if self.transport.is_closing():
                    raise ClientGone("the client left while it waited") from None
