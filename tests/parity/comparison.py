"""Compares what a server answered with what Glance answered. Pure, but for reading the two tables of this folder."""

import copy
import difflib
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A wanted difference. Parts of an answer are named as `status` or `body.checksum`.

    With `only` these parts alone are compared; with `but` and `without` the whole recorded answer is, so changed.
    """

    case: str
    steps: tuple[int, ...]
    reason: str
    only: Mapping[str, Any] = field(default_factory=dict)
    but: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    optional: bool = False
    """Glance's own answer is right too: it depends on the database."""

    def covers(self, case: str, step: int) -> bool:
        """Whether it speaks of this step, counted from 1."""
        return step in self.steps and fnmatchcase(case, self.case)

    def wants(self, recorded: Mapping[str, Any], answered: Mapping[str, Any]) -> bool:
        """Whether the answer is the one that is wanted."""
        if self.only:
            return all(_part(answered, path) == value for path, value in self.only.items())
        return self.applied_to(recorded) == answered

    def applied_to(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """The recorded answer with the difference in it."""
        wanted = copy.deepcopy(dict(recorded))
        for path, value in {**self.only, **self.but}.items():
            parent, _, name = path.rpartition(".")
            _part(wanted, parent)[name] = value
        for path in self.without:
            parent, _, name = path.rpartition(".")
            del _part(wanted, parent)[name]
        return wanted


def load_differences(path: Path = HERE / "differences.yaml") -> tuple[Difference, ...]:
    """The wanted differences."""
    return tuple(
        Difference(**{**row, "steps": tuple(row["steps"]), "without": tuple(row.get("without", ()))})
        for row in yaml.safe_load(path.read_text())
    )


@functools.cache
def load_recorded(variant: str) -> dict[str, list[dict[str, Any]]]:
    """Case name to Glance's answers, of all groups of a variant."""
    recorded: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((HERE / "recorded" / variant).glob("*.json")):
        recorded |= json.loads(path.read_text())
    return recorded


def compare(
    case: str,
    recorded: Sequence[Mapping[str, Any]],
    answered: Sequence[Mapping[str, Any]],
    differences: Sequence[Difference] = (),
) -> list[str]:
    """One report for each step that is neither as recorded nor as wanted."""
    reports = []
    if len(recorded) != len(answered):
        reports.append(f"{case}: {len(recorded)} steps are recorded, {len(answered)} were run: record again")
    for number, (theirs, ours) in enumerate(zip(recorded, answered, strict=False), start=1):
        wanted = next((d for d in differences if d.covers(case, number)), None)
        title = f"{case}, step {number}, {theirs['step']}"
        if wanted is None:
            if theirs != ours:
                reports.append(f"{title}\n{_diff(theirs, ours)}")
        elif wanted.wants(theirs, theirs):
            reports.append(f"{title}: Glance answers as wanted, remove the difference ({wanted.reason})")
        elif not wanted.wants(theirs, ours) and not (wanted.optional and theirs == ours):
            reports.append(f"{title} (wanted: {wanted.reason})\n{_diff(wanted.applied_to(theirs), ours)}")
    return reports


def _part(answer: Any, path: str) -> Any:
    """The part at a dotted path; None if there is none."""
    for name in filter(None, path.split(".")):
        if not isinstance(answer, dict):
            return None
        answer = answer.get(name)
    return answer


def _diff(expected: Mapping[str, Any], got: Mapping[str, Any]) -> str:
    return "\n".join(difflib.unified_diff(_lines(expected), _lines(got), "Glance", "here", lineterm="", n=2))


def _lines(answer: Mapping[str, Any]) -> list[str]:
    return json.dumps(answer, indent=1, ensure_ascii=False, sort_keys=True).splitlines()
