"""`glint registry indexes show | add | drop`: indexes of ours in a database of Glance's schema."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import typer

from proxy.commands.schema import NoDatabase, opened
from proxy.commands.text import plural, print_json, size_text
from proxy.config import Config
from upstream.registry.sql import Database, Found, OptionalIndex, Presence, Standing, advice, optional_indexes, state_of
from upstream.registry.sql.optional_indexes import add as add_all
from upstream.registry.sql.optional_indexes import drop as drop_all

Change = Callable[[Database], AsyncIterator[OptionalIndex]]


async def show(config: Config, *, as_json: bool) -> None:
    """Raises NoDatabase."""
    async with _current(config) as database:
        for found in await optional_indexes(database):
            if as_json:
                print_json(_document(found))
            else:
                typer.echo(f"{_described(found.index, database)}: {_standing(found)}")


async def add(config: Config, *, dry_run: bool, as_json: bool) -> None:
    """Raises NoDatabase, also if somebody else is at it."""
    await _change(config, add_all, "added", {Presence.PRESENT}, dry_run=dry_run, as_json=as_json)


async def drop(config: Config, *, dry_run: bool, as_json: bool) -> None:
    """Raises NoDatabase, also if somebody else is at it."""
    await _change(config, drop_all, "dropped", {Presence.ABSENT}, dry_run=dry_run, as_json=as_json)


async def _change(
    config: Config, change: Change, done: str, settled: set[Presence], *, dry_run: bool, as_json: bool
) -> None:
    """`settled` are those of which there is nothing to change."""
    async with _current(config) as database:
        changed = [each.index for each in await optional_indexes(database) if each.presence not in settled]
        if not changed and not as_json:
            typer.echo("nothing to do")
        if dry_run:
            for index in changed:
                _tell(index, database, f"would be {done}", as_json=as_json)
            return
        since_s = monotonic()
        async for index in change(database):
            took_s, since_s = monotonic() - since_s, monotonic()
            _tell(index, database, done, as_json=as_json, took_s=round(took_s, 1))


def _tell(index: OptionalIndex, database: Database, what: str, *, as_json: bool, took_s: float | None = None) -> None:
    if as_json:
        print_json({"index": index.name, "table": index.table, "outcome": what, "duration_s": took_s})
    else:
        typer.echo(f"{_described(index, database)}: {what}" + ("" if took_s is None else f", in {took_s:.1f} s"))


def _described(index: OptionalIndex, database: Database) -> str:
    return f"{index.name} on {index.table} ({index.columns(database.dialect)})"


def _standing(found: Found) -> str:
    return {
        Presence.ABSENT: f"not there, would be over {plural(found.rows, 'row')}",
        Presence.PRESENT: f"there, {size_text(found.size_bytes)} for {plural(found.rows, 'row')}",
        Presence.BUILDING: "being built",
        Presence.UNFINISHED: "not finished, and of no use so: run `glint registry indexes add`, or drop",
    }[found.presence]


def _document(found: Found) -> dict[str, Any]:
    return {
        "index": found.index.name,
        "table": found.index.table,
        "presence": found.presence.value,
        "size_bytes": found.size_bytes,
        "rows": found.rows,
    }


@asynccontextmanager
async def _current(config: Config) -> AsyncIterator[Database]:
    """Raises NoDatabase."""
    async with opened(config) as database:
        state = await state_of(database)
        if state.standing is not Standing.CURRENT:
            raise NoDatabase(f"registry.url: {advice(state)}")
        yield database
