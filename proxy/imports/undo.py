"""An import undone: the image as after a failure, and no data left that no image points at.

It may have been cut off anywhere, by a kill also, so what is there is looked at first. Everything may be done twice.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from proxy.imports.plan import ImportPlan
from proxy.imports.progress import ImportProgress
from proxy.imports.tools import ImportTools
from upstream.errors import Conflict, NotFound, NotSupported
from upstream.registry import IMPORT_LOCK, ImageChanges, Lock
from upstream.types import GLINT, Image, Location, Status, Task

log = structlog.get_logger(__name__)

_UNKNOWN: Mapping[str, None] = dict.fromkeys(("size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"))


class ImportUndo:
    """Touches the image only while the task has its import lock."""

    def __init__(self, tools: ImportTools, task: Task, plan: ImportPlan) -> None:
        self._do, self._task, self._plan = tools, task, plan

    async def undo(self, refusing: Sequence[str] | None, restored: ImageChanges) -> None:
        """`refusing` are the stores whose failure ended it, None for all; `restored` gives back what was taken over."""
        try:
            image = await self._do.registry.images.get(GLINT, self._plan.image_id)
        except NotFound:
            await self._clean(())
            return
        if image.properties.get(IMPORT_LOCK) != self._task.id:
            return
        progress = ImportProgress.of(image)
        progress.refused(self._plan.stores if refusing is None else refusing)
        removed = self._to_remove(image)
        if image.status is Status.ACTIVE and not removed:
            progress = ImportProgress(failed=progress.failed - {location.store or "" for location in image.locations})
        progress.importing.clear()
        await self._set_back(image, progress, removed, restored)
        for location in removed:
            await self._do.delete(image.id, location)
        await self._clean([location for location in image.locations if location not in removed])

    def _to_remove(self, image: Image) -> Sequence[Location]:
        """The locations that the task made, unless its work was done or some of it is enough."""
        made = [location for location in image.locations if location.store in self._plan.stores]
        is_done = {location.store for location in made}.issuperset(self._plan.stores)
        if not self._plan.must_succeed or is_done or (image.status is Status.ACTIVE and not self._plan.copies):
            return () if image.status is Status.ACTIVE else made
        return made

    async def _set_back(
        self, image: Image, progress: ImportProgress, removed: Sequence[Location], restored: ImageChanges
    ) -> None:
        columns = dict(restored.columns)
        if image.status is Status.IMPORTING:
            columns |= {"status": Status.QUEUED, **_UNKNOWN}
        changes = ImageChanges(
            columns=columns,
            set_properties={**restored.set_properties, **progress.properties()},
            removed_properties=restored.removed_properties,
            removed_locations=[location.id for location in removed if location.id is not None],
        )
        try:
            await self._do.registry.images.update(GLINT, image.id, changes, lock=Lock.hold(self._task.id))
        except (NotFound, Conflict):
            log.info("import.image_gone", image=image.id)

    async def _clean(self, kept: Sequence[Location]) -> None:
        """Leave no data behind that no image points at, also if the process died between a store and the registry."""
        if not self._plan.copies:
            await self._do.staging.remove(self._plan.image_id)
        having = {location.store for location in kept}
        for store in self._plan.stores:
            if store not in having:
                with suppress(NotSupported):  # who may write nothing there has left nothing
                    await self._do.stores.remove_leftover(self._plan.image_id, store, kept)
