"""What an import task is to do, as its record says it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from proxy.api import import_requests
from upstream.types import Task

_DOWNLOADS = frozenset({import_requests.WEB_DOWNLOAD, import_requests.GLANCE_DOWNLOAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    image_id: str
    method: Mapping[str, Any]
    name: str
    stores: Sequence[str]
    must_succeed: bool

    @classmethod
    def of(cls, task: Task) -> Self:
        """A record that another service wrote may lack anything; what is undone for it is then as little as can be."""
        said = task.input or {}
        document = said.get("import_req") or {}
        method = document.get("method") or {}
        return cls(
            image_id=str(task.image_id),
            method=method,
            name=str(method.get("name")),
            stores=[store for store in said.get("backend") or () if isinstance(store, str)],
            must_succeed=bool(document.get("all_stores_must_succeed", True)),
        )

    @property
    def copies(self) -> bool:
        return self.name == import_requests.COPY_IMAGE

    @property
    def downloads(self) -> bool:
        return self.name in _DOWNLOADS
