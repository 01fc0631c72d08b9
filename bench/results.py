"""What becomes of runs: a JSON line each, and rows of medians for tables, plots and the summary."""

import json
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import processes
from bench.measuring import Run

DIRECTORY = Path(__file__).parent / "results"
_GLANCE_LOCK = Path(__file__).parents[1] / "tests" / "peers" / "requirements" / "glance.txt"
_LIBRARIES = ("aiohttp", "uvloop", "sqlalchemy", "structlog")
_PROGRAMS = {"nginx": "-v", "varnishd": "-V"}
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a run, and how it is shown. `is_pooled`: it is of all rounds so far, so the last one's counts."""

    heading: str
    value: Callable[[Run], float | None]
    form: str
    is_pooled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the rounds of one server came to: by heading the median, the lowest and the highest."""

    case: str
    clients: int
    server: str
    rounds: int
    values: Mapping[str, tuple[float, float, float]]

    def median(self, heading: str) -> float | None:
        return self.values[heading][0] if heading in self.values else None


class Results:
    """Appends to `<scenario>.jsonl`: with time, commit, versions and machine, a line stands for itself."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory
        self.context = {"commit": processes.commit(), "machine": processes.machine(), "versions": versions()}

    def add(self, run: Run) -> None:
        line = {"at": now(), **run.document(), **self.context}
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / f"{run.scenario}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Of Glint's libraries and of the peers."""
    found = {name: metadata.version(name) for name in _LIBRARIES}
    for name, option in _PROGRAMS.items():
        path = shutil.which(name, path=_SEARCH)
        if path:
            done = subprocess.run([path, option], capture_output=True, text=True, check=False)
            number = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
            found[name] = number[0] if number else "unknown"
    glance = re.search(r"^glance==([\w.]+)", _GLANCE_LOCK.read_text(), re.MULTILINE)
    return found | ({"glance": glance[1]} if glance else {})


def rows(runs: Iterable[Run], columns: Sequence[Column]) -> list[Row]:
    """Of the rounds that count, in the order in which they first came. A figure that a run has not is left out."""
    groups: dict[tuple[str, int, str], list[Run]] = {}
    for run in runs:
        if run.round:
            groups.setdefault((run.case, run.clients, run.server), []).append(run)
    return [
        Row(
            case=case,
            clients=clients,
            server=server,
            rounds=len(group),
            values={
                column.heading: (found[-1] if column.is_pooled else statistics.median(found), min(found), max(found))
                for column in columns
                if (found := [value for run in group if (value := column.value(run)) is not None])
            },
        )
        for (case, clients, server), group in groups.items()
    ]


def table(found: Sequence[Row], columns: Sequence[Column]) -> str:
    """Markdown: a line for each case, number of clients and server."""
    lines = cells(found, columns)
    has_case = any(row.case for row in found)
    rule = [*(["---"] if has_case else []), "--:", "---", *(["--:"] * (len(columns) + 1))]
    return "\n".join(_line(line) for line in [lines[0], rule, *lines[1:]])


def cells(found: Sequence[Row], columns: Sequence[Column]) -> list[list[str]]:
    """The headings, then a line for each row."""
    has_case = any(row.case for row in found)
    headings = [*(["case"] if has_case else []), "clients", "server", *(column.heading for column in columns), "rounds"]
    return [
        headings,
        *(
            [
                *([row.case] if has_case else []),
                str(row.clients),
                row.server,
                *(shown(row.median(column.heading), column.form) for column in columns),
                str(row.rounds),
            ]
            for row in found
        ),
    ]


def shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def ratio(found: Sequence[Row], ours: Row, theirs: str, heading: str) -> float | None:
    """Our median over that of the peer in the same case, with as many clients. None if there is no such."""
    value = ours.median(heading)
    for row in found:
        if (row.case, row.clients, row.server) == (ours.case, ours.clients, theirs):
            other = row.median(heading)
            return value / other if value is not None and other else None
    return None


def ratio_lines(found: Sequence[Row], ours: Sequence[str], theirs: Sequence[str], headings: Sequence[str]) -> list[str]:
    """A line for each of our rows and each peer that it can be compared with."""
    lines = []
    for row in (row for row in found if row.server in ours):
        for peer in theirs:
            parts = [f"{heading} {value:.2f} x" for heading in headings if (value := ratio(found, row, peer, heading))]
            if parts:
                where = ", ".join(part for part in (row.case, f"{row.clients} clients") if part)
                lines.append(f"{row.server} / {peer}, {where}: {', '.join(parts)}")
    return lines


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
