"""What is made of a text, without files: what lies beside it is given by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.config_import.conf import parse
from proxy.config_import.importing import Imported, carry_over
from proxy.config_import.outcomes import Dropped, Failing
from proxy.config_import.paste import parse_paste

NAME = "glance-api.conf"
FOLDER = Path("/etc/glance")
UNASKED = {"server.host", "server.workers", "api.cache_api", "api.staging_dir", "auth.kind"}
"""Keys that are written whatever the files say."""


class Beside:
    """`files` by their names in `FOLDER`; a name that ends in / is a folder's."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = {str(FOLDER / name): text for name, text in files.items()}

    def find(self, name: str) -> Path | None:
        path = str(FOLDER / name)
        return Path(path) if any(each == path or each.startswith(f"{path}/") for each in self._files) else None

    def read(self, path: Path) -> str | None:
        return self._files.get(str(path))

    def files_in(self, name: str) -> list[Path]:
        return sorted(Path(each) for each in self._files if each.startswith(f"{FOLDER / name}/"))


@dataclass(frozen=True, slots=True)
class Outcome:
    imported: Imported

    @property
    def values(self) -> dict[str, Any]:
        """By dotted key, what comes of the files: not what is written in any case."""
        return {one.dotted: one.value for one in self.imported.mapped if one.said}

    @property
    def assumed(self) -> dict[str, Any]:
        return {one.dotted: one.value for one in self.imported.mapped if not one.said}

    def reasons(self, name: str) -> list[str]:
        """Why an option has no counterpart, or would not work."""
        told: list[Dropped | Failing] = [*self.imported.dropped, *self.imported.failing]
        return [one.reason for one in told if any(said.name == name for said in one.said)]

    @property
    def failing(self) -> list[str]:
        return [one.reason for one in self.imported.failing]


def imported(*texts: str, beside: Mapping[str, str] | None = None, paste: str | None = None) -> Outcome:
    """`texts` are files in the order of reading."""
    files = [parse(text, f"{NAME}{number or ''}") for number, text in enumerate(texts)]
    found = parse_paste(paste, "glance-api-paste.ini") if paste is not None else None
    return Outcome(carry_over(files, Beside(beside or {}), found))
