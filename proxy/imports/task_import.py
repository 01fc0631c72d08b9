"""The older way to import, a task of the type `import`: it makes the image, and then imports into it from the web.

The image has the task's own id, so that whoever finds the record of a dead task knows which image is to be undone.
Source: glance/async_/flows/base_import.py; of the steps that it may be set up with (conversion, OVF) there are none.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from proxy.api.import_requests import WEB_DOWNLOAD
from proxy.imports.job import ImportJob
from proxy.imports.progress import ImportProgress
from proxy.imports.tools import ImportTools
from proxy.tasks import Progress, TaskFailed
from upstream.errors import NotFound
from upstream.registry import Ceiling
from upstream.types import GLINT, Context, Image, Task


class TaskImport:
    """A `proxy.tasks.Job`. A task whose input describes no `image` has the reason instead, and fails for it."""

    TASK_TYPE = "import"

    def __init__(
        self, tools: ImportTools, task: Task, context: Context, image: Image | str, ceiling: Ceiling | None = None
    ) -> None:
        self._do, self._task, self._context, self._image, self._ceiling = tools, task, context, image, ceiling
        self._inner: ImportJob | None = None

    @property
    def task(self) -> Task:
        return self._task

    async def claim(self) -> None:
        await self._do.registry.tasks.create(self._task)

    async def run(self, progress: Progress) -> Mapping[str, Any] | None:
        if isinstance(self._image, str):
            raise TaskFailed(self._image)
        store = next((info.id for info in self._do.stores.infos() if info.is_default), None)
        if store is None:
            raise TaskFailed("There is no default store.")
        image = await self._do.registry.images.create(self._context, self._image, ceiling=self._ceiling)
        inner = self._inner_job(image, store)
        await inner.claim()
        self._inner = inner
        return await inner.run(progress)

    def _inner_job(self, image: Image, store: str) -> ImportJob:
        uri = str((self._task.input or {}).get("import_from"))
        method = {"name": WEB_DOWNLOAD}
        task_input = {"image_id": image.id, "import_req": {"method": method}, "backend": [store]}
        task = replace(self._task, image_id=image.id, input=task_input)
        return ImportJob(self._do, task, self._context, ImportProgress.begin(image, [store]), uri=uri, has_record=True)

    async def undo(self) -> None:
        """The image goes, as it came with the task; a crash may have come before it knew its store."""
        if self._inner is None:
            stores = [info.id for info in self._do.stores.infos() if info.is_default]
            task_input = {"import_req": {"method": {"name": WEB_DOWNLOAD}}, "backend": stores}
            task = replace(self._task, image_id=self._task.id, input=task_input)
            self._inner = ImportJob(self._do, task, GLINT, None)
        await self._inner.undo()
        with suppress(NotFound):
            await self._do.registry.images.delete(GLINT, self._task.id)

    async def release(self) -> None:
        if self._inner is not None:
            await self._inner.release()
