"""Work that goes on after its request was answered: one owner, a limit, a record, and an end whatever happens.

    task = new_task("location_import", call.context, image.id, {"image_id": image.id})
    await call.services.tasks.start(HashLocation(task, …))   # a `Job`; answers once its record is in the registry

Who adds a type of task writes one class, a `Job`, and says in `proxy/services.py` how it is made anew of its record
(`TaskRunner.makers`), for those whose process died.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import structlog

from proxy.errors import RequestError
from proxy.tasks.claims import Claim, Claims
from upstream.errors import Conflict, NotFound, UpstreamError
from upstream.registry import Tasks
from upstream.retry import slot_s
from upstream.types import GLINT, Context, Task, TaskStatus

log = structlog.get_logger(__name__)

STALE_AFTER_S: Mapping[TaskStatus, float] = {TaskStatus.PENDING: 7200.0, TaskStatus.PROCESSING: 3600.0}
"""A task of which nothing was heard for so long is dead, wherever it ran. Source: glance/api/v2/images.py."""

_BEAT_S = 60.0
_SWEEP_S = 60.0
_STALE_MAX = 100
_ATTEMPTS = 5


class TaskFailed(Exception):
    """The work of a task cannot succeed; its record says why in the words of this error."""


class Progress:
    """How far a job is, in words: put into the record once a minute, and at the end if it ends well."""

    message = ""


class Job(Protocol):
    """One task. Each of `undo` and `release` may be called again after a crash, and does nothing to what others took.

    Whoever works on an image takes its import lock (`upstream.registry.Lock`) in `claim`, holds it in each change, and
    drops it in `release`.
    """

    @property
    def task(self) -> Task: ...

    async def claim(self) -> None:
        """Put the record into the registry, with whatever lock the job needs. What it raises goes to the client."""

    async def run(self, progress: Progress) -> Mapping[str, Any] | None:
        """The work, and its result for the record. An error's text becomes the record's message."""

    async def undo(self) -> None:
        """Leave everything as after a failure. Called if `run` raised or was cancelled, or its process died."""

    async def release(self) -> None:
        """Called last, when the record says how the task ended."""


def new_task(kind: str, context: Context, image_id: str | None, task_input: Mapping[str, Any]) -> Task:
    """A pending task of whoever asks, under the id of the request."""
    moment = datetime.now(UTC)
    return Task(
        id=str(uuid.uuid4()),
        type=kind,
        owner=context.project_id or "",
        created_at=moment,
        updated_at=moment,
        image_id=image_id,
        request_id=context.request_id[:64],
        user_id=context.user_id,
        input=task_input,
    )


class TaskRunner:
    """Owns all running jobs. Enter and leave in the same task; on leaving, jobs have until `drain_s` to end.

    A job whose process died is found by its claim, a locked file (`task_claims.py`), within a minute by any Glint with
    the same `folder`; one whose host died by the age of its record, as Glance does it.
    """

    def __init__(self, tasks: Tasks, folder: Path, *, running_max: int, time_to_live_h: float, drain_s: float) -> None:
        self._tasks, self._claims = tasks, Claims(folder)
        self._slots = asyncio.Semaphore(running_max)
        self._time_to_live, self._drain_s = timedelta(hours=time_to_live_h), drain_s
        self._drained_at_s: float | None = None
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self.makers: dict[str, Callable[[Task], Job]] = {}
        """From a task's type to how its job is made of a record whose process is gone."""

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._claims.prepare)
        await self._group.__aenter__()
        self._sweeper = self._group.create_task(self._sweep_always())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sweeper.cancel()
        self.begin_drain()
        assert self._drained_at_s is not None
        if self._running:
            left_s = max(0.0, self._drained_at_s - time.monotonic())
            _, late = await asyncio.wait(self._running, timeout=left_s)
            for each in late:
                each.cancel()
        await self._group.__aexit__(None, None, None)

    def begin_drain(self) -> None:
        """From now on the jobs have `server.drain_s`. Requests have it too, beside them."""
        if self._drained_at_s is None:
            self._drained_at_s = time.monotonic() + self._drain_s

    async def start(self, job: Job) -> None:
        """Claim and run it in the background. Raises what its `claim` raises; then nothing is left of it."""
        claim = await asyncio.to_thread(self._claims.make, job.task.id)
        try:
            await job.claim()
        except BaseException:
            # The claim may have been made, and its answer lost: whoever sweeps finds out.
            await asyncio.to_thread(claim.abandon)
            raise
        running = self._group.create_task(self._run(job, claim))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _run(self, job: Job, claim: Claim) -> None:
        """Never raises but when cancelled: one job that fails must not end the others."""
        progress = Progress()
        try:
            async with self._slots:
                await self._tasks.begin(job.task.id)
                result = await self._watched(job, progress)
        except asyncio.CancelledError:
            await self._fail(job, claim, "The server was stopped before the task had ended.")
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the record has to say that the task ended
            await self._fail(job, claim, await _message(job.task, error))
        else:
            await self._finish(job, claim, TaskStatus.SUCCESS, result=result, message=progress.message)

    async def _watched(self, job: Job, progress: Progress) -> Mapping[str, Any] | None:
        """The result of the job. It is cancelled when others have taken the task for dead."""
        try:
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(self._beat(job.task.id, progress))
                result = await job.run(progress)
                beating.cancel()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return result

    async def _beat(self, task_id: str, progress: Progress) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            try:
                await self._tasks.touch(task_id, progress.message)
            except Conflict:
                raise
            except UpstreamError as error:
                log.warning("task.not_heard", task=task_id, error=type(error).__name__)

    async def _fail(self, job: Job, claim: Claim, message: str) -> None:
        log.warning("task.failed", task=job.task.id, kind=job.task.type, image=job.task.image_id, reason=message)
        if await _insisted(job.task, job.undo):
            await self._finish(job, claim, TaskStatus.FAILURE, message=message)
        else:
            await asyncio.to_thread(claim.abandon)

    async def _finish(self, job: Job, claim: Claim, status: TaskStatus, **outcome: Any) -> None:
        """The record first: who waits for the lock to go must find it."""

        async def end() -> None:
            try:
                expires_at = datetime.now(UTC) + self._time_to_live
                await self._tasks.end(job.task.id, status, expires_at=expires_at, **outcome)
            except Conflict:
                log.warning("task.ended_by_others", task=job.task.id)

        if await _insisted(job.task, end) and await _insisted(job.task, job.release):
            await asyncio.to_thread(claim.settle)
            if status is TaskStatus.SUCCESS:
                log.info("task.finished", task=job.task.id, kind=job.task.type, image=job.task.image_id)
        else:
            await asyncio.to_thread(claim.abandon)

    async def _sweep_always(self) -> None:
        while True:
            try:
                await self.sweep()
            except (UpstreamError, OSError) as error:
                log.warning("tasks.not_swept", error=type(error).__name__)
            await asyncio.sleep(_SWEEP_S)

    async def sweep(self) -> None:
        """Fail and undo the tasks whose process or host is gone."""
        for claim in await asyncio.to_thread(self._claims.left):
            await self._recover(claim)
        for status, age_s in STALE_AFTER_S.items():
            before = datetime.now(UTC) - timedelta(seconds=age_s)
            for task in await self._tasks.stale(status, before, _STALE_MAX):
                await self._bury(task)

    async def _bury(self, task: Task) -> None:
        """Fail a task that is too old, unless a process beside us still has it."""
        maker = self.makers.get(task.type)
        claim = await asyncio.to_thread(self._claims.take, task.id) if maker else None
        if maker and claim:
            await self._fail(maker(task), claim, "Nothing was heard of the task any more.")

    async def _recover(self, claim: Claim) -> None:
        try:
            task = await self._tasks.get(GLINT, claim.task_id)
        except NotFound:
            await asyncio.to_thread(claim.settle)
            return
        except UpstreamError:
            await asyncio.to_thread(claim.abandon)
            raise
        maker = self.makers.get(task.type)
        if maker is None:
            await asyncio.to_thread(claim.settle)
        elif task.status in STALE_AFTER_S:
            await self._fail(maker(task), claim, "The server ended before the task.")
        elif await _insisted(task, maker(task).release):
            await asyncio.to_thread(claim.settle)
        else:
            await asyncio.to_thread(claim.abandon)


async def _insisted(task: Task, step: Callable[[], Awaitable[None]]) -> bool:
    """Whether it was done, after some attempts if the registry or a store was not there."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - a job that cannot be ended now is ended by a later sweep
            log.warning("task.step_failed", task=task.id, attempt=attempt, error=type(error).__name__)
            if not isinstance(error, UpstreamError):
                await _log_broken(task, error)
                return False
            if attempt < _ATTEMPTS:
                await asyncio.sleep(slot_s(attempt, random.random()))  # noqa: S311 - no secret
        else:
            return True
    return False


async def _message(task: Task, error: Exception) -> str:
    """What the owner of the image is told. Errors that nobody expected are the log's."""
    if isinstance(error, UpstreamError | RequestError | TaskFailed):
        return str(error)
    await _log_broken(task, error)
    return "Task failed due to Internal Error"


async def _log_broken(task: Task, error: Exception) -> None:
    """In a thread: a traceback reads the files that it quotes."""
    await asyncio.to_thread(log.error, "task.broken", task=task.id, exc_info=error)
