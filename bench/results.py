"""What becomes of runs: a JSON line each, and a table of medians and ratios."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import processes
from bench.measuring import Run

DIRECTORY = Path(__file__).parent / "results"
_VERSIONS = ("aiohttp", "uvloop", "sqlalchemy", "structlog")

Column = tuple[str, Callable[[Run], float], str]  # heading, value of a run, format


class Results:
    """Appends to `<scenario>.jsonl`: with time, commit, versions and machine, a line stands for itself."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory
        self._context = {
            "commit": processes.commit(),
            "machine": processes.machine(),
            "versions": {name: metadata.version(name) for name in _VERSIONS},
        }

    def add(self, run: Run) -> None:
        line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **run.document(), **self._context}
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / f"{run.scenario}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def table(runs: Sequence[Run], columns: Sequence[Column]) -> str:
    """Markdown: a line for each number of clients and server, medians of its rounds."""
    headings = ["clients", "server", *(heading for heading, _, _ in columns), "rounds"]
    lines = [_line(headings), _line(["--:", "---", *(["--:"] * (len(columns) + 1))])]
    for (clients, server), group in grouped(runs).items():
        medians = [format(median(group, value), form) for _, value, form in columns]
        lines.append(_line([str(clients), server, *medians, str(len(group))]))
    return "\n".join(lines)


def ratios(
    runs: Sequence[Run], ours: str, theirs: str, values: Mapping[str, Callable[[Run], float]]
) -> dict[int, dict[str, float]]:
    """By number of clients: our median over theirs."""
    groups = grouped(runs)
    counts = sorted({clients for clients, server in groups if server == ours and (clients, theirs) in groups})
    return {
        clients: {
            name: median(groups[clients, ours], value) / median(groups[clients, theirs], value)
            for name, value in values.items()
        }
        for clients in counts
    }


def ratio_lines(ours: str, theirs: str, found: Mapping[int, Mapping[str, float]]) -> str:
    return "\n".join(
        f"- {ours} / {theirs}, {clients} clients: " + ", ".join(f"{name} {ratio:.2f} x" for name, ratio in one.items())
        for clients, one in found.items()
    )


def grouped(runs: Sequence[Run]) -> dict[tuple[int, str], list[Run]]:
    """The rounds that count."""
    groups: dict[tuple[int, str], list[Run]] = {}
    for run in runs:
        if run.round:
            groups.setdefault((run.clients, run.server), []).append(run)
    return groups


def median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return statistics.median(value(run) for run in runs)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
