"""Ends an await that takes too long. Costs a reading of the clock where nothing does: there is one timer for many."""

import asyncio
import math
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """What a request waited for when its time was over: the word in metrics."""

    WAIT = "wait"
    OPEN = "open"
    FIRST_BYTE = "first_byte"
    IDLE = "idle"
    SIZE = "size"
    DELETE = "delete"
    WRITE = "write"


class OutOfTime(Exception):
    """The phase took longer than its limit."""

    def __init__(self, phase: Phase, limit_s: float) -> None:
        super().__init__(f"{phase} took longer than {limit_s:g} s")
        self.phase, self.limit_s = phase, limit_s


class Watchdog:
    """Cancels the task that waits, and again if its cleaning up takes as long; `relax` turns that into OutOfTime."""

    __slots__ = (
        "_before",
        "_cancels",
        "_due_s",
        "_is_paused",
        "_limit_s",
        "_loop",
        "_phase",
        "_since_s",
        "_task",
        "_timer",
    )

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._phase, self._limit_s, self._since_s = Phase.SIZE, 0.0, 0.0
        self._due_s = math.inf  # of the timer
        self._before = self._cancels = 0
        self._is_paused = False

    def expect(self, phase: Phase, limit_s: float) -> None:
        """From here on the task that calls waits for something that should come within `limit_s`."""
        task = self._task = asyncio.current_task()
        assert task is not None
        self._phase, self._limit_s, self._since_s = phase, limit_s, self._loop.time()
        self._before = task.cancelling()
        if self._due_s > self._since_s + limit_s:
            self._arm()

    def relax(self) -> None:
        """It came, or failed. Raises OutOfTime if the time was over, in the place of whatever that caused."""
        task, self._task = self._task, None
        if not self._cancels or task is None:
            return
        cancels, self._cancels = self._cancels, 0
        left = task.cancelling()
        for _ in range(cancels):
            left = task.uncancel()
        if left <= self._before:
            raise OutOfTime(self._phase, self._limit_s)

    def pause(self) -> None:
        """What comes now takes as long as it takes."""
        self._is_paused = True

    def resume(self) -> None:
        """The whole limit, from now on."""
        self._is_paused = False
        self._since_s = self._loop.time()
        if self._timer is None and self._task is not None:
            self._arm()

    def close(self) -> None:
        """Nothing more is waited for."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._due_s = None, math.inf

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due_s = self._since_s + self._limit_s
        self._timer = self._loop.call_at(self._due_s, self._look)

    def _look(self) -> None:
        self._timer, self._due_s = None, math.inf
        if self._task is None or self._is_paused:
            return  # armed again when the next wait begins
        if self._loop.time() >= self._since_s + self._limit_s:
            self._cancels += 1
            self._task.cancel()
            self._since_s = self._loop.time()
        self._arm()
