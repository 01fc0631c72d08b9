"""Every task ends, and its record says how."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.tasks import Progress, TaskRunner, new_task
from proxy.tasks.claims import Claims
from upstream.errors import Conflict, NotFound, Unavailable
from upstream.registry import Registry
from upstream.types import GLINT, Context, Task, TaskStatus

WHO = Context(project_id="p", user_id="u", request_id="req-1")


class Scripted:
    """A job that does what the test says, and writes down what was asked of it."""

    def __init__(self, registry: Registry, task: Task, error: Exception | None = None) -> None:
        self._registry, self._task, self._error = registry, task, error
        self.steps: list[str] = []
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.refusal: Exception | None = None
        self.faults: list[Exception] = []

    @property
    def task(self) -> Task:
        return self._task

    async def claim(self) -> None:
        if self.refusal:
            raise self.refusal
        await self._registry.tasks.create(self._task)

    async def run(self, progress: Progress) -> Mapping[str, Any] | None:
        self.begun.set()
        await self.gate.wait()
        if self._error:
            raise self._error
        return {"image_id": "i"}

    async def undo(self) -> None:
        self.steps.append("undo")

    async def release(self) -> None:
        self.steps.append("release")
        if self.faults:
            raise self.faults.pop()


def runner_of(registry: Registry, folder: Path, *, running_max: int = 4, drain_s: float = 5) -> TaskRunner:
    return TaskRunner(registry.tasks, folder / "tasks", running_max=running_max, time_to_live_h=48, drain_s=drain_s)


def job_of(registry: Registry, error: Exception | None = None) -> Scripted:
    return Scripted(registry, new_task("test", WHO, "i", {"a": 1}), error)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - the job has no event for it
            await asyncio.sleep(0.01)


async def seen(registry: Registry, job: Scripted) -> Task:
    return await registry.tasks.get(GLINT, job.task.id)


async def test_a_task_that_succeeds_is_released_and_its_record_says_so(registry: Registry, tmp_path: Path) -> None:
    job = job_of(registry)
    async with runner_of(registry, tmp_path) as runner:
        await runner.start(job)
        await job.begun.wait()
        assert (await seen(registry, job)).status is TaskStatus.PROCESSING
        job.gate.set()
    task = await seen(registry, job)
    assert (task.status, task.result, task.owner, task.request_id) == (
        TaskStatus.SUCCESS,
        {"image_id": "i"},
        "p",
        "req-1",
    )
    assert task.expires_at is not None
    assert timedelta(hours=47) < task.expires_at - datetime.now(UTC) < timedelta(hours=49)
    assert job.steps == ["release"]
    assert list((tmp_path / "tasks").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [(BadRequest("told"), "told"), (Unavailable("s"), "s is unavailable"), (ValueError("secret"), "Internal Error")],
)
async def test_a_task_that_fails_is_undone_and_says_why(
    registry: Registry, tmp_path: Path, error: Exception, message: str
) -> None:
    job = job_of(registry, error)
    job.gate.set()
    async with runner_of(registry, tmp_path) as runner:
        await runner.start(job)
    task = await seen(registry, job)
    assert (task.status, job.steps) == (TaskStatus.FAILURE, ["undo", "release"])
    assert message in task.message
    assert "secret" not in task.message


async def test_a_task_that_cannot_be_claimed_never_was(registry: Registry, tmp_path: Path) -> None:
    job = job_of(registry)
    job.refusal = Conflict("taken")
    async with runner_of(registry, tmp_path) as runner:
        with pytest.raises(Conflict):
            await runner.start(job)
        await runner.sweep()
    assert job.steps == []
    assert list((tmp_path / "tasks").iterdir()) == []
    with pytest.raises(NotFound):
        await seen(registry, job)


async def test_no_more_tasks_run_at_once_than_allowed(registry: Registry, tmp_path: Path) -> None:
    jobs = [job_of(registry) for _ in range(3)]
    async with runner_of(registry, tmp_path, running_max=2) as runner:
        for job in jobs:
            await runner.start(job)
        await jobs[0].begun.wait()
        await jobs[1].begun.wait()
        assert (await seen(registry, jobs[2])).status is TaskStatus.PENDING
        jobs[0].gate.set()
        await jobs[2].begun.wait()
        for job in jobs:
            job.gate.set()
    assert [(await seen(registry, job)).status for job in jobs] == [TaskStatus.SUCCESS] * 3


async def test_what_does_not_end_in_time_at_the_stop_fails(registry: Registry, tmp_path: Path) -> None:
    slow, quick = job_of(registry), job_of(registry)
    async with asyncio.timeout(30), runner_of(registry, tmp_path, drain_s=2) as runner:
        await runner.start(slow)
        await runner.start(quick)
        await quick.begun.wait()
        quick.gate.set()
    assert (await seen(registry, quick)).status is TaskStatus.SUCCESS
    task = await seen(registry, slow)
    assert (task.status, slow.steps) == (TaskStatus.FAILURE, ["undo", "release"])
    assert "stopped" in task.message


async def test_a_step_that_fails_for_a_moment_is_tried_again(registry: Registry, tmp_path: Path) -> None:
    job = job_of(registry)
    job.faults = [Unavailable("registry")]
    job.gate.set()
    async with runner_of(registry, tmp_path) as runner:
        await runner.start(job)
    assert job.steps == ["release", "release"]
    assert list((tmp_path / "tasks").iterdir()) == []


_DYING = """
import sys, time
from pathlib import Path
from proxy.tasks.claims import Claims
claims = Claims(Path(sys.argv[1])); claims.prepare(); claim = claims.make(sys.argv[2])
print("claimed", flush=True); time.sleep(60)
"""


async def test_the_tasks_of_a_killed_process_fail_and_those_of_a_living_one_go_on(
    registry: Registry, tmp_path: Path
) -> None:
    job = job_of(registry)
    await registry.tasks.create(job.task)
    await registry.tasks.begin(job.task.id)
    command = [sys.executable, "-P", "-c", _DYING, str(tmp_path / "tasks"), job.task.id]
    root = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=root) as other:  # noqa: ASYNC220 - for a moment
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline) == b"claimed\n"
        runner = runner_of(registry, tmp_path)
        runner.makers["test"] = lambda task: replace_task(job, task)
        async with runner:
            await runner.sweep()
            assert (await seen(registry, job)).status is TaskStatus.PROCESSING
            other.send_signal(signal.SIGKILL)
            await asyncio.to_thread(other.wait)
            await runner.sweep()
            # The sweep at the start may be as late, and have it in its hands.
            await until(lambda: job.steps == ["undo", "release"])
    assert (await seen(registry, job)).status is TaskStatus.FAILURE
    assert job.steps == ["undo", "release"]
    assert list((tmp_path / "tasks").iterdir()) == []


def replace_task(job: Scripted, task: Task) -> Scripted:
    assert task.id == job.task.id
    return job


async def test_a_task_that_had_ended_is_only_released(registry: Registry, tmp_path: Path) -> None:
    job = job_of(registry)
    await registry.tasks.create(job.task)
    await registry.tasks.end(job.task.id, TaskStatus.FAILURE, expires_at=datetime.now(UTC) + timedelta(hours=1))
    runner = runner_of(registry, tmp_path)
    runner.makers["test"] = lambda task: replace_task(job, task)
    await asyncio.to_thread(Claims(tmp_path / "tasks").prepare)
    (tmp_path / "tasks" / job.task.id).touch()
    async with runner:
        await until(lambda: job.steps != [])  # by the sweep at the start
    assert job.steps == ["release"]


@pytest.mark.parametrize(("minutes", "is_dead"), [(59, False), (61, True)])
async def test_a_task_of_another_host_is_dead_after_an_hour_of_silence(
    registry: Registry, tmp_path: Path, minutes: int, *, is_dead: bool
) -> None:
    task = replace(new_task("test", WHO, "i", {}), updated_at=datetime.now(UTC) - timedelta(minutes=minutes))
    task = replace(task, status=TaskStatus.PROCESSING)
    job = Scripted(registry, task)
    await registry.tasks.create(task)
    runner = runner_of(registry, tmp_path)
    runner.makers["test"] = lambda task: replace_task(job, task)
    async with runner:
        await runner.sweep()
        # The sweep at the start may have come first: then ours found the task in its hands.
        await until(lambda: not is_dead or job.steps == ["undo", "release"])
    assert (await seen(registry, job)).status is (TaskStatus.FAILURE if is_dead else TaskStatus.PROCESSING)


async def test_a_task_that_others_took_for_dead_is_stopped(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.tasks.runner._BEAT_S", 0.05)
    job = job_of(registry)
    async with runner_of(registry, tmp_path) as runner:
        await runner.start(job)
        await job.begun.wait()
        await registry.tasks.end(job.task.id, TaskStatus.FAILURE, expires_at=datetime.now(UTC), message="dead")
    assert job.steps == ["undo", "release"]
    assert (await seen(registry, job)).message == "dead"


def test_of_many_processes_that_sweep_one_gets_a_task(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    claims.make("one").abandon()
    first = claims.left()
    assert [claim.task_id for claim in first] == ["one"]
    assert Claims(tmp_path).left() == []
    first[0].settle()
    assert Claims(tmp_path).left() == []
    assert list(tmp_path.iterdir()) == []
