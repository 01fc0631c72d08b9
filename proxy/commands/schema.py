"""`glint registry init | check`: the tables of the registry's database, and at which revision they are."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from proxy.commands.errors import CommandFailed
from proxy.config import Config
from upstream.errors import UpstreamError
from upstream.registry import RegistryMisconfigured
from upstream.registry.sql import (
    CONTRACT_HEAD,
    Database,
    Presence,
    Standing,
    State,
    advice,
    missing,
    present_optional_indexes,
    state_of,
)
from upstream.registry.sql.migrations import initialise

_CAN_BE_MADE = frozenset({Standing.EMPTY, Standing.UNFINISHED, Standing.OLDER})


class NoDatabase(CommandFailed):
    """The registry is none of SQL, or cannot be opened, or cannot answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`is_current` and `can_init` decide about the exit status; `text` is for people."""

    database: str  # without a password
    standing: Standing
    found: tuple[str, ...]
    missing: tuple[str, ...]
    optional: Mapping[str, Presence]  # indexes that are none of Glance's, of those that are there
    text: str

    @property
    def is_current(self) -> bool:
        return self.standing is Standing.CURRENT and not self.missing

    @property
    def can_init(self) -> bool:
        return self.standing in _CAN_BE_MADE

    def document(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "standing": self.standing.value,
            "found": list(self.found),
            "wanted": CONTRACT_HEAD,
            "missing": list(self.missing),
            "optional_indexes": {name: presence.value for name, presence in self.optional.items()},
            "current": self.is_current,
            "text": self.text,
        }


async def init(config: Config) -> Report:
    """What there was before. Raises NoDatabase, also if the database can neither be made nor upgraded."""
    logging.getLogger("asyncmy").setLevel(logging.ERROR)  # MariaDB notes that it cannot name a primary key
    async with opened(config) as database:
        state = await initialise(database)
        lacks = await missing(database)
        optional = await present_optional_indexes(database)
    text = {
        Standing.OLDER: f"upgraded from {state.found} to {CONTRACT_HEAD}",
        Standing.CURRENT: f"was at {CONTRACT_HEAD} already, nothing to do",
    }.get(state.standing, f"made the tables, at {CONTRACT_HEAD}")
    current = State(Standing.CURRENT, frozenset({CONTRACT_HEAD}))
    return _report(config, current, lacks, optional, f"{_place(config)} {text}")


async def check(config: Config) -> Report:
    """Changes nothing. Raises NoDatabase."""
    lacks: list[str] = []
    optional: Mapping[str, Presence] = {}
    if await asyncio.to_thread(_is_missing_file, config):
        state = State(Standing.EMPTY)
    else:
        async with opened(config) as database:
            state = await state_of(database)
            if state.standing is Standing.CURRENT:
                lacks = await missing(database)
                optional = await present_optional_indexes(database)
    return _report(config, state, lacks, optional, f"{_place(config)}: {advice(state)}")


def _report(config: Config, state: State, lacks: list[str], optional: Mapping[str, Presence], text: str) -> Report:
    if ready := [name for name, presence in optional.items() if presence is Presence.PRESENT]:
        text += f", with the optional {'indexes' if len(ready) > 1 else 'index'} {', '.join(ready)}"
    if unfinished := [name for name, presence in optional.items() if presence is Presence.UNFINISHED]:
        text += f"; {', '.join(unfinished)} was not finished: run `glint registry indexes add`, or drop"
    if lacks:
        text += f", but lacks {', '.join(lacks)}: restore it from a backup, or make anew by hand what is missing"
    return Report(
        database=_place(config),
        standing=state.standing,
        found=tuple(sorted(state.stamps)),
        missing=tuple(lacks),
        optional=optional,
        text=text,
    )


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Database]:
    """The registry's database, whatever is in it. Raises NoDatabase, also for what goes wrong while it is open."""
    if config.registry.kind != "sql":
        raise NoDatabase(f"registry.kind is {config.registry.kind}: run this where the database of that registry is")
    try:
        async with Database.open(config.registry) as database:
            yield database
    except (RegistryMisconfigured, UpstreamError) as error:
        raise NoDatabase(str(error)) from error


def _place(config: Config) -> str:
    return make_url(config.registry.url).render_as_string(hide_password=True)


def _is_missing_file(config: Config) -> bool:
    """Looking at a file of SQLite's would make it."""
    url = make_url(config.registry.url)
    is_file = config.registry.kind == "sql" and url.get_backend_name() == "sqlite" and bool(url.database)
    return is_file and not Path(str(url.database)).exists()
