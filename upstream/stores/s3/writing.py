"""One image's way into the bucket: in one request or in parts, and nothing left of it when it fails."""

import asyncio
import secrets
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import quote

import structlog

from upstream.errors import DataNotFound, Duplicate, Unavailable, UpstreamError, WrongLength
from upstream.stores.s3.config import S3StoreConfig
from upstream.stores.s3.control import WRITE_KEY, Control
from upstream.stores.s3.intake import Intake
from upstream.stores.s3.parts import Parts
from upstream.stores.s3.plan import HELD_MAX_BYTES, Plan
from upstream.stores.s3.sending import Sender, again
from upstream.stores.s3.settling import settled

log = structlog.get_logger()


class Writing:
    """`run` once; if it fails or is cancelled, `undo`.

    Each write has a name of its own, which the object carries: when the answer to the request that makes it whole is
    lost, that tells whether the object there is this one.
    """

    def __init__(self, store_id: str, config: S3StoreConfig, control: Control, sender: Sender, key: str) -> None:
        self._id, self._config, self._control, self._sender = store_id, config, control, sender
        self._bucket, self._key, self._name = config.bucket, key, secrets.token_hex(16)
        self._url = config.at.object_url(config.bucket, key, is_virtual=config.is_virtual)
        self._upload: str | None = None
        self._began_upload = False
        self._may_be_whole = False

    async def run(self, intake: Intake, size_bytes: int | None) -> int:
        """Bytes written. Raises Duplicate, Denied, Unavailable, StoreFull, LimitExceeded, WrongLength."""
        first = await intake.gathered(min(self._config.large_object_chunk_size, HELD_MAX_BYTES))
        if not await intake.has_more():
            await self._whole(self._sender.send(self._url, first, self._headers()), intake)
            return intake.given_bytes
        held_bytes = intake.given_bytes
        intake.put_back(first)
        del first
        if size_bytes is not None and held_bytes < size_bytes < self._config.large_object_size:
            await self._whole(self._sender.stream(self._url, intake, size_bytes, self._headers()), intake)
            if await intake.has_more():
                raise WrongLength(size_bytes, size_bytes + 1)
        else:
            await self._in_parts(Plan(chunk_bytes=self._config.large_object_chunk_size, size_bytes=size_bytes), intake)
        return intake.given_bytes

    async def undo(self) -> None:
        """Nothing of this write stays, as far as the store can be reached; `remove_leftover` is for the rest."""
        for step in (self._undo_upload, self._undo_object):
            try:
                await step()
            except UpstreamError as error:
                log.warning("store.leftover", store=self._id, image=self._key, error=type(error).__name__)

    async def _undo_upload(self) -> None:
        if self._upload is not None:
            await self._abort(self._upload)
        elif self._began_upload:  # and its name was never told
            for upload in await again(lambda: self._control.uploads(self._bucket, self._key)):
                await self._abort(upload)

    async def _undo_object(self) -> None:
        if self._may_be_whole and await self._found_bytes() is not None:
            await again(lambda: self._control.delete(self._bucket, self._key))

    def _headers(self) -> Mapping[str, str]:
        return {"If-None-Match": "*", f"x-amz-meta-{WRITE_KEY}": self._name}

    async def _whole(self, made: Awaitable[object], intake: Intake) -> None:
        """Wait for the request that makes the object whole; where its outcome is unknown, look."""
        self._may_be_whole = True
        try:
            await made
        except (Unavailable, Duplicate):
            if not await self._is_there(intake.given_bytes):
                raise
            self._tell_that_the_answer_is_lost()

    async def _in_parts(self, plan: Plan, intake: Intake) -> None:
        await settled(self._begin())
        parts = Parts(self._sender, self._part_url, self._config.parts_max)
        try:
            async with asyncio.TaskGroup() as group:
                await parts.run(group, plan, intake)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        etags = parts.etags()
        await self._check_free()
        await settled(self._complete(etags, intake.given_bytes))
        if not await self._is_there(intake.given_bytes):
            raise Unavailable(self._id, "it put other bytes together than were sent")

    async def _complete(self, etags: Sequence[str], size_bytes: int) -> None:
        """While the store is silent it is asked for the object: its answer may be lost, or it may hang altogether."""
        self._may_be_whole = True
        completing = self._control.complete(self._bucket, self._key, self._upload or "", etags)
        try:
            async with asyncio.TaskGroup() as group:
                call = group.create_task(completing)
                while not (await asyncio.wait([call], timeout=self._config.first_byte_s))[0]:
                    if await self._is_there(size_bytes):
                        self._tell_that_the_answer_is_lost()
                        call.cancel()
        except ExceptionGroup as errors:
            error = errors.exceptions[0]
            was_asked = call.cancelled()  # and said nothing: it need not be asked again
            if was_asked or not isinstance(error, (Unavailable, Duplicate)) or not await self._is_there(size_bytes):
                raise error from None
            self._tell_that_the_answer_is_lost()

    def _tell_that_the_answer_is_lost(self) -> None:
        log.warning("store.answer_lost", store=self._id, image=self._key)

    async def _check_free(self) -> None:
        """Not every store heeds a condition when it puts parts together. Raises Duplicate."""
        with suppress(DataNotFound):
            await again(lambda: self._control.head(self._bucket, self._key))
            raise Duplicate(f"{self._id} already has data for this image")

    async def _begin(self) -> None:
        self._began_upload = True
        self._upload = await self._control.create_upload(self._bucket, self._key, self._name)

    def _part_url(self, number: int) -> str:
        return f"{self._url}?partNumber={number}&uploadId={quote(self._upload or '', safe='~')}"

    async def _abort(self, upload: str) -> None:
        await again(lambda: self._control.abort(self._bucket, self._key, upload))

    async def _is_there(self, size_bytes: int) -> bool:
        """Whether the object there is of this write, and whole."""
        return await self._found_bytes() == size_bytes

    async def _found_bytes(self) -> int | None:
        try:
            found = await again(lambda: self._control.head(self._bucket, self._key))
        except DataNotFound:
            return None
        return found.size_bytes if found.write == self._name else None
