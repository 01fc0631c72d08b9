"""What becomes of an assignment. Everything that is said in a file is in one of these."""

from dataclasses import dataclass, field
from typing import Any

from proxy.config_import.conf import Assignment

Key = tuple[str, ...]  # of Glint's configuration; an id of a store may contain a dot


class Octal(int):
    """A file mode, which config.yaml writes as 0640."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """`said` is empty where it is Glance's default that is taken over; `note` then says of what."""

    key: Key
    value: Any = field(repr=False)
    said: tuple[Assignment, ...]
    note: str | None = None
    secret: bool = False

    @property
    def dotted(self) -> str:
        return ".".join(self.key)


@dataclass(frozen=True, slots=True)
class Dropped:
    """No counterpart, and Glint does as well without it."""

    said: tuple[Assignment, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Failing:
    """Glint would not do what that Glance did: images, access or protection would be missing."""

    said: tuple[Assignment, ...]
    reason: str


Outcome = Mapped | Dropped | Failing
