"""Files of oslo.config as it reads them, each assignment with its place. Pure.

Source: oslo_config/cfg.py, ConfigParser and _Namespace.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from oslo_config import iniparser

DEFAULT = "DEFAULT"


class ConfBroken(Exception):
    """A file is not what oslo.config reads. The line itself is not repeated: it may hold a password."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")


@dataclass(frozen=True, slots=True, order=True)
class Assignment:
    """One option with its value as it stands in a file. `line` is the first one of a continued value."""

    file: str
    line: int
    section: str
    name: str
    text: str = field(repr=False)

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


class _Parser(iniparser.BaseParser):  # type: ignore[misc,unused-ignore]
    def __init__(self, file: str) -> None:
        super().__init__()
        self.found: list[Assignment] = []
        self._file, self._section = file, ""

    def new_section(self, section: str) -> None:
        self._section = normalized(section)

    def assignment(self, key: str, value: list[str]) -> None:
        # It is called at the line after the last one of the value, which has no gap.
        line = self.lineno - len(value)
        if not self._section:
            raise ConfBroken(self._file, line, "expected a section such as [DEFAULT] before the first option")
        self.found.append(Assignment(self._file, line, self._section, key, "\n".join(value)))


def normalized(section: str) -> str:
    """As oslo.config compares sections: by small letters, but for DEFAULT."""
    return section if section == DEFAULT else section.lower()


def parse(text: str, file: str) -> list[Assignment]:
    """All assignments in their order. Raises ConfBroken."""
    parser = _Parser(file)
    try:
        parser.parse([*text.splitlines(keepends=True), "\n"])
    except iniparser.ParseError as error:
        raise ConfBroken(file, error.lineno, error.msg) from None
    return parser.found


class Conf:
    """What all files say together, in the order in which Glance reads them."""

    def __init__(self, files: Iterable[Sequence[Assignment]]) -> None:
        self._files = [list(file) for file in files]

    @property
    def assignments(self) -> list[Assignment]:
        return [assignment for file in self._files for assignment in file]

    def section(self, section: str) -> list[Assignment]:
        return [one for one in self.assignments if one.section == normalized(section)]

    def of(self, names: Iterable[tuple[str, str]]) -> list[Assignment]:
        """All that is said to an option by any of its names."""
        wanted = {(normalized(section), name) for section, name in names}
        return [one for one in self.assignments if (one.section, one.name) in wanted]

    def counting(self, names: Sequence[tuple[str, str]], *, multi: bool = False) -> list[Assignment]:
        """What counts of it: with `multi` everything, else the last of the first name that the last file has."""
        found: list[Assignment] = []
        for file in reversed(self._files):
            for section, name in names:
                said = [one for one in file if (one.section, one.name) == (normalized(section), name)]
                if said and not multi:
                    return said[-1:]
                found = said + found
        return found
