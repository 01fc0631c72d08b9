"""What the modules of arguments share: the options that name a configuration, and how a command fails."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from proxy.config import Config, ConfigError, load

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
    typer.Option("--set", metavar="KEY=VALUE", help="One key, such as cache.size_max='2 GiB'; may be repeated."),
]

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
