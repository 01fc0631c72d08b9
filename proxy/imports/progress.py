"""What an image shows of an import: the stores it is on its way into, and those that did not take it. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from upstream.types import Image

IMPORTING = "os_glance_importing_to_stores"
FAILED = "os_glance_failed_import"


def listed(stores: Collection[str]) -> str:
    return ",".join(sorted(stores))


def stores_in(image: Image, name: str) -> set[str]:
    return {store for store in (image.properties.get(name) or "").split(",") if store}


@dataclass(slots=True)
class ImportProgress:
    """Changed by its one task, which has the import lock. A copy of what the image shows."""

    importing: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    @classmethod
    def begin(cls, image: Image, stores: Collection[str]) -> "ImportProgress":
        """What an earlier import left is no more: nobody else works on the image."""
        return cls(importing=set(stores), failed=stores_in(image, FAILED) - set(stores))

    @classmethod
    def of(cls, image: Image) -> "ImportProgress":
        return cls(importing=stores_in(image, IMPORTING), failed=stores_in(image, FAILED))

    def took(self, store: str) -> None:
        self.importing.discard(store)

    def refused(self, stores: Collection[str]) -> None:
        self.importing -= set(stores)
        self.failed |= set(stores)

    def properties(self) -> Mapping[str, str]:
        return {IMPORTING: listed(self.importing), FAILED: listed(self.failed)}
