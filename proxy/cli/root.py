"""The `glint` command. Each command is one module of `proxy.commands`; here are their arguments."""

import asyncio
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from proxy.cli.cache import cache_app
from proxy.cli.config import config_app
from proxy.cli.options import (
    INTERRUPTED,
    ConfigFile,
    Json,
    Nodes,
    Overrides,
    fail,
    load_or_exit,
    run_or_exit,
    serve_or_exit,
)
from proxy.cli.registry import registry_app

app = typer.Typer(
    name="glint",
    help="A caching transfer proxy that delivers VM images in OpenStack clouds.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # flows the lines of a docstring into the width of the terminal
    pretty_exceptions_enable=False,
)

app.add_typer(cache_app, name="cache")
app.add_typer(config_app, name="config")
app.add_typer(registry_app, name="registry")


def main() -> None:
    app(prog_name="glint")


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"glint {version('glint')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Serve the Images API until SIGTERM.

    Logs go to standard error. Exit status 2: a key of the configuration is wrong; 1: anything else keeps it from
    starting.
    """
    serve_or_exit("api", config, overrides)


@app.command()
def scrub(
    *,
    as_daemon: Annotated[
        bool, typer.Option("--daemon", "-D", help="Run every deletion.wakeup_time_s until SIGTERM.")
    ] = False,
    restore: Annotated[
        str | None,
        typer.Option("--restore", metavar="ID", help="Make this deleted image active again if its data are there."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Delete the data of images whose deletion was delayed, and what failed uploads and deletions left in the stores.

    Does what glance-scrubber does, and may run beside one and on several hosts at once. Exit status 0: nothing that is
    due is left; 1: some data stay until a later run, since a store is down or something uses them; 130: interrupted.

    Example: glint scrub --dry-run
    """
    from proxy.commands import scrub as command  # noqa: PLC0415 - SQLAlchemy, which other commands do without
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415
    from proxy.logs import configure_logging  # noqa: PLC0415

    if as_daemon and (restore or dry_run or as_json):
        raise typer.BadParameter("--daemon takes no --restore, --dry-run or --json", param_hint="--daemon")
    loaded = load_or_exit(config, overrides)
    quiet = loaded.logging.model_copy(update={"level": "error"})  # what a pass does is told once
    configure_logging(loaded.logging if as_daemon else quiet)
    all_well = True
    try:
        if as_daemon:
            asyncio.run(command.daemon(loaded))
        elif restore is not None:
            asyncio.run(command.bring_back(loaded, restore, dry_run=dry_run, as_json=as_json))
        else:
            all_well = asyncio.run(command.once(loaded, dry_run=dry_run, as_json=as_json))
    except CommandFailed as error:
        fail(str(error))
    except (command.Interrupted, KeyboardInterrupt):
        typer.echo("glint: interrupted; nothing is half done, run it again for the rest", err=True)
        sys.exit(INTERRUPTED)
    if not all_well:
        sys.exit(1)


@app.command()
def prewarm(
    *,
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE…", help="Ids or names of images.", show_default=False)
    ] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", metavar="T", help="Active images with this tag.")] = None,
    properties: Annotated[
        list[str] | None, typer.Option("--property", metavar="K=V", help="Active images with this property.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All active images.")] = False,
    nodes: Nodes = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be fetched, and whether it fits.")
    ] = False,
    pin: Annotated[bool, typer.Option("--pin", help="Also pin them: they stay, whatever else needs room.")] = False,
    as_json: Json = False,
    concurrency: Annotated[int, typer.Option(min=1, metavar="N", help="Images at once on each node.")] = 4,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout", min=0, metavar="S", help="Give up waiting after S seconds.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Bring images into the caches of running Glints before anyone asks for them.

    Exit status 0 only if every image is on disk and its digest holds; run it again to verify what is there. Several
    --tag and --property together mean images that have all of them; choosing no image is a failure. The token comes
    from OS_TOKEN, from OS_AUTH_URL with OS_USERNAME and OS_PASSWORD, or from the service user of the configuration.

    Example: glint prewarm --tag golden --node http://10.0.0.7:9292 --node http://10.0.0.8:9292
    """
    from proxy.commands import prewarm as command  # noqa: PLC0415
    from proxy.commands.selection import Selection  # noqa: PLC0415

    pairs = [text.partition("=") for text in properties or ()]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise typer.BadParameter(f"expected K=V, such as os_distro=ubuntu, got {name!r}", param_hint="--property")
    selection = Selection(
        names=tuple(images or ()),
        tags=tuple(tags or ()),
        properties={name: value for name, _, value in pairs},
        everything=everything,
    )
    if selection.is_empty:
        raise typer.BadParameter("name images, or choose some by --tag, --property or --all", param_hint="IMAGE…")
    options = command.Options(
        selection=selection,
        nodes=nodes or (),
        dry_run=dry_run,
        pin=pin,
        as_json=as_json,
        concurrency=concurrency,
        timeout_s=timeout_s,
    )
    loaded = load_or_exit(config, overrides)
    run_or_exit(
        lambda environment: command.run(loaded, options, environment),
        on_interrupt="interrupted; the fills that were begun go on, `glint cache list` shows what is there",
    )
