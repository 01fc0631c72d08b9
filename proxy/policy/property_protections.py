"""Who may create, read, update and delete which custom property, by a file that Glance reads too.

Source: glance/common/property_utils.py, PropertyRules; glance/api/property_protections.py.
"""

import configparser
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Literal

from proxy.operator_files import FileBroken, read_operator_file
from proxy.policy.policy import Policy
from upstream.types import Context, Image

RuleFormat = Literal["roles", "policies"]

_EVERYBODY, _NOBODY = "@", "!"
_OWN_PREFIX = "os_glance"  # Glance's own properties: what a file says of them does not count
_NAMES_MAX = 4096


class Action(StrEnum):
    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"


Permissions = Mapping[Action, frozenset[str]]  # to each action roles or the name of one policy rule, or "@", or "!"


class ProtectionFileBroken(FileBroken):
    what = "property protection file"


class _Problems(Exception):
    def __init__(self, problems: list[str]) -> None:
        super().__init__()
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Protection:
    """One section of the file. The pattern may stand anywhere in a property's name."""

    pattern: re.Pattern[str]
    permissions: Permissions


class PropertyProtections:
    """The protections in force; with None every property is everybody's. Asking reads memory only."""

    def __init__(
        self, protections: Sequence[Protection] | None, holds: Callable[[str, Context], bool] | None = None
    ) -> None:
        """`holds` answers for a rule of the policy; without it the file names roles."""
        self._holds = holds
        self.are_set = protections is not None
        own = Protection(re.compile(f"{_OWN_PREFIX}.*"), dict.fromkeys(Action, frozenset({_EVERYBODY})))
        ordered = (own, *(protections or ()))

        @lru_cache(_NAMES_MAX)
        def permissions_of(name: str) -> Permissions | None:
            return next((each.permissions for each in ordered if each.pattern.search(name)), None)

        self._permissions_of = permissions_of

    def allow(self, action: Action, name: str, context: Context) -> bool:
        """The first protection whose pattern fits decides; what none fits is nobody's."""
        if not self.are_set:
            return True
        permissions = self._permissions_of(name)
        allowed = permissions[action] if permissions is not None else frozenset()
        if _NOBODY in allowed:
            return False
        if _EVERYBODY in allowed:
            return True
        if self._holds is not None:
            return any(self._holds(rule, context) for rule in allowed)
        return not allowed.isdisjoint(context.roles | context.service_roles)

    def seen(self, image: Image, context: Context) -> Image:
        """The image without the properties that `context` may not read."""
        if not self.are_set:
            return image
        shown = {name: value for name, value in image.properties.items() if self.allow(Action.READ, name, context)}
        return image if len(shown) == len(image.properties) else replace(image, properties=shown)


def load_protections(path: Path | None, rule_format: RuleFormat, policy: Policy) -> PropertyProtections:
    """Read the file, in the blocking way. The policy keeps the rules that it names. Raises ProtectionFileBroken."""
    if path is None:
        return PropertyProtections(None)
    data = read_operator_file(path, ProtectionFileBroken)
    try:
        protections = _parse(data, rule_format)
    except _Problems as error:
        raise ProtectionFileBroken(path, error.problems) from None
    if rule_format == "roles":
        return PropertyProtections(protections)
    if unknown := policy.keep(_rules_named(protections)):
        raise ProtectionFileBroken(path, [f"the policy has no rule {name!r}" for name in unknown])
    return PropertyProtections(protections, policy.holds)


def _rules_named(protections: Iterable[Protection]) -> set[str]:
    named = {name for each in protections for names in each.permissions.values() for name in names}
    return named - {_EVERYBODY, _NOBODY}


def _parse(data: bytes, rule_format: RuleFormat) -> Sequence[Protection]:
    """Raises _Problems with all that is wrong."""
    parser = configparser.ConfigParser()
    try:
        parser.read_string(data.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise _Problems([f"cannot be parsed: {str(error).splitlines()[0]}"]) from error
    protections, problems = [], []
    for section in parser.sections():
        if section.startswith(_OWN_PREFIX):
            continue
        try:
            permissions = {action: _names(parser, section, action, rule_format) for action in Action}
            protections.append(Protection(re.compile(section), permissions))
        except re.error as error:
            problems.append(f"[{section}] is no regular expression: {error}")
        except configparser.NoOptionError as error:
            problems.append(f"[{section}] lacks {error.option}")
        except configparser.Error as error:
            problems.append(f"[{section}] {str(error).splitlines()[0]}")
        except _Problems as error:
            problems += [f"[{section}] {problem}" for problem in error.problems]
    if problems:
        raise _Problems(problems)
    return protections


def _names(parser: configparser.ConfigParser, section: str, action: Action, rule_format: RuleFormat) -> frozenset[str]:
    text = parser.get(section, action)
    names = frozenset(name.strip() for name in text.split(",")) - {""}
    if rule_format == "policies":
        if "," in text:
            raise _Problems([f"{action}: one policy rule is expected, got {text!r}; rules are combined in the policy"])
        return names
    if {_EVERYBODY, _NOBODY} <= names:
        raise _Problems([f"{action}: '@' (everybody) and '!' (nobody) exclude each other"])
    return frozenset(name.lower() for name in names)
