"""The form of a row of the table: which options it reads, and what becomes of them. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from proxy.config_import.options import BadValue, Option, Source
from proxy.config_import.outcomes import Dropped, Failing, Key, Mapped, Outcome
from proxy.config_import.paste import Paste


class Surroundings(Protocol):
    """What lies beside the files that are imported."""

    def find(self, name: str) -> Path | None:
        """A file by its name, or path relative to one of the folders in which Glance looks; absolute paths as well."""

    def read(self, path: Path) -> str | None:
        """Its text; None if it cannot be read."""

    def files_in(self, name: str) -> list[Path]:
        """What a folder that is found like a file holds; nothing where there is none."""


@dataclass(frozen=True, slots=True)
class Import:
    """What rows decide by."""

    source: Source
    beside: Surroundings
    paste: Paste | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """`patterns` are names of further options (section, name; * stands for anything) that `reason` is said of."""

    options: tuple[Option, ...] = ()
    decide: Callable[[Import], Iterator[Outcome]] = field(default=lambda _: iter(()))
    patterns: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    def covers(self, section: str, name: str) -> bool:
        return any(fnmatchcase(section, wanted) and fnmatchcase(name, pattern) for wanted, pattern in self.patterns)


def same(
    option: Option,
    key: str,
    convert: Callable[[Any], Any] = lambda value: value,
    *,
    carry: bool = False,
    secret: bool = False,
) -> Row:
    """A key that means what the option means. With `carry`, Glance's default is written where nothing is given.

    `convert` raises BadValue.
    """

    def decide(work: Import) -> Iterator[Outcome]:
        yield from mapped(work.source, option, tuple(key.split(".")), convert, carry=carry, secret=secret)

    return Row(options=(option,), decide=decide)


def mapped(
    source: Source,
    option: Option,
    key: Key,
    convert: Callable[[Any], Any] = lambda value: value,
    *,
    carry: bool = False,
    secret: bool = False,
) -> Iterator[Outcome]:
    given = source.get(option)
    try:
        if given is not None:
            yield Mapped(key, convert(given.value), given.said, secret=secret)
        elif carry:
            yield Mapped(key, convert(source.value(option)), (), by_default(option))
    except BadValue as error:
        yield Failing(given.said if given else (), str(error))


def by_default(option: Option) -> str:
    return f"Glance's default of {option}"


def gone(reason: str, *names: tuple[str, str]) -> Row:
    """Options without a counterpart, by section and name or pattern, that nothing is lost with."""
    return Row(patterns=names, reason=reason)


def dropped(reason: str, *options: Option) -> Row:
    """The same for options that have older names, or that values of other options refer to."""

    def decide(work: Import) -> Iterator[Outcome]:
        for option in options:
            if said := work.source.said(option):
                yield Dropped(said, reason)

    return Row(options=options, decide=decide)


def choice(values: Mapping[str, Any]) -> Callable[[str], Any]:
    """Reads one of these words, whatever its case."""

    def read(text: str) -> Any:
        try:
            return values[text.lower()]
        except KeyError:
            raise BadValue(f"expected one of {', '.join(values)}; left out") from None

    return read
