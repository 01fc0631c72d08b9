"""Where the options of one store stand, and where they go. Pure."""

from dataclasses import dataclass
from typing import Any

from proxy.config_import.conf import DEFAULT
from proxy.config_import.options import TEXT, Option
from proxy.config_import.outcomes import Key

SECTION = "glance_store"


def option(name: str, kind: Any = TEXT, default: str | None = None) -> Option:
    return Option(SECTION, name, kind, older=((DEFAULT, name),), default=default)


@dataclass(frozen=True, slots=True)
class Place:
    """One store: the section of its options, and where it goes in Glint's configuration. `is_named`: rows name it."""

    section: str
    key: Key
    is_named: bool

    def at(self, option: Option) -> Option:
        return option.within(self.section) if self.is_named else option
