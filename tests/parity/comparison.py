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

from proxy.config.reading import read_yaml

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A known difference. Parts of an answer are named as `status` or `body.checksum`.

    With `only` these parts alone are compared; with `but` and `without` the whole recorded answer is, so changed.
    One of what is built `later` may name no parts: then any answer will do but Glance's, which says that it is built.
    """

    case: str
    steps: tuple[int, ...]
    reason: str
    only: Mapping[str, Any] = field(default_factory=dict)
    but: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    optional: bool = False
    """Glance's own answer is right too: it depends on the database."""
    later: bool = False
    """Not wanted, but not built yet."""

    def covers(self, case: str, step: int) -> bool:
        """Whether it speaks of this step, counted from 1."""
        return step in self.steps and fnmatchcase(case, self.case)

    def wants(self, recorded: Mapping[str, Any], answered: Mapping[str, Any]) -> bool:
        """Whether the answer is the one that is expected."""
        if self.later and not (self.only or self.but or self.without):
            return recorded != answered
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
        for row in read_yaml(path.read_text())
    )


@functools.cache
def load_recorded(variant: str) -> dict[str, list[dict[str, Any]]]:
    """Case name to Glance's answers, of all groups of a variant."""
    recorded: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((HERE / "recorded" / variant).glob("*.json")):
        recorded |= json.loads(path.read_text())
    return recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a case is to be answered."""

    case: str
    recorded: Sequence[Mapping[str, Any]]
    differences: Sequence[Difference] = ()

    def report(self, number: int, ours: Mapping[str, Any]) -> str | None:
        """How the answer to a step, counted from 1, is neither as recorded nor as wanted; None if it is."""
        theirs = self.recorded[number - 1]
        wanted = next((d for d in self.differences if d.covers(self.case, number)), None)
        title = f"{self.case}, step {number}, {theirs['step']}"
        if wanted is None:
            return None if theirs == ours else f"{title}\n{_diff(theirs, ours)}"
        if not wanted.later and wanted.wants(theirs, theirs):
            return f"{title}: Glance answers as wanted, remove the difference ({wanted.reason})"
        if wanted.wants(theirs, ours) or (wanted.optional and theirs == ours):
            return None
        if theirs == ours:
            return f"{title}: the answer is Glance's, remove the difference ({wanted.reason})"
        return f"{title} (wanted: {wanted.reason})\n{_diff(wanted.applied_to(theirs), ours)}"

    def is_met(self, number: int, ours: Mapping[str, Any]) -> bool:
        """Whether there is nothing to report of a step; a server that is still at work may yet come to it."""
        return self.report(number, ours) is None

    def reports(self, answered: Sequence[Mapping[str, Any]]) -> list[str]:
        """One report for each step that is neither as recorded nor as wanted."""
        if len(self.recorded) != len(answered):
            return [f"{self.case}: {len(self.recorded)} steps are recorded, {len(answered)} were run: record again"]
        found = (self.report(number, ours) for number, ours in enumerate(answered, start=1))
        return [report for report in found if report is not None]


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
