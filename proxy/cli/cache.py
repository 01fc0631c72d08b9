"""`glint cache`: the arguments of commands that look after the disk cache."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from proxy.cli.options import ConfigFile, Json, Nodes, Overrides, fail, load_or_exit, run_or_exit

cache_app = typer.Typer(no_args_is_help=True, help="Inspect the disk cache; pin, evict and verify what is in it.")
Offline = Annotated[bool, typer.Option("--offline", help="Work on the folder cache.dir, not through a running Glint.")]
Images = Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Ids or names of images.", show_default=False)]


@cache_app.command("list")
def cache_list(
    *,
    nodes: Nodes = None,
    offline: Offline = False,
    as_json: Json = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """List what is cached, the most recently used first."""
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
    """Show where the bytes of images are: cached, on their way, or in the store only."""
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
    """Show how full the cache is, and its hit ratio."""
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
    """Take images out of the cache; running downloads of them go on. Exit status 1 if one is not there."""
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
    """Take everything out of the cache; running downloads go on."""
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

    Only evict, clear and the deletion of its image remove what is pinned. `glint prewarm --pin` brings images in.
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
    """Replay the downloads that logs tell of: what another size or policy would have spared the stores.

    Begins with an empty cache. Asks no running Glint, and changes nothing. Pinned images count as any other.

    Example: glint cache simulate glint.log --size-max '500 GiB' --size-max '1 TiB'
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
    run_or_exit(lambda environment: RUNS[name](loaded, options, environment))
