"""Which indexes of Glance's a database should not take.

SQLite has no statistics of Glance's tables, and takes any index on a column that is compared for equality: that on
`deleted`, say, which holds every row. MariaDB merges several such. A page then sorts the whole table, in place of
walking the index of its order. PostgreSQL knows better, and is left alone; but of a page that few images fit it hopes
to find them soon on a walk in their order.
"""

from typing import Any

from sqlalchemy import ColumnElement, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class _Unindexed(GenericFunction[Any]):
    name = "unindexed"
    inherit_cache = True


class _Unwalked(_Unindexed):
    name = "unwalked"
    inherit_cache = True


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column, by none of its indexes."""
    return _Unindexed(column, type_=column.type)


def unwalked(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column as something to sort by, in the order of none of its indexes."""
    return _Unwalked(column, type_=column.type)


def there_is(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether some row of another table meets them, looked up for each row that is asked about.

    Of an EXISTS, PostgreSQL and MariaDB may read the other table as a whole first, for a walk that ends soon.
    """
    return select(literal_column("1")).where(*conditions).limit(literal_column("1")).scalar_subquery().is_not(None)


@compiles(_Unindexed)
def _plain(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses.clauses[0], **options)


@compiles(_Unindexed, "sqlite")
@compiles(_Unwalked, "sqlite")
def _plus(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    """Source: SQLite, "The query optimizer", section 6: a unary plus keeps a term from using an index."""
    return f"+{compiler.process(element.clauses.clauses[0], **options)}"


@compiles(_Unindexed, "mysql")
@compiles(_Unindexed, "mariadb")
@compiles(_Unwalked, "mysql")
@compiles(_Unwalked, "mariadb")
def _call(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    """A column inside a function is found by no index."""
    return f"COALESCE({compiler.process(element.clauses.clauses[0], **options)})"


@compiles(_Unwalked, "postgresql")
def _call_of_two(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    """PostgreSQL takes a call with one argument for the argument."""
    column = compiler.process(element.clauses.clauses[0], **options)
    return f"COALESCE({column}, {column})"
