"""Reads as scripts: what is asked next is decided in a generator, who asks it is somebody else.

A script yields questions and gets their rows. The same script runs over SQLite, in one visit to a thread, and over
servers, where the loop waits for each answer. Statements are compiled to text once and asked as text: SQLAlchemy's own
way through a statement costs several times what the database does for it.

SQLite's rows come packed as one JSON text. Its driver lets go of Python's lock for each row and takes it again, and
while other threads want that lock, each time is a wait: a page of 20 images cost 76 changes of thread.
"""

import sqlite3
from collections.abc import Callable, Generator, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import orjson
from sqlalchemy import Dialect, SelectBase
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

T = TypeVar("T")

Rows = Sequence[Sequence[Any]]


class Question(NamedTuple):
    """One statement as the driver takes it. The answer to a packed one is a single text that holds all rows."""

    sql: str
    parameters: tuple[Any, ...]
    is_packed: bool


Script = Generator[Question, Rows, T]


class Prepared:
    """A statement whose text is made. `given` names the parameters that each question has its own values for.

    The others keep the values they were compiled with.
    """

    def __init__(self, statement: SelectBase, dialect: Dialect, given: Sequence[str] = ()) -> None:
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        assert isinstance(compiled, SQLCompiler)
        self._is_packed = dialect.name == "sqlite"
        width = len(statement.selected_columns)
        self._sql = _packed(compiled.string, width) if self._is_packed else compiled.string
        values = {name: _as_driven(compiled, name, value) for name, value in compiled.params.items()}
        kept = [name for name in values if name not in given]
        self._kept = tuple([values[name] for name in kept])
        places = {name: place for place, name in enumerate((*given, *kept))}
        # Two places before those that are wanted: an itemgetter of one gives no tuple, of none it cannot be made.
        self._pick = itemgetter(0, 0, *(places[name] for name in compiled.positiontup or ()))

    def ask(self, *values: Any) -> Question:
        """`values` are those of the given parameters, in their order."""
        return Question(self._sql, self._pick((*values, *self._kept, None))[2:], self._is_packed)


def _packed(sql: str, width: int) -> str:
    """SQLite adds the rows in the order in which the statement gives them, as long as it has a LIMIT or no order."""
    columns = ", ".join(f"c{number}" for number in range(width))
    return f"WITH answer ({columns}) AS ({sql}) SELECT json_group_array(json_array({columns})) FROM answer"


def _unpacked(question: Question, rows: Rows) -> Rows:
    unpacked: Rows = orjson.loads(rows[0][0]) if question.is_packed else rows
    return unpacked


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
            question = script.send(_unpacked(question, result.all()))
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
            rows = cursor.execute(question.sql, question.parameters).fetchall()
            question = script.send(_unpacked(question, rows))
    except StopIteration as done:
        value: T = done.value
        return value
