"""`glint registry indexes`: the arguments of commands that add indexes of ours to Glance's tables, and remove them."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from proxy.cli.options import ConfigFile, Overrides, fail, load_or_exit

indexes_app = typer.Typer(
    no_args_is_help=True,
    help="Optional indexes beyond Glance's schema, for lists by a property, a tag or a name that few of very many "
    "images have. Nothing needs them, and no Glance minds them.",
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document per line on standard output.")]
_INTERRUPTED = 130


@indexes_app.command("show")
def show(*, as_json: Json = False, config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Show which of them are there and what they take; of the others, how many rows they would cover."""
    from proxy.commands import indexes as command  # noqa: PLC0415 - SQLAlchemy, which other commands do without

    _run(command.show(load_or_exit(config, overrides), as_json=as_json))


@indexes_app.command("add")
def add(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which would be created.")] = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Create those that are missing, and again what was not finished.

    PostgreSQL and MariaDB go on reading and writing meanwhile; on SQLite writers wait until it is done. Each then
    costs its part at every write of a property, a tag or an image.
    """
    from proxy.commands import indexes as command  # noqa: PLC0415

    _run(command.add(load_or_exit(config, overrides), dry_run=dry_run, as_json=as_json))


@indexes_app.command("drop")
def drop(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which would be removed.")] = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Remove those that are there: the schema is Glance's again, to the letter."""
    from proxy.commands import indexes as command  # noqa: PLC0415

    _run(command.drop(load_or_exit(config, overrides), dry_run=dry_run, as_json=as_json))


def _run(command: Coroutine[Any, Any, None]) -> None:
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415

    try:
        asyncio.run(command)
    except CommandFailed as error:
        fail(str(error))
    except KeyboardInterrupt:
        typer.echo("glint: interrupted; `glint registry indexes show` tells what is there", err=True)
        sys.exit(_INTERRUPTED)
