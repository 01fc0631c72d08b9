"""A real `glint registry serve` in a process of its own, and what a Glint is told to use it.

with RegistryService(tmp_path / "registry") as service, Glint(tmp_path / "glint", service.settings_of_clients) as glint:
    ...
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.glint import Glint
from tests.tables import sqlite_url

KEY = "f00dcafe" * 4


class RegistryService(Glint):
    """`settings` are laid over a SQLite database in `directory`; ports and the rest are as with `Glint`."""

    def __init__(self, directory: Path, settings: Mapping[str, Any] | None = None, *, key: str = KEY) -> None:
        super().__init__(directory, settings, name="registry")
        self.key = key

    @property
    def settings_of_clients(self) -> dict[str, Any]:
        return {"registry": {"kind": "remote", "remote": {"url": self.url, "key": self.key}}}

    def _defaults(self) -> dict[str, Any]:
        service = {"port": self.port, "drain_s": 5, "metrics": {"port": self.metrics_port}}
        return {
            "registry": {
                "url": sqlite_url(self.directory / "registry.db"),
                "remote": {"key": self.key},
                "service": service,
            },
            "logging": {"level": "debug", "format": "json"},
        }

    @property
    def _arguments(self) -> Sequence[str | Path]:
        return ("registry", "serve", "--config", self.config_path)
