"""glance-api-paste.ini: which filters a request passes, and what is said to them. Pure.

Source: glance/api/__init__.py; keystonemiddleware/_common/config.py, where the file's options win.
"""

from collections.abc import Sequence

from proxy.config_import.conf import Assignment, parse

_PLAIN = "default"


class Paste:
    """One such file, of any release: pipelines stand in sections of their own, or as options of [composite:api]."""

    def __init__(self, assignments: Sequence[Assignment]) -> None:
        self._said = {(one.section, one.name): one for one in assignments}

    def pipeline(self, flavor: str) -> Assignment | None:
        """What names the filters; None where the file has no such flavor."""
        app = f"glance-api-{flavor}" if flavor else "glance-api"
        return self._said.get((f"pipeline:{app}", "pipeline")) or self._said.get(("composite:api", flavor or _PLAIN))

    def filters(self, flavor: str) -> list[str]:
        """Without the application at the end."""
        pipeline = self.pipeline(flavor)
        return pipeline.text.split()[:-1] if pipeline else []

    def factory(self, name: str) -> str:
        """The code of a filter, such as oslo_middleware.cors:filter_factory."""
        said = self._said.get((f"filter:{name}".lower(), "paste.filter_factory"))
        return said.text if said else ""

    def option(self, section: str, name: str) -> Assignment | None:
        """Of a filter or an application, such as filter:authtoken."""
        return self._said.get((section, name))


def parse_paste(text: str, file: str) -> Paste:
    """Raises ConfBroken."""
    return Paste(parse(text, file))
