"""The `glint` command. Each command is one module of `proxy.commands`; here are their arguments."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from proxy.cli_config import config_app
from proxy.cli_options import ConfigFile, Overrides, fail, load_or_exit, serve_or_exit
from proxy.cli_registry import registry_app

app = typer.Typer(
    name="glint",
    help="A caching transfer proxy that delivers VM images in OpenStack clouds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

cache_app = typer.Typer(
    no_args_is_help=True, help="Look into the disk cache, keep images in it, and take them out of it."
)
app.add_typer(cache_app, name="cache")
app.add_typer(config_app, name="config")
app.add_typer(registry_app, name="registry")


def _checked_urls(urls: list[str] | None) -> list[str] | None:
    for url in urls or ():
        if not url.startswith(("http://", "https://")):
            raise typer.BadParameter(f"expected a URL such as http://10.0.0.7:9292, got {url!r}")
    return urls


Nodes = Annotated[
    list[str] | None,
    typer.Option(
        "--node",
        callback=_checked_urls,
        metavar="URL",
        help="A running Glint; may be repeated. Default: the one of --config. OS_CACERT: who vouches for https.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document per line on standard output.")]
Offline = Annotated[bool, typer.Option("--offline", help="Work on the folder cache.dir, past the running Glint.")]
Images = Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Ids or names of images.", show_default=False)]
_INTERRUPTED = 130


def main() -> None:
    app(prog_name="glint")


@app.command()
def serve(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Serve the Images API until SIGTERM."""
    serve_or_exit("api", config, overrides)


