"""`glint config`: the arguments of commands that look at configurations."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.options import ConfigFile, Overrides, config_file, load_or_exit, tell
from proxy.config import origins

config_app = typer.Typer(
    no_args_is_help=True, help="Check the configuration, show what it comes to, or make one from Glance's."
)


@config_app.command("check")
def check(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Say "ok", or all that is wrong at once, with exit status 2."""
    from proxy.commands import config as command  # noqa: PLC0415 - SQLAlchemy, which other commands do without

    if problems := command.check(load_or_exit(config, overrides)):
        tell(problems)
    typer.echo("ok")


@config_app.command("show")
def show(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Print the effective configuration as YAML, and where each changed value comes from; secrets are masked."""
    from proxy.commands import config as command  # noqa: PLC0415

    loaded = load_or_exit(config, overrides)
    typer.echo(command.show(loaded, origins(config_file(config), overrides or (), os.environ)), nl=False)


@config_app.command("import")
def import_glance(
    *,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="GLANCE-API.CONF…",
            help="In the order in which Glance reads them; the last one wins.",
            show_default=False,
        ),
    ] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Option("--config-dir", metavar="DIR", help="And its *.conf by name, after all files; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where to write; default: standard output, secrets masked."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON document.")] = False,
) -> None:
    """Turn the configuration of a Glance into one of Glint, and say what became of each line.

    Exit status 0 if the result would work, 1 with each reason if it would not, 2 if nothing could be read or written.
    The policy file, the paste file and others that those of Glance name are looked for beside them.

    Example: glint config import /etc/glance/glance-api.conf -o /etc/glint/config.yaml
    """
    from proxy.commands import config_import as command  # noqa: PLC0415

    if not files and not folders:
        raise typer.BadParameter("name a file such as /etc/glance/glance-api.conf", param_hint="GLANCE-API.CONF…")
    options = command.Options(files=files or (), folders=folders or (), output=output, force=force, as_json=as_json)
    try:
        works = command.run(options, os.environ)
    except command.NothingWritten as error:
        tell([str(error)])
    if not works:
        sys.exit(1)
