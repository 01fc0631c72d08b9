"""What the modules of arguments share: options that many commands have, and how commands run and fail."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from proxy.config import Config, ConfigError, load


def _checked_urls(urls: list[str] | None) -> list[str] | None:
    for url in urls or ():
        if not url.startswith(("http://", "https://")):
            raise typer.BadParameter(f"expected a URL such as http://10.0.0.7:9292, got {url!r}")
    return urls


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="GLINT_CONFIG",
        help="Default: ./config.yaml if there is one, else /etc/glint/config.yaml, else the built-in defaults.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one key, such as cache.size_max='2 GiB'; may be repeated."),
]
Nodes = Annotated[
    list[str] | None,
    typer.Option(
        "--node",
        callback=_checked_urls,
        metavar="URL",
        help="URL of a running Glint; may be repeated. Default: the one of --config. OS_CACERT: CA file for https.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document per line on standard output.")]

INTERRUPTED = 130
"""Exit status of a command that a signal ended."""

_DEFAULT_FILES = (Path("config.yaml"), Path("/etc/glint/config.yaml"))
_WRONG_USAGE = 2


def load_or_exit(config: Path | None, overrides: list[str] | None) -> Config:
    """The configuration, or all its problems on standard error and exit status 2."""
    try:
        return load(config_file(config), overrides or (), os.environ)
    except ConfigError as error:
        tell(error.problems)


def serve_or_exit(front: str, config: Path | None, overrides: list[str] | None) -> None:
    """Until SIGTERM; what keeps it from starting is one line on standard error, and exit status 1."""
    from proxy.commands import serve as command  # noqa: PLC0415 - a second of imports that other commands do without
    from proxy.fronts import FRONTS  # noqa: PLC0415
    from proxy.logs import configure_logging  # noqa: PLC0415
    from proxy.startup import STARTUP_ERRORS  # noqa: PLC0415

    loaded = load_or_exit(config, overrides)
    configure_logging(loaded.logging)
    try:
        command.run(FRONTS[front], loaded)
    except STARTUP_ERRORS as error:
        fail(str(error))


def run_or_exit(
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
        sys.exit(INTERRUPTED)
    if not all_well:
        sys.exit(1)


def fail(message: str) -> NoReturn:
    """One line on standard error, exit status 1."""
    typer.echo(f"glint: {message}", err=True)
    sys.exit(1)


def config_file(config: Path | None) -> Path | None:
    return config or next((file for file in _DEFAULT_FILES if file.is_file()), None)


def tell(problems: list[str]) -> NoReturn:
    for problem in problems:
        typer.echo(f"glint: {problem}", err=True)
    sys.exit(_WRONG_USAGE)
