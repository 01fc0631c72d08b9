"""`glint registry`: the arguments of commands that work on the database of image metadata."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.database import database_app
from proxy.cli.indexes import indexes_app
from proxy.cli.options import ConfigFile, Overrides, fail, load_or_exit, serve_or_exit

registry_app = typer.Typer(
    no_args_is_help=True, help="Create, upgrade, serve and maintain the database of image metadata."
)
metadefs_app = typer.Typer(
    no_args_is_help=True, help="Load metadata definitions from Glance's JSON files, and export them."
)
registry_app.add_typer(database_app)
registry_app.add_typer(metadefs_app, name="metadefs")
registry_app.add_typer(indexes_app, name="indexes")


@registry_app.command("serve")
def serve(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Serve the database of registry.url until SIGTERM, to Glints whose registry.kind is remote.

    Listens on registry.service, and answers those who have one of registry.remote.key.
    """
    serve_or_exit("registry", config, overrides)


@metadefs_app.command("load")
def load(
    *,
    place: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of *.json files, or one file.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Add what is new to namespaces that are there; else they are left alone.")
    ] = False,
    prefer_new: Annotated[
        bool,
        typer.Option("--prefer-new", "--prefer_new", help="With --merge: and change what has the same name."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --merge: put new namespaces in the place of those that are there.")
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Load files of metadata definitions, each whole or not at all. Exit status 1 if one is bad.

    The rules are those of `glance-manage db load_metadefs`.
    """
    from proxy.commands import metadefs as command  # noqa: PLC0415 - SQLAlchemy, which other commands do without
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415
    from upstream.registry import Merge  # noqa: PLC0415

    if prefer_new and overwrite:
        raise typer.BadParameter("--prefer-new and --overwrite exclude each other", param_hint="--overwrite")
    if (prefer_new or overwrite) and not merge:
        raise typer.BadParameter("--prefer-new and --overwrite need --merge", param_hint="--merge")
    how = {(False, False): Merge.ADD, (True, False): Merge.PREFER_NEW, (False, True): Merge.OVERWRITE}
    loaded = load_or_exit(config, overrides)
    try:
        sources = command.read(place)
        all_well = asyncio.run(command.load(loaded, sources, how[prefer_new, overwrite] if merge else Merge.SKIP))
    except CommandFailed as error:
        fail(str(error))
    if not all_well:
        sys.exit(1)


@metadefs_app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Write each namespace into a file that `load` and Glance read. Files of the same names are replaced."""
    from proxy.commands import metadefs as command  # noqa: PLC0415
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415

    loaded = load_or_exit(config, overrides)
    try:
        command.write(folder, asyncio.run(command.exported(loaded)))
    except CommandFailed as error:
        fail(str(error))


@metadefs_app.command("unload")
def unload(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Remove all metadata definitions, whoever made them."""
    from proxy.commands import metadefs as command  # noqa: PLC0415
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415

    loaded = load_or_exit(config, overrides)
    try:
        asyncio.run(command.unload(loaded))
    except CommandFailed as error:
        fail(str(error))
