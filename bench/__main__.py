"""`make bench`: every scenario in its real size and the report; or `python -m bench SCENARIO`."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import report, summary
from bench.catalogue import SCENARIOS
from bench.measuring import Cores
from bench.processes import allow_many_files
from bench.results import DIRECTORY, Results, ratio_lines, rows, table
from bench.session import AnyScenario, Session

app = typer.Typer(help="Measure Glint side by side with nginx, Varnish and Glance.", add_completion=False)

Rounds = Annotated[int | None, typer.Option(min=1, help="Rounds that count; medians are taken over them.")]
Clients = Annotated[
    list[int] | None, typer.Option("--clients", min=1, help="Clients at once; may be repeated where it is a list.")
]
Workers = Annotated[list[int] | None, typer.Option("--workers", min=1, help="server.workers of Glint; likewise.")]
Algorithms = Annotated[
    list[str] | None, typer.Option("--algorithm", help='os_hash_algo of cold images, or "no digest"; likewise.')
]
Small = Annotated[bool, typer.Option("--small", help="The small size, which the tests run: says nothing about speed.")]
Keep = Annotated[bool, typer.Option("--keep", help="Let the report show this run.")]
ServerCores = Annotated[str, typer.Option(help="Cores of the servers, such as 0 or 0,1; none named: all.")]
ClientCores = Annotated[str, typer.Option(help="Cores of the clients, likewise.")]
Out = Annotated[Path, typer.Option(help="Folder that gets a line per run.")]


@app.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    *,
    small: Small = False,
    server_cores: ServerCores = "",
    client_cores: ClientCores = "",
    out: Out = DIRECTORY,
) -> None:
    """All scenarios, kept for the report unless they are small, and the report."""
    if context.invoked_subcommand is not None:
        return
    cores, results = _cores(server_cores, client_cores), Results(out)
    with _session(max(_load(one, small).disk for one in SCENARIOS.values()), cores, results) as session:
        for scenario in SCENARIOS.values():
            _measure(scenario, _load(scenario, small).load, session, keep=not small)
    if not small:
        write_report()


@app.command("report")
def write_report() -> None:
    """Write bench/report.html, and the tables of README.md, from bench/summary.jsonl."""
    for path in report.write(summary.read()):
        typer.echo(f"wrote {path}")


def _command(scenario: AnyScenario) -> Callable[..., None]:
    def measure(
        *,
        rounds: Rounds = None,
        clients: Clients = None,
        workers: Workers = None,
        algorithm: Algorithms = None,
        small: Small = False,
        keep: Keep = False,
        server_cores: ServerCores = "",
        client_cores: ClientCores = "",
        out: Out = DIRECTORY,
    ) -> None:
        asked = {"rounds": rounds, "clients": clients, "workers": workers, "algorithms": algorithm}
        sized = _load(scenario, small, asked)
        with _session(sized.disk, _cores(server_cores, client_cores), Results(out)) as session:
            _measure(scenario, sized.load, session, keep=keep)

    measure.__doc__ = scenario.title + "."
    return measure


for _scenario in SCENARIOS.values():
    app.command(_scenario.name)(_command(_scenario))


class _Sized:
    """A scenario's load, and the disk that it takes."""

    def __init__(self, scenario: AnyScenario, load: Any) -> None:
        self.load, self.disk = load, scenario.disk_bytes(load)


def _load(scenario: AnyScenario, small: bool, asked: dict[str, Any] | None = None) -> _Sized:
    """With what was asked for in place of what it has. What it has not is an error."""
    load = scenario.small if small else scenario.real
    kinds = {field.name: type(getattr(load, field.name)) for field in fields(load)}
    changes = {}
    for name, value in (asked or {}).items():
        if not value:
            continue
        if name not in kinds:
            raise typer.BadParameter(f"{scenario.name} has no {name}")
        changes[name] = tuple(value) if kinds[name] is tuple else value[-1] if isinstance(value, list) else value
    return _Sized(scenario, replace(load, **changes))


def _measure(scenario: AnyScenario, load: Any, session: Session, *, keep: bool) -> None:
    _say(f"{scenario.title}. Expected:\n{scenario.expected}")
    found = rows(scenario.run(session, load), scenario.columns)
    _say(table(found, scenario.columns))
    _say("\n".join(ratio_lines(found, scenario.ours, scenario.theirs, scenario.ratios)))
    if keep:
        summary.keep(summary.Summary.of(scenario, load, session.results, found))


@contextmanager
def _session(needed_bytes: int, cores: Cores, results: Results) -> Iterator[Session]:
    """In a folder for everything that is written; gone afterwards."""
    allow_many_files()
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="glint-bench-"))
        free_bytes = shutil.disk_usage(name).free
        if free_bytes < needed_bytes:
            typer.echo(f"needs {needed_bytes / 2**30:.1f} GiB in {name}, which has {free_bytes / 2**30:.1f}", err=True)
            raise typer.Exit(1)
        yield stack.enter_context(Session(Path(name), results, cores=cores, tell=_progress))


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
