"""`glint cache verify`: read entries back from the disk and compare them with what was written."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cache import Verdict
from proxy.commands.errors import NotChosen
from proxy.commands.node import CachedImage, Verified
from proxy.commands.places import Options, Place, open_places
from proxy.commands.text import plural, print_json, size_text
from proxy.config import Config


async def verify(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    """Whether all that was chosen is in the cache and whole."""
    all_well = True
    async with open_places(config, options, environment) as places:
        for place in places:
            all_well = await _verify_at(place, options) and all_well
    return all_well


async def _verify_at(place: Place, options: Options) -> bool:
    cached, _ = await place.holder.entries()
    chosen, problems = await _choose(place, options, cached)
    verdicts = []
    with _display([entry for _, entry in chosen], as_json=options.as_json) as shown:
        for problem in problems:
            shown.line(problem, is_good=False)
        for name, entry in chosen:
            shown.begin(name)
            verified = await place.holder.verify(entry.id, shown.read)
            shown.end(entry)
            verdicts.append(verified.verdict)
            _tell(place, options, shown, name, entry, verified)
        if len(chosen) > 1 or not (chosen or problems):
            _summarise(place, chosen, verdicts, shown)
    # What was evicted meanwhile is missing only to those who named it.
    is_missing = bool(problems) or (Verdict.ABSENT in verdicts and not options.everything)
    return not is_missing and Verdict.DAMAGED not in verdicts


async def _choose(
    place: Place, options: Options, cached: Sequence[CachedImage]
) -> tuple[list[tuple[str, CachedImage]], list[str]]:
    """What is to be read, under the name by which it was chosen, and what is wrong with other names."""
    if options.everything:
        names = await place.names() if cached else {}
        return [(f"{names[e.id]} ({e.id})" if e.id in names else e.id, e) for e in cached], []
    by_id, problems = {entry.id: entry for entry in cached}, []
    chosen: dict[str, tuple[str, CachedImage]] = {}
    for name in options.images:
        try:
            image_id, _image = await place.identify(name, cached)
        except NotChosen as error:
            problems.append(str(error))
            continue
        if image_id in by_id:
            chosen[image_id] = (name, by_id[image_id])
        else:
            problems.append(f"{name} is not in the cache at {place.where}")
    return list(chosen.values()), list(dict.fromkeys(problems))


class _Shown:
    """How it goes: a bar of all bytes on a terminal, a line for each image elsewhere, complaints alone beside JSON."""

    def __init__(self, progress: Progress | None, total_bytes: int, *, as_json: bool) -> None:
        self._progress, self._as_json = progress, as_json
        self._task = progress.add_task("", total=total_bytes) if progress else None
        self._ended_bytes = self._read_bytes = 0

    def begin(self, name: str) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=name[:48])

    def read(self, more_bytes: int) -> None:
        """From any thread."""
        self._read_bytes += more_bytes
        self._advance()

    def end(self, entry: CachedImage) -> None:
        """A service does not say how far it is: its images count when they are done."""
        self._ended_bytes, self._read_bytes = self._ended_bytes + entry.size_bytes, 0
        self._advance()

    def line(self, text: str, *, is_good: bool) -> None:
        if self._progress is not None:
            mark = "[green]✓[/]" if is_good else "[red]✗[/]"
            self._progress.console.print(f"{mark} {escape(text)}", highlight=False, soft_wrap=True)
        elif not is_good:
            typer.echo(f"glint: {text}", err=True)
        elif not self._as_json:
            typer.echo(text)

    def _advance(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._ended_bytes + self._read_bytes)


@contextmanager
def _display(chosen: Collection[CachedImage], *, as_json: bool) -> Iterator[_Shown]:
    total_bytes, console = sum(entry.size_bytes for entry in chosen), Console()
    if as_json or not console.is_terminal:
        yield _Shown(None, total_bytes, as_json=as_json)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=8) as progress:
        yield _Shown(progress, total_bytes, as_json=as_json)


def _tell(place: Place, options: Options, shown: _Shown, name: str, entry: CachedImage, verified: Verified) -> None:
    if options.as_json:
        document = {"node": place.where, "id": entry.id, "size_bytes": entry.size_bytes}
        print_json(document | {"verdict": verified.verdict, "refetched": verified.refetched})
    if verified.verdict is Verdict.WHOLE:
        shown.line(f"{name}: {size_text(entry.size_bytes)}, whole", is_good=True)
    elif verified.verdict is Verdict.ABSENT:
        shown.line(f"{name}: was evicted meanwhile", is_good=options.everything)
    else:
        shown.line(f"{name}: damaged, so it was moved to quarantine/; {_next(place, verified)}", is_good=False)


def _next(place: Place, verified: Verified) -> str:
    if verified.refetched:
        return "it is being fetched anew"
    if place.node is None:
        return "the next download, or `glint prewarm`, fetches it anew"
    return "it is not fetched anew, since its image is gone or not active"


def _summarise(
    place: Place, chosen: Sequence[tuple[str, CachedImage]], verdicts: Sequence[Verdict], shown: _Shown
) -> None:
    damaged = verdicts.count(Verdict.DAMAGED)
    read = [entry for (_, entry), verdict in zip(chosen, verdicts, strict=True) if verdict is not Verdict.ABSENT]
    found = f"{damaged} damaged" if damaged else "all whole"
    text = f"{plural(len(read), 'image')}, {size_text(sum(entry.size_bytes for entry in read))} read, {found}"
    shown.line(f"{place.where}: {text if chosen else 'nothing is cached'}", is_good=not damaged)
