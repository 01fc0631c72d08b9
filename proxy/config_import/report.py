"""What was made of each line, for people and for programs. No secrets. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from proxy.config_import.conf import Assignment
from proxy.config_import.importing import Imported
from proxy.config_import.masking import is_secret, masked
from proxy.config_import.outcomes import Key, Mapped, Octal
from proxy.config_import.yaml_text import flow, shown

_FIRST = ("", 0)


def lines(imported: Imported, untouched: Sequence[Key], problems: Sequence[str]) -> list[str]:
    """For people: one line for each line of the files, and what was left at Glint's defaults."""
    given = [one for one in imported.mapped if one.said]
    assumed = [one for one in imported.mapped if not one.said]
    found = _titled("Mapped:", [_arrow(one) for one in sorted(given, key=lambda one: _place(one.said))])
    found += _titled("Written, though no line says it:", [f"{_target(one)}  ({one.note})" for one in assumed])
    found += _titled(
        "Without a counterpart:",
        [
            f"{_said(one.said)}: {one.reason}" if one.said else one.reason
            for one in sorted(imported.dropped, key=lambda one: _place(one.said))
        ],
    )
    found += _titled("Left at Glint's default:", _by_section(untouched))
    return found + _titled("Would not work:", problems)


def _titled(title: str, body: Sequence[str]) -> list[str]:
    return [title, *(f"  {line}" for line in body), ""] if body else []


def _place(said: Sequence[Assignment]) -> tuple[str, int]:
    return (said[0].file, said[0].line) if said else _FIRST


def text_of(one: Assignment) -> str:
    return masked(" ".join(one.text.split("\n")), secret=is_secret(one.name))


def _said(said: Iterable[Assignment]) -> str:
    return ", ".join(f"{one.where} [{one.section}] {one.name} = {text_of(one)}" for one in said)


def _target(one: Mapped) -> str:
    return f"{one.dotted} = {flow(shown(one))}"


def _arrow(one: Mapped) -> str:
    return f"{_said(one.said)} -> {_target(one)}" + (f"  ({one.note})" if one.note else "")


def reasons(imported: Imported) -> list[str]:
    """Why the result would not work, as far as the files say it."""
    failing = sorted(imported.failing, key=lambda one: _place(one.said))
    return [f"{_said(one.said)}: {one.reason}" if one.said else one.reason for one in failing]


def with_places(problem: str, mapped: Iterable[Mapped]) -> str:
    """A problem of `glint config check`, with the lines that its key comes from."""
    key = problem.partition(": ")[0] + "."
    places = dict.fromkeys(said.where for one in mapped if key.startswith(f"{one.dotted}.") for said in one.said)
    return f"{problem} ({', '.join(places)})" if places else problem


def untouched(model: type[BaseModel], mapped: Iterable[Mapped]) -> list[Key]:
    """Keys of Glint that are not written. Of the stores those that are named say what they need themselves."""
    written = {one.key for one in mapped}
    return [key for key in _leaves(model) if key not in written and key[:2] != ("stores", "backends")]


def _leaves(model: type[BaseModel], prefix: Key = ()) -> list[Key]:
    found: list[Key] = []
    for name, field in model.model_fields.items():
        inner, key = field.annotation, (*prefix, name)
        is_section = isinstance(inner, type) and issubclass(inner, BaseModel)
        found += _leaves(inner, key) if is_section and isinstance(inner, type) else [key]
    return found


def _by_section(keys: Iterable[Key]) -> list[str]:
    sections: dict[str, list[str]] = {}
    for section, *rest in keys:
        sections.setdefault(section, []).append(".".join(rest))
    return [f"{section}: {', '.join(names)}" for section, names in sections.items()]


def as_json(imported: Imported, untouched: Sequence[Key], problems: Sequence[str]) -> dict[str, Any]:
    """For programs: the same."""
    return {
        "works": not problems,
        "problems": list(problems),
        "mapped": [
            {"key": one.dotted, "value": _plain(shown(one)), "note": one.note, "said": _places(one.said)}
            for one in imported.mapped
        ],
        "no_counterpart": [{"reason": one.reason, "said": _places(one.said)} for one in imported.dropped],
        "would_not_work": [{"reason": one.reason, "said": _places(one.said)} for one in imported.failing],
        "left_at_default": [".".join(key) for key in untouched],
    }


def _plain(value: Any) -> Any:
    return flow(value) if isinstance(value, Octal) else dict(value) if isinstance(value, Mapping) else value


def _places(said: Iterable[Assignment]) -> list[dict[str, Any]]:
    return [
        {"file": one.file, "line": one.line, "section": one.section, "option": one.name, "value": text_of(one)}
        for one in said
    ]
