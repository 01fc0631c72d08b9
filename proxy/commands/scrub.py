"""`glint scrub`: delete what waits for its deletion, once or for ever, or bring an image back before that."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metrics import Instruments, build_metrics_app
from proxy.commands.errors import CommandFailed
from proxy.commands.text import plural, print_json, size_text
from proxy.config import Config
from proxy.deletion.restoring import restore
from proxy.deletion.scrubber import OPEN, Ended, Scrubber, Tell
from proxy.listening import CannotListen, bind, serving
from proxy.startup import cause_of
from upstream.errors import UpstreamError
from upstream.registry import LEFTOVER, DueLocation, Registry, RegistryMisconfigured, open_registry
from upstream.stores import Stores, open_stores

log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_FAILURES = frozenset({Ended.BUSY, Ended.FAILED})
_WORDS = {
    Ended.DELETED: "deleted",
    Ended.GONE: "gone already",
    Ended.KEPT: "kept by the store",
    Ended.BUSY: "in use",
    Ended.FAILED: "failed",
    Ended.ELSEWHERE: "left to hosts that have the store",
    Ended.TAKEN: "taken by another process",
}


class CannotScrub(CommandFailed):
    """The registry or a store cannot be opened, or the registry does not answer, or says no."""


class Interrupted(Exception):
    """A signal came before the pass was through; nothing is half done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    registry: Registry
    stores: Stores
    instruments: Instruments
    scrubber: Scrubber


async def once(config: Config, *, dry_run: bool, as_json: bool) -> bool:
    """One pass; False if data stay that should not. Raises CommandFailed, Interrupted."""
    async with _opened(config) as parts:
        due = await parts.scrubber.due()
        counts: Counter[Ended] = Counter()
        if dry_run:
            for found in due:
                _print_due(found, parts.stores, as_json=as_json)
            if not as_json:
                typer.echo(f"{plural(len(due), 'location')} would be worked at")
            return True
        with _told(len(due), counts, as_json=as_json) as tell:

            async def work(_: asyncio.Event) -> None:
                await parts.scrubber.run(of_pending_images=True, tell=tell)

            was_stopped = await _until_stopped(work, parts.scrubber, config.server.drain_s)
    if not as_json:
        said = ", ".join(f"{counts[ended]} {_WORDS[ended]}" for ended in Ended if counts[ended])
        typer.echo(f"{plural(counts.total(), 'location')}" + (f": {said}" if said else ": nothing is due"))
    if was_stopped:
        raise Interrupted
    return _FAILURES.isdisjoint(counts)


async def daemon(config: Config) -> None:
    """Passes until SIGTERM or SIGINT, with numbers on a port of their own. Raises CommandFailed."""
    section = config.deletion.metrics
    async with _opened(config) as parts:
        listeners = await bind(section.host, section.port, "deletion.metrics")
        async with serving(build_metrics_app(parts.instruments.registry), listeners, drain_s=0):
            host, port = listeners[0].getsockname()[:2]
            log.info("scrub.started", metrics=f"http://{host}:{port}/metrics", wakeup_s=config.deletion.wakeup_time_s)

            async def work(stopping: asyncio.Event) -> None:
                while not stopping.is_set():
                    await _pass(parts.scrubber)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(config.deletion.wakeup_time_s):
                            await stopping.wait()

            await _until_stopped(work, parts.scrubber, config.server.drain_s)
    log.info("scrub.stopped")


async def bring_back(config: Config, image_id: str, *, dry_run: bool, as_json: bool) -> None:
    """Raises CommandFailed if it cannot be."""
    async with _opened(config) as parts:
        image = await restore(parts.registry, parts.stores, image_id, dry_run=dry_run)
    if as_json:
        document = {"image": image.id, "name": image.name, "locations": len(image.locations)}
        print_json(document | {"restored": not dry_run})
    else:
        verb = "can be restored" if dry_run else "is active again"
        name = f"{image.name} ({image.id})" if image.name else image.id
        typer.echo(f"{name}: {verb}, {size_text(image.size_bytes)} in {plural(len(image.locations), 'location')}")


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[_Parts]:
    """Raises CannotScrub, also for what goes wrong inside."""
    instruments = Instruments()
    try:
        async with (
            open_registry(config.registry) as registry,
            open_stores(config.stores, instruments) as stores,
        ):
            section = config.deletion
            scrubber = Scrubber(
                registry, stores, instruments, delay_s=section.scrub_time_s, at_once=section.scrub_pool_size
            )
            yield _Parts(registry=registry, stores=stores, instruments=instruments, scrubber=scrubber)
    except* (UpstreamError, RegistryMisconfigured, CannotListen) as errors:
        raise CannotScrub(str(cause_of(errors))) from None


async def _pass(scrubber: Scrubber) -> None:
    counts: Counter[Ended] = Counter()

    def tell(_: DueLocation, ended: Ended, __: str) -> None:
        counts[ended] += 1

    try:
        await scrubber.run(of_pending_images=True, tell=tell)
    except* UpstreamError as errors:
        log.warning("scrub.failed", error=str(cause_of(errors)))
    if counts:
        log.info("scrub.pass_ended", **{str(ended): count for ended, count in counts.items()})


async def _until_stopped(work: Callable[[asyncio.Event], Awaitable[None]], scrubber: Scrubber, drain_s: float) -> bool:
    """Whether a signal ended it: then what was begun has had `drain_s` to end. A second signal kills, which is safe."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    async with asyncio.TaskGroup() as group:

        async def worked() -> None:
            await work(stopping)

        working, waiting = group.create_task(worked()), group.create_task(stopping.wait())
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        if not working.done():
            scrubber.stop()
            await asyncio.wait((working,), timeout=drain_s)
            working.cancel()
        waiting.cancel()
    return stopping.is_set()


@contextmanager
def _told(total: int, counts: "Counter[Ended]", *, as_json: bool) -> Iterator[Tell]:
    """Who is told of each location: a bar on a terminal, a document each for programs; failures in any case."""
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=as_json or not console.is_terminal)
    bar = progress.add_task("locations", total=total)

    def tell(found: DueLocation, ended: Ended, reason: str) -> None:
        counts[ended] += 1
        progress.advance(bar)
        if as_json:
            print_json(_document(found) | {"ended": str(ended), "reason": reason or None})
        elif ended in OPEN:
            where = found.location.store or "a store"
            typer.echo(f"glint: {found.image_id} in {where}: {_WORDS[ended]}: {reason}", err=True)

    with progress:
        yield tell


def _print_due(found: DueLocation, stores: Stores, *, as_json: bool) -> None:
    store = stores.owner(found.location)
    if as_json:
        print_json(_document(found) | {"ended": None, "reason": None if store else "elsewhere"})
    else:
        what = "what an upload left" if found.location.url == LEFTOVER else size_text(found.size_bytes)
        typer.echo(f"{found.image_id} in {found.location.store or store}: {what}" + ("" if store else ", elsewhere"))


def _document(found: DueLocation) -> dict[str, object]:
    return {
        "image": found.image_id,
        "store": found.location.store,
        "location": found.location.id,
        "is_leftover": found.location.url == LEFTOVER,
        "size_bytes": found.size_bytes,
    }
