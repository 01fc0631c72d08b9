"""`glint registry purge | purge-images-table`: remove for good what was deleted softly long ago."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from proxy.commands.schema import NoDatabase, opened
from proxy.commands.text import plural, print_json
from proxy.config import Config
from upstream.registry.sql import Purge, Standing, advice, state_of

_UNLIMITED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`max_rows` is for each table, -1 for all; `of_images` purges only the images themselves."""

    age_in_days: int
    max_rows: int
    of_images: bool
    dry_run: bool
    as_json: bool


class _Display(Protocol):
    def advance(self, table: str, rows: int) -> None: ...


class _Bars:
    """One bar for each table of which there is something to remove."""

    def __init__(self, progress: Progress, expected: Mapping[str, int]) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {
            table: progress.add_task(table, total=rows) for table, rows in expected.items() if rows
        }

    def advance(self, table: str, rows: int) -> None:
        if table in self._tasks:
            self._progress.advance(self._tasks[table], rows)


class _Silence:
    def advance(self, table: str, rows: int) -> None:
        """Only the sums are told."""


async def run(config: Config, options: Options) -> bool:
    """False if images had to stay because of what belongs to them. Raises CommandFailed."""
    async with opened(config) as database:
        state = await state_of(database)
        if state.standing is not Standing.CURRENT:
            raise NoDatabase(f"registry.url: {advice(state)}")
        purge = Purge(
            database,
            deleted_before=_naive_now() - timedelta(days=options.age_in_days),
            rows_max=None if options.max_rows == _UNLIMITED else options.max_rows,
            of_images=options.of_images,
        )
        expected = await purge.expected()
        if options.dry_run:
            removed = expected
        else:
            removed = dict.fromkeys(expected, 0)
            with _display(expected, as_json=options.as_json) as display:
                async for step in purge.run():
                    removed[step.table] += step.rows
                    display.advance(step.table, step.rows)
        kept = await purge.kept() if options.of_images else 0
    _tell(removed, kept, options)
    return kept == 0


def _naive_now() -> datetime:
    """As the database has its times."""
    return datetime.now(UTC).replace(tzinfo=None)


@contextmanager
def _display(expected: Mapping[str, int], *, as_json: bool) -> Iterator[_Display]:
    console = Console()
    if as_json or not console.is_terminal:
        yield _Silence()
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bars(progress, expected)


def _tell(removed: Mapping[str, int], kept: int, options: Options) -> None:
    for table, rows in removed.items():
        if options.as_json:
            document: dict[str, Any] = {"table": table, "rows": rows, "dry_run": options.dry_run}
            print_json(document | ({"kept": kept} if options.of_images else {}))
        else:
            verb = "would be removed" if options.dry_run else "removed"
            typer.echo(f"{table}: {plural(rows, 'row')} {verb}")
    if kept:
        typer.echo(
            f"glint: {plural(kept, 'image')} of that age stay, as properties, tags, locations or members of theirs are "
            "in the database still: run `glint registry purge` first",
            err=True,
        )
