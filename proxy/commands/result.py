"""What became of one image on one node."""

from dataclasses import dataclass
from typing import Any

from cache import CacheStatus
from proxy.commands.node import ImageInfo, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`was_there`: nothing had to be fetched."""

    node: Node
    image: ImageInfo
    status: CacheStatus | None
    error: str | None
    was_there: bool
    duration_s: float

    def document(self) -> dict[str, Any]:
        return {
            "node": self.node.url,
            "id": self.image.id,
            "name": self.image.name,
            "ok": self.error is None,
            "state": self.status.state if self.status else None,
            "digest": self.status.digest if self.status else None,
            "size_bytes": self.image.size_bytes,
            "present_bytes": self.status.present_bytes if self.status else None,
            "pinned": bool(self.status and self.status.pinned),
            "fetched": self.error is None and not self.was_there,
            "duration_s": round(self.duration_s, 3),
            "error": self.error,
        }
