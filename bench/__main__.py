"""`make bench`: every scenario in its real size, or the one that is named."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bench.measuring import Cores
from bench.results import DIRECTORY, Results
from bench.scenarios import hot, metadata, storm

app = typer.Typer(help="Measure Glint side by side with nginx and Glance.", add_completion=False)

Rounds = Annotated[int | None, typer.Option(min=1, help="Rounds that count; medians are taken over them.")]
Clients = Annotated[list[int] | None, typer.Option("--clients", min=1, help="Clients at once; may be repeated.")]
Small = Annotated[bool, typer.Option("--small", help="The small size, which the tests run: says nothing about speed.")]
ServerCores = Annotated[str, typer.Option(help="Cores of the servers, such as 0 or 0,1; none named: all.")]
ClientCores = Annotated[str, typer.Option(help="Cores of the clients, likewise.")]
Out = Annotated[Path, typer.Option(help="Folder that gets a line per run.")]


@app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        measure_hot()
        measure_metadata()
        measure_storm()


@app.command("hot")
def measure_hot(
    rounds: Rounds = None,
    clients: Clients = None,
    small: Small = False,
    server_cores: ServerCores = "",
    client_cores: ClientCores = "",
    out: Out = DIRECTORY,
) -> None:
    """One image in memory: throughput, CPU and memory beside nginx."""
    load = hot.SMALL if small else hot.REAL
    load = replace(load, rounds=rounds or load.rounds, clients=tuple(clients or load.clients))
    with _directory(hot.disk_bytes(load)) as directory:
        _say(hot.EXPECTED)
        _say(hot.report(hot.run(directory, load, _cores(server_cores, client_cores), Results(out), _progress)))


@app.command("metadata")
def measure_metadata(
    rounds: Rounds = None,
    clients: Clients = None,
    small: Small = False,
    server_cores: ServerCores = "",
    client_cores: ClientCores = "",
    out: Out = DIRECTORY,
) -> None:
    """GET /v2/images/{id} with a known token, beside Glance."""
    load = metadata.SMALL if small else metadata.REAL
    load = replace(load, rounds=rounds or load.rounds, clients=tuple(clients or load.clients))
    with _directory() as directory:
        _say(metadata.EXPECTED)
        cores = _cores(server_cores, client_cores)
        _say(metadata.report(metadata.run(directory, load, cores, Results(out), _progress)))


@app.command("storm")
def measure_storm(
    rounds: Rounds = None,
    small: Small = False,
    server_cores: ServerCores = "",
    client_cores: ClientCores = "",
    out: Out = DIRECTORY,
) -> None:
    """A cold image for 64 clients at once: what the store sees."""
    load = storm.SMALL if small else storm.REAL
    load = replace(load, rounds=rounds or load.rounds)
    with _directory(load.rounds * load.size_mib * 2**20) as directory:
        _say(storm.EXPECTED)
        _say(storm.report(storm.run(directory, load, _cores(server_cores, client_cores), Results(out), _progress)))


@contextmanager
def _directory(needed_bytes: int = 0) -> Iterator[Path]:
    """For everything that a scenario writes; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="glint-bench-") as name:
        free_bytes = shutil.disk_usage(name).free
        if free_bytes < needed_bytes:
            typer.echo(f"needs {needed_bytes / 2**30:.1f} GiB in {name}, which has {free_bytes / 2**30:.1f}", err=True)
            raise typer.Exit(1)
        yield Path(name)


def _cores(server: str, client: str) -> Cores:
    try:
        return Cores(server=_numbers(server), client=_numbers(client))
    except ValueError:
        raise typer.BadParameter("expected numbers of cores, such as 0,1") from None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number.strip())


def _say(text: str) -> None:
    typer.echo(f"\n{text}\n")


def _progress(text: str) -> None:
    typer.echo(text, err=True)


if __name__ == "__main__":
    app()
