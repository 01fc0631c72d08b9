"""Who makes the jobs of imports (`job.py`), and keeps the staging folder clean."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog

from proxy.api import import_requests
from proxy.api.import_requests import ImportRequest
from proxy.imports.job import ImportJob
from proxy.imports.progress import ImportProgress
from proxy.imports.tools import ImportTools
from proxy.tasks import new_task
from upstream.errors import NotFound, UpstreamError
from upstream.registry import IMPORT_LOCK
from upstream.stores import redacted
from upstream.types import GLINT, Context, Image, Status, Task

log = structlog.get_logger(__name__)


class Importer:
    """One for all imports of a process."""

    def __init__(self, tools: ImportTools) -> None:
        self.tools = tools

    async def check_uri(self, uri: str) -> None:
        """Whether web-download may ask it. Raises Denied, Invalid."""
        await self.tools.web.check(uri)

    def job(
        self, context: Context, image: Image, request: ImportRequest, stores: Sequence[str], *, stale: str | None = None
    ) -> ImportJob:
        document = dict(import_requests.with_defaults(request))
        if request.uri is not None:
            document["method"] = {**document["method"], "uri": _shown(request.method["uri"])}
        task_input = {"image_id": image.id, "import_req": document, "backend": list(stores)}
        task = new_task(ImportJob.TASK_TYPE, context, image.id, task_input)
        return ImportJob(self.tools, task, context, ImportProgress.begin(image, stores), uri=request.uri, stale=stale)

    def recovered(self, task: Task) -> ImportJob:
        """Of a record whose process is gone: to be undone and released, not run."""
        return ImportJob(self.tools, task, GLINT, None)

    async def clean_staging(self) -> None:
        """Remove staged data that nobody wants any more: their image is gone, or a process died too early to do it."""
        try:
            await self.tools.staging.clean(self.is_staged_for)
        except UpstreamError as error:
            log.warning("staging.not_cleaned", error=type(error).__name__)

    async def is_staged_for(self, image_id: str) -> bool:
        """Whether somebody may still want the staged data of this image."""
        try:
            image = await self.tools.registry.images.get(GLINT, image_id)
        except NotFound:
            return False
        return image.status in {Status.UPLOADING, Status.IMPORTING} or IMPORT_LOCK in image.properties


def _shown(uri: str) -> str:
    """As the record of the task has it, which others may read than who knows the password."""
    try:
        return redacted(uri) if "@" in urlsplit(uri).netloc else uri
    except ValueError:
        return redacted(uri)
