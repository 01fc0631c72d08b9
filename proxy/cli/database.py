"""`glint registry`: the arguments of commands that make the database of image metadata, look at it and clean it."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.options import INTERRUPTED, ConfigFile, Json, Overrides, fail, load_or_exit

database_app = typer.Typer()

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many rows would go.")]
MaxRows = Annotated[
    int,
    typer.Option("--max-rows", "--max_rows", metavar="N", min=-1, max=2**31 - 1, help="Of each table; -1: all."),
]
_AGES = ("--age-in-days", "--age_in_days")
_SINCE_1970_DAYS_MAX = 18_000  # no purge reaches behind the first images there were
_CAN_INIT = 3


def _age(days: int) -> int:
    if days < 0:
        raise typer.BadParameter(f"expected a number of days, 0 or more, got {days}")
    if days > _SINCE_1970_DAYS_MAX:
        raise typer.BadParameter(f"expected at most {_SINCE_1970_DAYS_MAX} days, got {days}")
    return days


@database_app.command("init")
def init(*, as_json: Json = False, config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Create the tables in an empty database, or upgrade those of an older Glance (since Queens).

    What `glance-manage db sync` does, and the same tables and stamps. A current database is left as it is. Make a
    backup before an upgrade. `glint serve` makes the tables itself, but upgrades none.
    """
    from proxy.commands import schema as command  # noqa: PLC0415 - SQLAlchemy and alembic, which others do without
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415

    loaded = load_or_exit(config, overrides)
    try:
        report = asyncio.run(command.init(loaded))
    except CommandFailed as error:
        fail(str(error))
    _tell(report.document() if as_json else report.text, is_good=report.is_current)


@database_app.command("check")
def check(*, as_json: Json = False, config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Say which revision the database is at, which one is needed, and what to do.

    Exit status 0: current; 3: `glint registry init` makes or upgrades it; 1: it cannot be used, or not be asked.
    """
    from proxy.commands import schema as command  # noqa: PLC0415
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415

    loaded = load_or_exit(config, overrides)
    try:
        report = asyncio.run(command.check(loaded))
    except CommandFailed as error:
        fail(str(error))
    _tell(report.document() if as_json else report.text, is_good=report.is_current)
    if report.can_init:
        sys.exit(_CAN_INIT)
    if not report.is_current:
        sys.exit(1)


@database_app.command("purge")
def purge(
    *,
    age_in_days: Annotated[
        int, typer.Option(*_AGES, metavar="DAYS", callback=_age, help="What was deleted longer ago than this.")
    ] = 30,
    max_rows: MaxRows = 100,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Remove for good what was deleted long ago: properties, tags, locations and members of images, and tasks.

    As `glance-manage db purge`. The images themselves stay, so that nobody takes their ids: `purge-images-table`
    removes them. May run beside any Glint or Glance. Metadata definitions leave nothing behind when they are deleted.
    """
    _purge(
        config,
        overrides,
        age_in_days=age_in_days,
        max_rows=max_rows,
        of_images=False,
        dry_run=dry_run,
        as_json=as_json,
    )


@database_app.command("purge-images-table")
@database_app.command("purge_images_table", hidden=True)
def purge_images_table(
    *,
    age_in_days: Annotated[
        int, typer.Option(*_AGES, metavar="DAYS", callback=_age, help="What was deleted longer ago than this.")
    ] = 180,
    max_rows: MaxRows = 100,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Remove for good the images that were deleted long ago, when `purge` has removed all that belonged to them.

    As `glance-manage db purge_images_table`. From then on anybody may make another image of the same id: let no
    server, volume or template name it any more. Exit status 1 if images stay because of what belongs to them.
    """
    _purge(
        config, overrides, age_in_days=age_in_days, max_rows=max_rows, of_images=True, dry_run=dry_run, as_json=as_json
    )


def _purge(
    config: Path | None,
    overrides: list[str] | None,
    *,
    age_in_days: int,
    max_rows: int,
    of_images: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    from proxy.commands import purge as command  # noqa: PLC0415
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415

    options = command.Options(
        age_in_days=age_in_days, max_rows=max_rows, of_images=of_images, dry_run=dry_run, as_json=as_json
    )
    loaded = load_or_exit(config, overrides)
    try:
        all_well = asyncio.run(command.run(loaded, options))
    except CommandFailed as error:
        fail(str(error))
    except KeyboardInterrupt:
        typer.echo("glint: interrupted; what is gone is gone, run it again for the rest", err=True)
        sys.exit(INTERRUPTED)
    if not all_well:
        sys.exit(1)


def _tell(report: object, *, is_good: bool) -> None:
    if isinstance(report, str):
        typer.echo(report if is_good else f"glint: {report}", err=not is_good)
    else:
        typer.echo(json.dumps(report))
