"""YAML in which no key stands twice. What is wrong with a text is told without the text, which may be secret."""

from contextlib import suppress
from typing import Any

import yaml

# What the parser stumbles over, and what is usually meant. Its own words quote the file, which may hold a password.
_HINTS = {
    r"'\t'": "indent by spaces, not by tabs",
    "cannot start any token": "put quotes around a value that begins with a sign such as @ or %",
    "undefined alias": "put quotes around a value that begins with *",
    "mapping values are not allowed": "put quotes around a value with a colon in it, and indent keys alike",
}


class YamlBroken(Exception):
    """The message begins by the place, if it is known: `, line 2, column 1: is not valid YAML`."""


def read_yaml(text: str) -> Any:
    """Raises YamlBroken."""
    with suppress(yaml.YAMLError):  # the other one says in which words, and where
        return yaml.load(text, _QuickLoader)  # noqa: S506 - a SafeLoader
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YamlBroken(f"{where}: {_what(error)}") from None


def _what(error: yaml.YAMLError) -> str:
    if isinstance(error, _Twice):
        return f"{error.problem} stands there twice"
    said = str(getattr(error, "problem", ""))
    hint = next((hint for sign, hint in _HINTS.items() if sign in said), None)
    return "is not valid YAML" + (f"; {hint}" if hint else "")


class _Twice(yaml.MarkedYAMLError):
    """`problem` is the key: the parser would take the last of them in silence."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - as yaml calls it
        _refuse_twice(node)
        return super().construct_mapping(node, deep)


_InC: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a twelfth of the time, where PyYAML was built with it


class _QuickLoader(_InC):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - as yaml calls it
        _refuse_twice(node)
        return super().construct_mapping(node, deep)


def _refuse_twice(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise _Twice(problem=key.value, problem_mark=key.start_mark)
            seen.add(key.value)
