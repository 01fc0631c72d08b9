"""`glint prewarm`: have images on the disks of running Glints before anyone asks for them."""

import asyncio
import json
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import typer

from cache import CacheState, CacheStatus, Proof
from proxy.commands.errors import CommandFailed, NoAnswer, Refused
from proxy.commands.forecast import forecast
from proxy.commands.node import ImageInfo, Node, open_nodes
from proxy.commands.progress import Display, display
from proxy.commands.result import Result
from proxy.commands.selection import Selection, choose
from proxy.config import Config

_POLL_S = (0.05, 0.1, 0.2, 0.3)  # the last for ever
_SILENCE_S = 10.0  # a node that is being restarted is waited for so long
_ASKS_MAX = 2
_ENDED = frozenset({CacheState.ABSENT, CacheState.CACHED, CacheState.FAILED, CacheState.LOCAL})
_GONE = "the node stopped working on it: was it restarted, or the image evicted at once? See its log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    selection: Selection
    nodes: Sequence[str] = ()
    dry_run: bool = False
    pin: bool = False
    as_json: bool = False
    concurrency: int = 4  # images at once on each node
    timeout_s: float | None = None


async def run(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    """Whether every image is on the disk of every node with its digest. Raises CommandFailed."""
    async with open_nodes(config, options.nodes, environment) as nodes:
        if options.dry_run:
            chosen = [(node, await choose(node, options.selection)) for node in nodes]
            return all([await forecast(node, images, as_json=options.as_json) for node, images in chosen])
        with display(as_json=options.as_json, several_nodes=len(nodes) > 1) as shown:
            runs = [_Run(node, options, shown) for node in nodes]
            verdict = await _all(one.run() for one in runs)
            shown.summary()
        return verdict


class _Run:
    """The images of one node. What goes wrong here is told and leaves the other nodes alone."""

    def __init__(self, node: Node, options: Options, shown: Display) -> None:
        self._node, self._options, self._shown = node, options, shown
        self._slots = asyncio.Semaphore(options.concurrency)
        self._deadline_s = None if options.timeout_s is None else time.monotonic() + options.timeout_s

    async def run(self) -> bool:
        try:
            images = await choose(self._node, self._options.selection)
        except CommandFailed as error:
            self._shown.failed_node(str(error))
            return False
        return await _all(self._one(image) for image in images)

    async def _one(self, image: ImageInfo) -> bool:
        async with self._slots:
            result = await self._warmed(image)
        self._shown.done(result)
        if self._options.as_json:
            typer.echo(json.dumps(result.document()))
        return result.error is None

    async def _warmed(self, image: ImageInfo) -> Result:
        started = time.monotonic()
        status: CacheStatus | None = None
        was_there, error = False, None
        try:
            async with asyncio.timeout(self._left_s()):
                status = await self._node.status(image.id)
                was_there = status.state in {CacheState.CACHED, CacheState.LOCAL}
                for _ in range(_ASKS_MAX):
                    await self._node.ask(image.id)
                    status, was_fetched = await self._ended(image)
                    was_there = was_there and not was_fetched
                    if (error := _complaint(status)) != _GONE:
                        break
                if error is None and self._options.pin and status.state is CacheState.CACHED:
                    status = replace(status, pinned=await self._node.pin(image.id, pinned=True))
                    error = None if status.pinned else "it was evicted before it could be pinned"
        except TimeoutError:
            error = f"not done after {self._options.timeout_s:g} s; the node goes on with it"
        except CommandFailed as failure:
            error = str(failure)
        took_s = time.monotonic() - started
        return Result(node=self._node, image=image, status=status, error=error, was_there=was_there, duration_s=took_s)

    async def _ended(self, image: ImageInfo) -> tuple[CacheStatus, bool]:
        """The status when the node has ended its work, and whether it was seen to fetch bytes."""
        polls, was_fetched = 0, False
        while True:
            status = await self._patiently(image)
            was_fetched = was_fetched or status.state is CacheState.FILLING
            if status.state in _ENDED:
                return status, was_fetched
            self._shown.update(self._node, image, status)
            await asyncio.sleep(_POLL_S[min(polls, len(_POLL_S) - 1)])
            polls += 1

    async def _patiently(self, image: ImageInfo) -> CacheStatus:
        """A status, also from a node that is away for a moment. Raises NoAnswer, Refused."""
        deadline_s = time.monotonic() + _SILENCE_S
        while True:
            try:
                return await self._node.status(image.id)
            except (NoAnswer, Refused) as error:
                is_passing = isinstance(error, NoAnswer) or error.status >= 500
                if not is_passing or time.monotonic() > deadline_s:
                    raise
            await asyncio.sleep(_POLL_S[-1])

    def _left_s(self) -> float | None:
        return None if self._deadline_s is None else max(0.0, self._deadline_s - time.monotonic())


def _complaint(status: CacheStatus) -> str | None:
    """Why this end is not the good one."""
    if status.state is CacheState.FAILED:
        return status.error or "failed"
    if status.state is CacheState.LOCAL:
        return None
    if status.state is CacheState.CACHED and status.digest is not Proof.UNVERIFIED:
        return None
    return status.error or _GONE


async def _all(verdicts: Iterable[Coroutine[None, None, bool]]) -> bool:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(verdict) for verdict in verdicts]
    return all(task.result() for task in tasks)