@app.command()
def scrub(
    *,
    as_daemon: Annotated[
        bool, typer.Option("--daemon", "-D", help="Again and again, every deletion.wakeup_time_s, until SIGTERM.")
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

    As glance-scrubber, also beside one and on several hosts at once. Exit status 0: nothing is left that is due; 1:
    some data stay, since a store is down or something uses them, until a later run; 130: interrupted.
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
        sys.exit(_INTERRUPTED)
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be fetched, and if it fits.")] = False,
    pin: Annotated[bool, typer.Option("--pin", help="And pin them: they stay, whatever else needs room.")] = False,
    as_json: Json = False,
    concurrency: Annotated[int, typer.Option(min=1, metavar="N", help="Images at once on each node.")] = 4,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout", min=0, metavar="S", help="Give up waiting after S seconds.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Have images on the disks of running Glints before anyone asks for them.

    Exit status 0 only if every image is on disk and its digest holds; run it again to verify what is there. Several
    --tag and --property together mean images that have all of them; no image chosen is a failure. The token comes from
    OS_TOKEN, OS_AUTH_URL with OS_USERNAME and OS_PASSWORD, or the service's own user in the configuration.
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
    _finish(
        lambda environment: command.run(loaded, options, environment),
        on_interrupt="interrupted; the fills that were begun go on, `glint cache list` shows what is there",
    )


@cache_app.command("list")
def cache_list(
    *,
    nodes: Nodes = None,
    offline: Offline = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """What is cached, the most recently used first."""
    _cache("list", config, overrides, nodes=nodes, offline=offline, as_json=as_json)


@cache_app.command("show")
def cache_show(
    *,
    images: Images,
    nodes: Nodes = None,
    offline: Offline = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Where the bytes of images are."""
    _cache("show", config, overrides, images=images, nodes=nodes, offline=offline, as_json=as_json)


@cache_app.command("stats")
def cache_stats(
    *,
    nodes: Nodes = None,
    offline: Offline = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """How full the cache is, and how well it does."""
    _cache("stats", config, overrides, nodes=nodes, offline=offline, as_json=as_json)


@cache_app.command("evict")
def cache_evict(
    *,
    images: Images,
    nodes: Nodes = None,
    offline: Offline = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Take images out of the cache; downloads of them that run end well. Exit status 1 if one is not there."""
    _cache("evict", config, overrides, images=images, nodes=nodes, offline=offline, as_json=as_json)


@cache_app.command("clear")
def cache_clear(
    *,
    nodes: Nodes = None,
    offline: Offline = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Take everything out of the cache; downloads that run end well."""
    _cache("clear", config, overrides, nodes=nodes, offline=offline, as_json=as_json)


@cache_app.command("pin")
def cache_pin(
    *,
    images: Images,
    nodes: Nodes = None,
    offline: Offline = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Keep images that are in the cache, whatever else needs room. Exit status 1 if one is not there.

    What is pinned goes by evict, clear and the deletion of its image only. `glint prewarm --pin` brings images in.
    """
    _cache("pin", config, overrides, images=images, nodes=nodes, offline=offline, as_json=as_json)


@cache_app.command("unpin")
def cache_unpin(
    *,
    images: Images,
    nodes: Nodes = None,
    offline: Offline = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Let pinned images go again when room is needed. Exit status 1 if one is not in the cache."""
    _cache("unpin", config, overrides, images=images, nodes=nodes, offline=offline, as_json=as_json)


@cache_app.command("verify")
def cache_verify(
    *,
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE…", help="Ids or names of images.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is cached.")] = False,
    nodes: Nodes = None,
    offline: Offline = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Read images back from the disk and compare them with what was written. Exit status 1 if one is damaged.

    A damaged one is moved to the folder quarantine/ of the cache at once, and a running Glint fetches it anew.
    """
    if bool(images) is everything:
        raise typer.BadParameter("name images, or choose all by --all", param_hint="IMAGE…")
    _cache(
        "verify",
        config,
        overrides,
        images=images or (),
        everything=everything,
        nodes=nodes,
        offline=offline,
        as_json=as_json,
    )


@cache_app.command("simulate")
def cache_simulate(
    *,
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG…",
            exists=True,
            dir_okay=False,
            help="Logs of Glint in JSON, or tables key,size[,time]; also .gz.",
        ),
    ],
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size-max", metavar="SIZE", help="Such as '500 GiB'; may be repeated. Default: cache.size_max."),
    ] = None,
    policies: Annotated[
        list[str] | None, typer.Option("--policy", metavar="P", help="May be repeated. Default: all there are.")
    ] = None,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """What a cache of this size would have spared the stores, by the downloads that logs tell of.

    Begins with an empty cache. Asks no running Glint, and changes nothing. Pinned images count as any other.
    """
    from cache import POLICIES  # noqa: PLC0415
    from proxy.commands import simulate as command  # noqa: PLC0415
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415

    for name in policies or ():
        if name not in POLICIES:
            raise typer.BadParameter(f"expected one of {', '.join(POLICIES)}, got {name!r}", param_hint="--policy")
    options = command.Options(
        logs=logs, sizes_bytes=[_size(text) for text in sizes or ()], policies=policies or (), as_json=as_json
    )
    try:
        command.run(load_or_exit(config, overrides), options)
    except CommandFailed as error:
        fail(str(error))


def _size(text: str) -> int:
    try:
        size_bytes = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        size_bytes = ByteSize(0)
    if size_bytes <= 0:
        raise typer.BadParameter(f'expected a size such as "500 GiB", got {text!r}', param_hint="--size-max")
    return size_bytes


def _cache(
    name: str,
    config: Path | None,
    overrides: list[str] | None,
    *,
    images: Sequence[str] = (),
    everything: bool = False,
    nodes: list[str] | None,
    offline: bool,
    as_json: bool,
) -> None:
    from proxy.commands.cache import RUNS  # noqa: PLC0415
    from proxy.commands.places import Options  # noqa: PLC0415

    if nodes and offline:
        raise typer.BadParameter("--offline works on this machine's folder, not on a node", param_hint="--offline")
    options = Options(images=images, everything=everything, nodes=nodes or (), offline=offline, as_json=as_json)
    loaded = load_or_exit(config, overrides)
    _finish(lambda environment: RUNS[name](loaded, options, environment))


def _finish(
    run: Callable[[Mapping[str, str]], Coroutine[None, None, bool]], *, on_interrupt: str = "interrupted"
) -> None:
    """Run a command that asks a running Glint; exit status 0 only if it says that all went well."""
    from proxy.commands.errors import CommandFailed  # noqa: PLC0415

    try:
        all_well = asyncio.run(run(os.environ))
    except CommandFailed as error:
        fail(str(error))
    except KeyboardInterrupt:
        typer.echo(f"glint: {on_interrupt}", err=True)
        sys.exit(_INTERRUPTED)
    if not all_well:
        sys.exit(1)
