"""Reads as scripts: what is asked next is decided in a generator, who asks it is somebody else.

A script yields questions and gets their rows. The same script runs over SQLite, in one visit to a thread, and over
servers, where the loop waits for each answer. Statements are compiled to text once and asked as text: SQLAlchemy's own
way through a statement costs several times what the database does for it.
"""

import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ClauseElement, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

T = TypeVar("T")

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """One statement as the driver takes it."""

    sql: str
    parameters: tuple[Any, ...] = ()


Script = Generator[Question, Rows, T]


class Prepared:
    """A statement whose text is made; parameters that are not given keep the values they were compiled with."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        assert isinstance(compiled, SQLCompiler)
        self._sql = compiled.string
        self._names = tuple(compiled.positiontup or ())
        self._values = {name: _as_driven(compiled, name, value) for name, value in compiled.params.items()}

    def ask(self, values: Mapping[str, Any] | None = None) -> Question:
        known = self._values if values is None else {**self._values, **values}
        return Question(self._sql, tuple([known[name] for name in self._names]))


def _as_driven(compiled: SQLCompiler, name: str, value: Any) -> Any:
    """A parameter as the driver takes it."""
    # Lists are spelled out by now: the elements of `x` are `x_1`, `x_2` and so on.
    bind = compiled.binds[name if name in compiled.binds else name.rpartition("_")[0]]
    process = bind.type.dialect_impl(compiled.dialect).bind_processor(compiled.dialect)
    return value if process is None or value is None else process(value)


async def run(connection: AsyncConnection, script: Script[T]) -> T:
    """A script over a connection that somebody has opened."""
    try:
        question = next(script)
        while True:
            result = await connection.exec_driver_sql(question.sql, question.parameters)
            question = script.send(result.all())
    except StopIteration as done:
        value: T = done.value
        return value


def run_here(cursor: sqlite3.Cursor, script: Script[T], watchers: Iterable[Callable[[str], object]] = ()) -> T:
    """A script in this thread. Watchers are told each statement."""
    try:
        question = next(script)
        while True:
            for watch in watchers:
                watch(question.sql)
            question = script.send(cursor.execute(question.sql, question.parameters).fetchall())
    except StopIteration as done:
        value: T = done.value
        return value
