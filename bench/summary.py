"""What is kept of a bench in the repository: a line for each scenario with the medians of its newest whole run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from bench.catalogue import SCENARIOS
from bench.results import Results, Row, now
from bench.session import AnyScenario

PATH = Path(__file__).with_name("summary.jsonl")
_DIGITS = 5  # more would be noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One scenario, measured once as a whole."""

    scenario: str
    at: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    load: Mapping[str, Any]
    rows: Sequence[Row]

    @classmethod
    def of(cls, scenario: AnyScenario, load: Any, results: Results, rows: Sequence[Row]) -> Self:
        context = results.context
        return cls(
            scenario=scenario.name,
            at=now(),
            commit=str(context["commit"]),
            machine=context["machine"],  # type: ignore[arg-type]
            versions=context["versions"],  # type: ignore[arg-type]
            load=asdict(load),
            rows=rows,
        )

    def row(self, server: str, clients: int, case: str = "") -> Row | None:
        wanted = (server, clients, case)
        return next((row for row in self.rows if (row.server, row.clients, row.case) == wanted), None)

    def dump(self) -> str:
        document = asdict(self)
        for row in document["rows"]:
            row["values"] = {name: [_short(value) for value in three] for name, three in row["values"].items()}
        return json.dumps(document)


def parse(line: str) -> Summary:
    document = json.loads(line)
    rows = [
        Row(**{**row, "values": {name: (middle, low, high) for name, (middle, low, high) in row["values"].items()}})
        for row in document.pop("rows")
    ]
    return Summary(**document, rows=rows)


def read(path: Path = PATH) -> dict[str, Summary]:
    """By scenario; none if there is no file yet."""
    if not path.exists():
        return {}
    return {one.scenario: one for one in (parse(line) for line in path.read_text().splitlines())}


def keep(one: Summary, path: Path = PATH) -> None:
    """In the place of the scenario's line from before; lines are in the order of the catalogue."""
    found = read(path) | {one.scenario: one}
    path.write_text("".join(found[name].dump() + "\n" for name in SCENARIOS if name in found))


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
