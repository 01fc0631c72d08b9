"""Looking a namespace up: who may see it, and holding it while what it contains is changed."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import Duplicate, NotFound
from upstream.registry.sql.exact import is_text
from upstream.registry.sql.metadef_tables import metadef_namespaces
from upstream.registry.sql.metadefs.rows import AnyRow
from upstream.types import Context

PUBLIC = "public"
_TOLD_MAX = 5


def is_visible(context: Context, owner: str, visibility: str | None) -> bool:
    """Source: glance/db/sqlalchemy/metadef_api/namespace.py, _is_namespace_visible."""
    return context.is_admin or visibility == PUBLIC or context.project_id == owner


def is_listed(context: Context) -> ColumnElement[bool]:
    """The same as a condition on `metadef_namespaces`."""
    if context.is_admin:
        return true()
    is_public = metadef_namespaces.c.visibility == PUBLIC
    return (
        is_public
        if context.project_id is None
        else or_(is_public, is_text(metadef_namespaces.c.owner, context.project_id))
    )


async def visible(connection: AsyncConnection, context: Context, name: str, *, locks: bool = False) -> AnyRow:
    """The namespace's row; with `locks` nobody else changes it until the transaction ends. Raises NotFound.

    Whoever changes what a namespace holds locks it first, so that it is not deleted meanwhile. SQLite leaves FOR UPDATE
    out: there the whole database is locked already.
    """
    statement = select(metadef_namespaces).where(is_text(metadef_namespaces.c.namespace, name))
    row = (await connection.execute(statement.with_for_update() if locks else statement)).first()
    if row is None or not is_visible(context, row.owner, row.visibility):
        raise NotFound("metadata definition namespace", name)
    return row


@contextmanager
def unique(what: str, *names: str) -> Iterator[None]:
    """Raises Duplicate where the database says that something is not unique; of many names the first are told."""
    try:
        yield
    except IntegrityError as error:
        told = ", ".join(names[:_TOLD_MAX]) + (" and others" if len(names) > _TOLD_MAX else "")
        raise Duplicate(f"A metadata definition {what} called {told} is there already, or comes twice.") from error
