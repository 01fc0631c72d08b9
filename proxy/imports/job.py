"""Imports: data from where the method says, into one store after another, and an image that shows how far it is.

The data are staged first, so that every store gets the same; only a copy is read where it lies. The image is changed
under the import lock alone. Source: glance/async_/flows/api_image_import.py.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from proxy.api import import_requests
from proxy.api.validation_data import HASHING_ALGORITHM
from proxy.errors import RequestError
from proxy.examination import Examination, verifier_of
from proxy.imports.image_copies import copied
from proxy.imports.plan import ImportPlan
from proxy.imports.plugins import PLUGINS, Subject
from proxy.imports.progress import ImportProgress
from proxy.imports.remote_images import RemoteImage
from proxy.imports.tools import ImportTools
from proxy.imports.undo import ImportUndo
from proxy.quotas import StorageLimit
from proxy.tasks import Progress, TaskFailed
from upstream.errors import Conflict, NotFound, UpstreamError
from upstream.registry import STAGE_HOST, Ceiling, ImageChanges, Lock
from upstream.stores import Stored
from upstream.types import GLINT, Context, Image, Status, Task, TaskStatus

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024


class _LockLost(Exception):
    """The image was deleted, or another task took it over: nothing of it is ours any more."""


class ImportJob:
    """A `proxy.tasks.Job`."""

    TASK_TYPE = "api_image_import"

    def __init__(
        self,
        tools: ImportTools,
        task: Task,
        context: Context,
        progress: ImportProgress | None,
        *,
        uri: str | None = None,
        stale: str | None = None,
        has_record: bool = False,
    ) -> None:
        self._has_record = has_record
        self._do, self._task, self._context, self._stale, self._uri = tools, task, context, stale, uri
        self._plan = ImportPlan.of(task)
        self._image_id = self._plan.image_id
        self._progress = progress
        self._refusing: list[str] | None = None  # the stores whose failure ended it; None: all of them
        self._remote: RemoteImage | None = None
        self._digest: str | None = None
        self._limit: StorageLimit | None = None
        self._columns: Mapping[str, Any] = {}  # what plugins made of the image, which it is with its first store

    @property
    def task(self) -> Task:
        return self._task

    async def claim(self) -> None:
        assert self._progress is not None
        columns = {} if self._plan.copies else {"status": Status.IMPORTING}
        changes = ImageChanges(
            columns=columns, set_properties=self._progress.properties(), removed_properties=(STAGE_HOST,)
        )
        before = (import_requests.STATUS_BEFORE[self._plan.name],)
        ceiling = await self._do.quotas.uploading(self._context) if before == (Status.QUEUED,) else None
        lock = Lock.take(self._task, stale=self._stale)
        lock = replace(lock, record=None) if self._has_record else lock
        await self._do.registry.images.update(
            GLINT, self._image_id, changes, from_status=before, ceiling=ceiling, lock=lock
        )
        if self._stale is not None:
            await self._bury(self._stale)

    async def _bury(self, task_id: str) -> None:
        """Whoever waits for the task that had the lock shall see that it failed; that is no reason for us to fail."""
        expires_at = datetime.now(UTC) + timedelta(hours=self._do.config.task_time_to_live_h)
        try:
            await self._do.registry.tasks.end(
                task_id, TaskStatus.FAILURE, expires_at=expires_at, message="Expired lock preempted"
            )
        except UpstreamError as error:
            log.info("import.stale_task_left", task=task_id, error=type(error).__name__)

    async def run(self, progress: Progress) -> Mapping[str, Any]:
        image = await self._do.registry.images.get(GLINT, self._image_id)
        image, size_bytes = await self._prepare(image)
        for number, store in enumerate(self._plan.stores, start=1):
            activates = not self._plan.copies and (not self._plan.must_succeed or number == len(self._plan.stores))
            try:
                await self._import_into(store, image, size_bytes, progress, activates=activates)
            except (UpstreamError, RequestError, TaskFailed) as error:
                if self._plan.must_succeed:
                    self._refusing = [store] if not self._plan.downloads else None
                    raise
                await self._skip(store, error)
        if not self._plan.copies:
            await self._do.staging.remove(self._image_id)
        if (await self._do.registry.images.get(GLINT, self._image_id)).status is not Status.ACTIVE:
            raise TaskFailed("None of the uploads finished!")
        return {"image_id": self._image_id}

    async def _prepare(self, image: Image) -> tuple[Image, int]:
        """Bring the data to where the stores get them from: the image as it then is, and their size."""
        if self._plan.copies:
            self._limit = await self._do.quotas.storage(self._context)
            return image, image.size_bytes or 0
        if self._plan.name == import_requests.WEB_DOWNLOAD:
            await self._do.quotas.check_staging(self._context)
            async with self._do.web.read(self._uri or "") as chunks:
                await self._stage(chunks)
        elif self._plan.name == import_requests.GLANCE_DOWNLOAD:
            image = await self._fetch_remote(image)
        self._limit = await self._do.quotas.storage(self._context)
        image = await self._plug_in(image)
        size_bytes = await self._do.staging.size(self._image_id)
        await self._do.quotas.check_size(self._context, size_bytes)
        return image, size_bytes

    async def _plug_in(self, image: Image) -> Image:
        """Let the plugins do their work; tasks of the type `import` have none."""
        names = () if self._has_record else self._do.config.import_plugins
        if names and self._remote is not None:
            await self._prove_remote()
        for name in names:
            limit_bytes: int = self._do.config.image_size_cap
            if self._limit is not None:
                limit_bytes = min(limit_bytes, await self._do.quotas.room_bytes(self._limit, image.id, None))
            subject = Subject(
                context=self._context,
                image=image,
                staging=self._do.staging,
                limit_bytes=limit_bytes,
                config=self._do.config,
            )
            changes = await PLUGINS[name](subject)
            if changes.set_properties:
                await self._change(ImageChanges(set_properties=changes.set_properties))
            self._columns = {**self._columns, **changes.columns}
            image = replace(image, **changes.columns)
        return image

    async def _prove_remote(self) -> None:
        """Before plugins make other data of it. Raises TaskFailed."""
        assert self._remote is not None
        digest = hashlib.sha512()
        async with self._do.staging.read(self._image_id) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(digest.update, chunk)
        self._compare(self._remote.sha512, digest.hexdigest())

    async def _fetch_remote(self, image: Image) -> Image:
        self._remote = await RemoteImage.found(self._do.glances, self._context.token, self._plan.method)
        await self._do.quotas.check_staging(self._context, self._remote.size_bytes)
        changes = self._remote.changes(image, self._do.config.glance_download_properties)
        image = await self._change(changes)
        async with self._remote.data() as chunks:
            await self._stage(chunks)
        return image

    async def _stage(self, chunks: AsyncIterator[bytes]) -> None:
        limit_bytes = self._do.config.image_size_cap
        await self._do.staging.remove(self._image_id)  # what an earlier crash left
        async with aclosing(_limited(chunks, limit_bytes)) as limited:
            await self._do.staging.write(self._image_id, limited, None)

    async def _import_into(
        self, store: str, image: Image, size_bytes: int, progress: Progress, *, activates: bool
    ) -> None:
        """Raises UpstreamError, RequestError; _LockLost when nothing can be done any more."""
        examination = Examination(image, size_bytes, self._do.config)
        examination.verifier = await verifier_of(image, self._do.keys, self._context)
        if self._limit is not None:
            examination.room_bytes = await self._do.quotas.room_bytes(self._limit, image.id, size_bytes)
        async with (
            self._source(image) as data,
            aclosing(examination.passed_on(_watched(data, progress))) as chunks,
        ):
            stored = await self._do.stores.write(image.id, chunks, size_bytes, store)
        try:
            self._check_digest(image, examination.columns())
            await self._keep(store, stored, {} if self._plan.copies else examination.columns(), activates=activates)
        except BaseException:
            await self._discard(stored)
            raise

    def _check_digest(self, image: Image, columns: Mapping[str, Any]) -> None:
        """That every store gets the same, and that it is what the image says or its origin. Raises TaskFailed."""
        said = None
        if self._plan.copies:
            self._compare(image.checksum, columns["checksum"])
            said = image.os_hash_value if image.os_hash_algo == HASHING_ALGORITHM else None
        if self._remote is not None and not self._do.config.import_plugins:
            said = self._remote.sha512
        self._compare(self._digest or said, columns["os_hash_value"])
        self._digest = columns["os_hash_value"]

    def _compare(self, expected: str | None, digest: str) -> None:
        if expected is not None and expected.lower() != digest:
            raise TaskFailed("The data are not those that the image's digest is of.")

    @asynccontextmanager
    async def _source(self, image: Image) -> AsyncIterator[AsyncIterator[bytes]]:
        if self._plan.copies:
            async with copied(self._do, await self._do.registry.images.get(GLINT, image.id)) as chunks:
                yield chunks
        else:
            async with self._do.staging.read(image.id) as chunks:
                yield chunks

    async def _keep(self, store: str, stored: Stored, columns: Mapping[str, Any], *, activates: bool) -> None:
        assert self._progress is not None
        self._progress.took(store)
        status = {"status": Status.ACTIVE} if activates else {}
        changes = ImageChanges(
            columns={**self._columns, **columns, **status},
            set_properties=self._progress.properties(),
            added_locations=(stored.location,),
        )
        ceiling = None
        if self._limit is not None:
            copies = len((await self._do.registry.images.get(GLINT, self._image_id)).locations) + 1
            ceiling = self._limit.ceiling(stored.size_bytes * copies)
        await self._change(changes, ceiling=ceiling)
        log.info("import.stored", image=self._image_id, size_bytes=stored.size_bytes, store=store)

    async def _skip(self, store: str, error: Exception) -> None:
        """The others may still take it."""
        assert self._progress is not None
        log.warning("import.store_failed", image=self._image_id, store=store, reason=str(error))
        self._progress.refused([store])
        await self._change(ImageChanges(set_properties=self._progress.properties()))

    async def _change(self, changes: ImageChanges, *, ceiling: Ceiling | None = None) -> Image:
        lock = Lock.hold(self._task.id)
        try:
            return await self._do.registry.images.update(GLINT, self._image_id, changes, ceiling=ceiling, lock=lock)
        except (NotFound, Conflict) as error:
            raise _LockLost(str(error)) from error

    async def _discard(self, stored: Stored) -> None:
        """Remove data that the image does not point at. If nobody can tell, they stay."""
        try:
            now = await self._do.registry.images.get(GLINT, self._image_id)
            if any(location.url == stored.location.url for location in now.locations):
                return
        except NotFound:
            log.info("import.image_gone", image=self._image_id)
        except UpstreamError as error:
            log.error("import.undecided", image=self._image_id, error=type(error).__name__)
            return
        await self._do.delete(self._image_id, stored.location)

    async def undo(self) -> None:
        restored = ImageChanges() if self._remote is None else self._remote.undone()
        await ImportUndo(self._do, self._task, self._plan).undo(self._refusing, restored)

    async def release(self) -> None:
        try:
            lock = Lock.drop(self._task.id)
            await self._do.registry.images.update(GLINT, self._image_id, ImageChanges(), lock=lock)
        except (NotFound, Conflict):
            log.info("import.lock_gone", image=self._image_id, task=self._task.id)


async def _limited(chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncGenerator[bytes]:
    got_bytes = 0
    async for chunk in chunks:
        got_bytes += len(chunk)
        if got_bytes > limit_bytes:
            raise TaskFailed(f"The image has more than the {limit_bytes} bytes that are allowed.")
        yield chunk


async def _watched(chunks: AsyncIterator[bytes], progress: Progress) -> AsyncGenerator[bytes]:
    """The same chunks, in pieces of about 1 MiB: each costs the waking of threads."""
    got_bytes = 0
    parts: list[bytes] = []
    pending_bytes = 0
    async for chunk in chunks:
        got_bytes += len(chunk)
        parts.append(chunk)
        pending_bytes += len(chunk)
        if pending_bytes >= _MIB:
            yield parts[0] if len(parts) == 1 else b"".join(parts)
            parts, pending_bytes = [], 0
        progress.message = f"Copied {got_bytes // _MIB} MiB"
    if parts:
        yield b"".join(parts)
