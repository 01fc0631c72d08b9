"""Images in an S3 store. See `Store` and `Writable`."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress

import aiohttp
from aiohttp.abc import AbstractResolver

from upstream.errors import DataNotFound, Denied, Duplicate, Invalid, Unproved
from upstream.stores.answers import Answer, Wanted
from upstream.stores.base import Stored, Witness
from upstream.stores.http import chunks_of
from upstream.stores.s3.config import S3StoreConfig
from upstream.stores.s3.control import Control, open_client
from upstream.stores.s3.intake import Intake
from upstream.stores.s3.sending import Sender, again
from upstream.stores.s3.settling import settled
from upstream.stores.s3.transport import Transport
from upstream.stores.s3.uris import ObjectName, check_image_id, located, parse_s3, s3_url
from upstream.stores.s3.writing import Writing
from upstream.stores.validators import Seen
from upstream.tls import client_context
from upstream.types import Location

_READ_BUFFER_BYTES = 256 * 1024
_DIGEST_THREADS = 2


class S3Store:
    """`resources` are closed with the store."""

    def __init__(
        self,
        store_id: str,
        config: S3StoreConfig,
        control: Control,
        transport: Transport,
        pool: ThreadPoolExecutor,
        resources: AsyncExitStack,
    ) -> None:
        self._id, self._config, self._control, self._transport = store_id, config, control, transport
        self._sender = Sender(store_id, transport, pool if config.checksums else None)
        self._resources = resources
        self._writing: set[str] = set()
        self._bucket_is_there = False
        self._making_bucket = asyncio.Lock()

    @asynccontextmanager
    async def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        name, wanted, witness = self._named(location), Wanted(offset, stop), witness or Witness()
        first = witness.seen if isinstance(witness.seen, Seen) else None
        async with self._transport.get(self._url(name), _asked_for(wanted, first)) as response:
            answer = await self._answer(response, name, wanted)
            seen = answer.seen(wanted)
            if offset and first is not None:
                answer.check_same(seen, first)
            if seen.total_bytes is not None:
                witness.check_size(seen.total_bytes)
            body = answer.body(wanted, seen.total_bytes, skip_max=0)
            if not offset or first is None:
                witness.seen = seen
            async with aclosing(chunks_of(self._id, response, body, idle_s=self._config.idle_s)) as chunks:
                yield chunks

    async def _answer(self, response: aiohttp.ClientResponse, name: ObjectName, wanted: Wanted) -> Answer:
        """One that has data, or says that the part wanted has none; raises what else it says."""
        if response.status == 412:
            raise Unproved(self._id, "the object changed since its first part was read")
        if response.status == 416 and wanted.is_part:
            # Stores tell the size in the text of the error, each in another way, or not at all.
            size_bytes = (await self._control.head(name.bucket, name.key)).size_bytes
            headers: Mapping[str, str] = {"Content-Range": f"bytes */{size_bytes}"}
            return Answer(store_id=self._id, status=416, headers=headers)
        if response.status not in ({200, 206} if wanted.is_part else {200}):
            raise await self._transport.refused(response)
        return Answer(store_id=self._id, status=response.status, headers=response.headers)

    async def size(self, location: Location) -> int:
        name = self._named(location)
        return (await self._control.head(name.bucket, name.key)).size_bytes

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> Stored:
        """See `Writable.write`. Raises also LimitExceeded for data of unknown size that are too large."""
        check_image_id(image_id)
        if image_id in self._writing:
            raise Duplicate(f"{self._id} is being given data for this image")
        self._writing.add(image_id)
        try:
            await self._prepare(image_id)
            written_bytes = await self._write(image_id, Intake(chunks), size_bytes)
        finally:
            self._writing.discard(image_id)
        url = s3_url(self._config.at, self._config.bucket, image_id)
        return Stored(location=Location(url=url, metadata={"store": self._id}), size_bytes=written_bytes)

    async def _write(self, image_id: str, intake: Intake, size_bytes: int | None) -> int:
        writing = Writing(self._id, self._config, self._control, self._sender, image_id)
        try:
            return await writing.run(intake, size_bytes)
        except DataNotFound as error:  # the bucket went away
            self._bucket_is_there = False
            await settled(writing.undo())
            raise self._no_bucket() from error
        except BaseException:
            await settled(writing.undo())
            raise

    async def _prepare(self, image_id: str) -> None:
        """There is a bucket, and nothing of that name in it: not every store can tell that when the data come."""
        async with self._making_bucket:
            if not self._bucket_is_there and not await self._control.has_bucket(self._config.bucket):
                if not self._config.create_bucket:
                    raise self._no_bucket()
                await self._control.create_bucket(self._config.bucket)
            self._bucket_is_there = True
        with suppress(DataNotFound):
            await self._control.head(self._config.bucket, image_id)
            raise Duplicate(f"{self._id} already has data for this image")

    def _no_bucket(self) -> Denied:
        return Denied(f"the bucket of store {self._id} does not exist: create it, or set create_bucket")

    async def delete(self, location: Location) -> None:
        name = self._named(location)
        await self._control.head(name.bucket, name.key)  # a deletion would not say that there is nothing
        await self._control.delete(name.bucket, name.key)

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        """See `Writable.remove_leftover`."""
        bucket = self._config.bucket
        try:
            for upload in await again(lambda: self._control.uploads(bucket, image_id)):
                await self._control.abort(bucket, image_id, upload)
        except DataNotFound:
            return  # no bucket
        if not any(_names(location, bucket, image_id) for location in kept):
            await self._control.delete(bucket, image_id)

    async def close(self) -> None:
        await self._resources.aclose()

    def _named(self, location: Location) -> ObjectName:
        return located(self._id, self._config.at, location.url)

    def _url(self, name: ObjectName) -> str:
        return self._config.at.object_url(name.bucket, name.key, is_virtual=self._config.is_virtual)


def _asked_for(wanted: Wanted, first: Seen | None) -> Mapping[str, str]:
    """The part, of the object that was seen first: by If-Match, since Swift takes no notice of If-Range."""
    headers = {name: value for name, value in wanted.headers(None).items() if name == "Range"}
    if wanted.offset and first is not None and first.etag is not None and first.has_strong_etag:
        headers["If-Match"] = first.etag
    return headers


def _names(location: Location, bucket: str, key: str) -> bool:
    """Whether it may mean this object, at whatever endpoint: a host can have several names."""
    try:
        name = parse_s3(location.url)
    except Invalid:
        return False
    return (name.bucket, name.key) == (bucket, key)


async def open_store(store_id: str, config: S3StoreConfig, resolver: AbstractResolver | None = None) -> S3Store:
    """Nothing is asked of the store yet. `resolver`: None for the system's."""
    async with AsyncExitStack() as stack:
        pool = ThreadPoolExecutor(_DIGEST_THREADS, thread_name_prefix=f"store-{store_id}")
        stack.push_async_callback(asyncio.to_thread, pool.shutdown)
        client = await stack.enter_async_context(open_client(config, resolver))
        tls = await asyncio.to_thread(client_context, config.ca_file, verify=config.verify_tls)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls, resolver=resolver),  # `Guarded` limits requests
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "glint"},
            read_bufsize=_READ_BUFFER_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_s),
        )
        await stack.enter_async_context(session)
        control, transport = Control(store_id, config, client), Transport(store_id, config, session)
        return S3Store(store_id, config, control, transport, pool, stack.pop_all())
