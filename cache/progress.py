"""How far a fill has come, as its readers see it. No file and no task in here: only the watermark and who waits.

starting ──opened──▶ flowing ──finished──▶ (whole)
    └───────────┬───────┘
             failed
"""

import asyncio
from enum import Enum, auto

from cache.errors import HeldUp

HELD_BACK_BYTES = 64 * 1024
_WOKEN_AT_ONCE = 64


class State(Enum):
    STARTING = auto()
    FLOWING = auto()
    FINISHED = auto()
    FAILED = auto()


class Progress:
    """Watermark of one fill: bytes below it are in the file and may be sent.

    The end of the blob stays above the watermark until `finish`, so no reader can complete a body whose digest was
    not checked.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.written_bytes = 0
        self.watermark = 0
        self.state = State.STARTING
        self.error: Exception | None = None
        self.is_started = False
        self._is_held = False
        self._waiters: set[asyncio.Future[None]] = set()
        self._awaited = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        return self.state in (State.FINISHED, State.FAILED)

    @property
    def is_finished(self) -> bool:
        return self.state is State.FINISHED

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the next change."""
        return bool(self._waiters)

    async def awaited(self) -> None:
        """Return when somebody begins to wait for the next change."""
        self._awaited.clear()
        await self._awaited.wait()

    def start(self) -> None:
        """The source may be asked from here on, by whoever fills."""
        if not self.is_started:
            self.is_started = True
            self._wake()

    def queue(self) -> None:
        """It waits for its turn, which whoever looked before it was put in line could not see."""
        if self.is_started and self.state is State.STARTING:
            self.is_started = False
            self._wake()

    def hold(self, *, is_held: bool) -> None:
        """Whether the disk keeps back what is to come, for so long that who has no byte yet shall not wait for it."""
        if is_held is not self._is_held:
            self._is_held = is_held
            self._wake()

    def open(self) -> None:
        """The source agreed: readers may send their headers. Does nothing later on: a fill may change hands."""
        if self.state is State.STARTING:
            self.state = State.FLOWING
            self._wake()

    def advance(self, written_bytes: int) -> None:
        assert self.state is State.FLOWING
        assert self.written_bytes <= written_bytes <= self.size_bytes
        if written_bytes == self.written_bytes:
            return
        self.written_bytes = written_bytes
        self.watermark = max(self.watermark, min(written_bytes, self.size_bytes - HELD_BACK_BYTES))
        self._wake()

    def finish(self) -> None:
        """The digest is right: the last bytes may go out."""
        assert self.state is State.FLOWING
        assert self.written_bytes == self.size_bytes
        self.state = State.FINISHED
        self.watermark = self.size_bytes
        self._wake()

    def fail(self, error: Exception) -> None:
        """Every reader gets this error, now or when it next asks. Does nothing after an end."""
        if not self.has_ended:
            self.state, self.error = State.FAILED, error
            self._wake()

    async def started(self) -> None:
        """Wait until the source may be asked. Raises HeldUp."""
        while not (self.is_started or self.has_ended):
            self._raise_if_held()
            await self._change()

    async def opened(self) -> bool:
        """Wait for the source's answer. Whether it came: if not, the source has still to be asked.

        Raises what made the fill fail before it, and HeldUp.
        """
        while self.state is State.STARTING and self.is_started:
            self._raise_if_held()
            await self._change()
        if self.state is State.FAILED and self.watermark == 0:
            self._raise()
        return self.state is not State.STARTING

    async def beyond(self, offset: int, *, has_begun: bool = True) -> int:
        """Wait until there is a byte at `offset`, and return the watermark. Raises what made the fill fail.

        Bytes below the watermark are good even when the fill has failed above it. Unless he who waits `has_begun`, it
        raises HeldUp as well.
        """
        while self.watermark <= offset and not self.has_ended:
            if not has_begun:
                self._raise_if_held()
            await self._change()
        if self.watermark <= offset:
            self._raise()
        return self.watermark

    async def ended(self) -> None:
        """Wait for the end, good or bad. Raises what made the fill fail."""
        while not self.has_ended:
            await self._change()
        if self.state is State.FAILED:
            self._raise()

    def _raise(self) -> None:
        assert self.error is not None
        # Many readers raise this one instance: without the reset its traceback would grow with each of them.
        raise self.error.with_traceback(None)

    def _raise_if_held(self) -> None:
        if self._is_held:
            raise HeldUp

    async def _change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        self._awaited.set()
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        if self._waiters:
            self._wake_some([waiter for waiter in self._waiters if not waiter.done()])

    def _wake_some(self, waiters: list[asyncio.Future[None]]) -> None:
        """A thousand clients who all send now would keep the loop from everything else: they come in turns."""
        for waiter in waiters[:_WOKEN_AT_ONCE]:
            if not waiter.done():
                waiter.set_result(None)
        if len(waiters) > _WOKEN_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._wake_some, waiters[_WOKEN_AT_ONCE:])
