"""Which indexes of Glance's a database should not take.

SQLite has no statistics of Glance's tables, and takes any index on a column that is compared for equality: that on
`deleted`, say, which holds every row. MariaDB merges several such. A page then sorts the whole table, in place of
walking the index of its order. PostgreSQL knows better, and is left alone.
"""

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class _Unindexed(GenericFunction[Any]):
    name = "unindexed"
    inherit_cache = True


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column, by none of its indexes."""
    return _Unindexed(column, type_=column.type)


@compiles(_Unindexed)
def _plain(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses.clauses[0], **options)


@compiles(_Unindexed, "sqlite")
def _plus(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    """Source: SQLite, "The query optimizer", section 6: a unary plus keeps a term from using an index."""
    return f"+{compiler.process(element.clauses.clauses[0], **options)}"


@compiles(_Unindexed, "mysql")
@compiles(_Unindexed, "mariadb")
def _call(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    """A column inside a function is found by no index."""
    return f"COALESCE({compiler.process(element.clauses.clauses[0], **options)})"
