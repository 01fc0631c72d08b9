"""Options of Glance, and how their values are read. Pure.

Source: oslo_config/types.py, whose types convert here too; oslo_config/cfg.py, ConfigOpts._substitute.
"""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from oslo_config import types

from proxy.config_import.conf import DEFAULT, Assignment, Conf, normalized
from proxy.config_import.outcomes import Dropped, Failing, Outcome

Name = tuple[str, str]  # section and option
_NOT_SET = "<None>"
_DEPTH_MAX = 16


class BadValue(ValueError):
    """A value that its option cannot have. Says what was expected, never what was there."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`read` raises ValueError."""

    expected: str
    read: Callable[[str], Any]
    multi: bool = False


def _items(text: str) -> list[str]:
    # Some of Glance's lists need brackets and others must have none; what is meant is plain in each case.
    bare = text.strip()
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1]
    return [item for item in types.List(types.String(quotes=True))(bare) if item]


TEXT = Kind("a text", str)
BOOLEAN = Kind("true or false", types.Boolean())
INTEGER = Kind("a whole number", types.Integer())
NUMBER = Kind("a number", types.Float())
ITEMS = Kind("a list such as a,b", _items)
PAIRS = Kind("pairs such as a:1,b:2", types.Dict())
MANY = Kind("a text", str, multi=True)


@dataclass(frozen=True, slots=True)
class Option:
    """`older` are its other names, by which it was known once. `default` is Glance's, as it would stand in a file."""

    section: str
    name: str
    kind: Kind = TEXT
    older: tuple[Name, ...] = ()
    default: str | None = None

    @property
    def names(self) -> tuple[Name, ...]:
        return ((self.section, self.name), *self.older)

    def within(self, section: str) -> "Option":
        """The same option of another section, by the names that it has in its own."""
        older = tuple((section, name) for place, name in self.older if place == self.section)
        return replace(self, section=section, older=older)

    def __str__(self) -> str:
        return f"[{self.section}] {self.name}"


@dataclass(frozen=True, slots=True)
class Given:
    value: Any
    said: tuple[Assignment, ...]


class _Template(string.Template):
    idpattern = r"[_a-z][\._a-z0-9]*"


class Source:
    """What the files say, option by option. What was wrong with values is in `found`."""

    def __init__(self, conf: Conf, known: Mapping[Name, Option]) -> None:
        self.conf, self.found = conf, list[Outcome]()
        self._known = known
        self._told: set[Assignment] = set()

    def get(self, option: Option) -> Given | None:
        """What counts of it, converted; None where it is not given, or is no value of its kind."""
        said = self.conf.counting(option.names, multi=option.kind.multi)
        if not said:
            return None
        if said[-1].text == _NOT_SET:
            self._tell(Dropped(tuple(said), "stands for a value that is not set; taken as not given"))
            return None
        try:
            values = [option.kind.read(self._substituted(one.text, option.section)) for one in said]
        except BadValue as error:
            self._tell(Failing(tuple(said), str(error)))
            return None
        except ValueError:
            self._tell(Failing(tuple(said), f"expected {option.kind.expected}; left out"))
            return None
        return Given(values if option.kind.multi else values[-1], tuple(said))

    def value(self, option: Option) -> Any:
        """What is in force: as given, else by Glance's default, else None."""
        if given := self.get(option):
            return given.value
        if option.default is None:
            return None
        value = option.kind.read(option.default)
        return [value] if option.kind.multi else value

    def said(self, option: Option) -> tuple[Assignment, ...]:
        given = self.get(option)
        return given.said if given else ()

    def _tell(self, outcome: Dropped | Failing) -> None:
        if not self._told.issuperset(outcome.said):
            self._told.update(outcome.said)
            self.found.append(outcome)

    def _substituted(self, text: str, section: str, depth: int = 0) -> str:
        if depth > _DEPTH_MAX:
            raise BadValue("its variables stand for one another without an end; left out")
        return _Template(text.replace(r"\$", "$$")).safe_substitute(_Variables(self, section, depth))

    def variable(self, name: str, section: str, depth: int) -> str:
        """What `$name` stands for in a value of `section`: a known option's value, else what any other is given.

        Raises BadValue, and ValueError if the option has a value that is none of its kind.
        """
        group, dot, rest = name.partition(".")
        places = [(group, rest)] if dot else []
        places += [(section, name), (DEFAULT, name)]
        for place in places:
            if option := self._known.get((normalized(place[0]), place[1])):
                return self._of_known(option, depth)
        for place in places:
            if said := self.conf.counting([place]):
                return self._substituted(said[-1].text, said[-1].section, depth + 1)
        # The name is not repeated: it may be the part of a password after a dollar sign.
        raise BadValue("it holds a $variable of which no option is given ($$ is a dollar sign); left out")

    def _of_known(self, option: Option, depth: int) -> str:
        if said := self.conf.counting(option.names):
            return str(option.kind.read(self._substituted(said[-1].text, option.section, depth + 1)))
        return "" if option.default is None else str(option.kind.read(option.default))


class _Variables(dict[str, str]):
    def __init__(self, source: Source, section: str, depth: int) -> None:
        super().__init__()
        self._source, self._section, self._depth = source, section, depth

    def __missing__(self, name: str) -> str:
        return self._source.variable(name, self._section, self._depth)
