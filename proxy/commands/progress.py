"""How a prewarm looks: bars on a terminal, one line per image elsewhere, nothing of both beside JSON."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cache import CacheState, CacheStatus, Proof
from proxy.commands.node import ImageInfo, Node, short_name
from proxy.commands.result import Result
from proxy.commands.text import plural, size_text, span_text

_WORDS = {CacheState.QUEUED: "waiting", CacheState.FILLING: "fetching", CacheState.VERIFYING: "verifying"}


class Display(ABC):
    """Told what happens; counts for the summary."""

    def __init__(self, *, several_nodes: bool) -> None:
        self._several_nodes = several_nodes
        self._good, self._bad, self._nodes_failed = 0, 0, 0
        self._fetched_bytes = 0
        self._started_s = time.monotonic()

    @abstractmethod
    def update(self, node: Node, image: ImageInfo, status: CacheStatus) -> None: ...

    @abstractmethod
    def line(self, text: str, *, is_good: bool) -> None: ...

    def done(self, result: Result) -> None:
        self._good += result.error is None
        self._bad += result.error is not None
        if result.error is None and not result.was_there:
            self._fetched_bytes += result.image.size_bytes or 0
        self.line(self.label(result.node, result.image) + ": " + _outcome(result), is_good=result.error is None)

    def failed_node(self, reason: str) -> None:
        self._nodes_failed += 1
        self.line(reason, is_good=False)

    def label(self, node: Node, image: ImageInfo) -> str:
        name = f"{image.name} ({image.id})" if image.name else image.id
        return f"{short_name(node.url)} {name}" if self._several_nodes else name

    def summary(self) -> None:
        if self._bad:
            self.line(f"{self._bad} of {plural(self._good + self._bad, 'image')} failed", is_good=False)
        if self._several_nodes and self._nodes_failed:
            self.line(f"nothing was done on {plural(self._nodes_failed, 'node')}", is_good=False)
        if not self._bad and self._good > 1:
            took = span_text(time.monotonic() - self._started_s)
            fetched = (
                f"{size_text(self._fetched_bytes)} fetched in {took}" if self._fetched_bytes else "nothing to fetch"
            )
            self.line(f"{plural(self._good, 'image')} on disk, {fetched}", is_good=True)


class Lines(Display):
    """Good news on standard output, bad on standard error."""

    def update(self, node: Node, image: ImageInfo, status: CacheStatus) -> None:
        """Only ends are told."""

    def line(self, text: str, *, is_good: bool) -> None:
        typer.echo(text if is_good else f"glint: {text}", err=not is_good)


class Complaints(Lines):
    """Beside JSON: what went wrong, on standard error."""

    def line(self, text: str, *, is_good: bool) -> None:
        if not is_good:
            super().line(text, is_good=False)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{size_text(task.speed)}/s" if task.speed else "", style="progress.data.speed")


class Bars(Display):
    """One bar per running image; those that ended become lines above."""

    def __init__(self, console: Console, *, several_nodes: bool) -> None:
        super().__init__(several_nodes=several_nodes)
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(binary_units=True),
            _Rate(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[word]}", style="dim"),
            console=console,
            transient=True,
            refresh_per_second=8,
        )

    def update(self, node: Node, image: ImageInfo, status: CacheStatus) -> None:
        key, word = (node.url, image.id), _WORDS.get(status.state, str(status.state))
        if key not in self._tasks:
            name = f"{short_name(node.url)} {image.label}" if self._several_nodes else image.label
            self._tasks[key] = self.progress.add_task(name[:48], total=status.size_bytes, word=word)
        shown_bytes = 0 if status.state is CacheState.VERIFYING else status.present_bytes
        self.progress.update(self._tasks[key], completed=shown_bytes, word=word)

    def done(self, result: Result) -> None:
        if (task := self._tasks.pop((result.node.url, result.image.id), None)) is not None:
            self.progress.remove_task(task)
        super().done(result)

    def line(self, text: str, *, is_good: bool) -> None:
        mark = "[green]✓[/]" if is_good else "[red]✗[/]"
        self.progress.console.print(f"{mark} {escape(text)}", highlight=False, soft_wrap=True)


@contextmanager
def display(*, as_json: bool, several_nodes: bool) -> Iterator[Display]:
    console = Console()
    if as_json:
        yield Complaints(several_nodes=several_nodes)
    elif not console.is_terminal:
        yield Lines(several_nodes=several_nodes)
    else:
        bars = Bars(console, several_nodes=several_nodes)
        with bars.progress:
            yield bars


def _outcome(result: Result) -> str:
    if result.error is not None:
        return f"failed: {result.error}"
    assert result.status is not None
    size = size_text(result.image.size_bytes)
    if result.status.state is CacheState.LOCAL:
        return f"{size}, lies in a local store and needs no caching"
    proof = "digest verified" if result.status.digest is Proof.VERIFIED else "no digest is registered to compare"
    if result.status.pinned:
        proof += ", pinned"
    if result.was_there:
        return f"{size}, was cached, {proof}"
    rate = size_text((result.image.size_bytes or 0) / max(result.duration_s, 1e-6))
    return f"{size} fetched in {result.duration_s:.1f} s ({rate}/s), {proof}"
