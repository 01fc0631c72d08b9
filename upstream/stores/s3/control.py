"""All of S3 that is not bulk, by aiobotocore: buckets, heads, deletions and the bookkeeping of multipart uploads."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiohttp.abc import AbstractResolver
from botocore import exceptions as boto
from botocore.loaders import create_loader

from upstream.errors import DataNotFound, Invalid, Unavailable
from upstream.stores.s3.config import S3StoreConfig
from upstream.stores.s3.refusals import refusal

WRITE_KEY = "glint-write"  # user metadata: which write an object is of
_CONNECTIONS_MAX = 64
# Nothing of the environment of whoever started us, and of no file in the user's home.
_OF_ITS_OWN: Mapping[str, Any] = dict.fromkeys(("profile", "config_file", "credentials_file"), (None, None, None, None))


@dataclass(frozen=True, slots=True)
class Found:
    """What HEAD tells of an object. `write` is None for one that we did not write."""

    size_bytes: int
    etag: str
    write: str | None


class Control:
    """The operations by name. Each raises DataNotFound, Denied, Unavailable, StoreFull, Duplicate, Invalid."""

    def __init__(self, store_id: str, config: S3StoreConfig, client: Any) -> None:
        self._id, self._config, self._client = store_id, config, client

    async def head(self, bucket: str, key: str) -> Found:
        async with self._translated(self._config.first_byte_s):
            answer = await self._client.head_object(Bucket=bucket, Key=key)
        return Found(int(answer["ContentLength"]), answer.get("ETag", ""), answer.get("Metadata", {}).get(WRITE_KEY))

    async def delete(self, bucket: str, key: str) -> None:
        """Of what is not there too."""
        async with self._translated(self._config.first_byte_s):
            await self._client.delete_object(Bucket=bucket, Key=key)

    async def has_bucket(self, bucket: str) -> bool:
        try:
            async with self._translated(self._config.first_byte_s):
                await self._client.head_bucket(Bucket=bucket)
        except DataNotFound:
            return False
        return True

    async def create_bucket(self, bucket: str) -> None:
        """One that is there already is no error, if it is ours."""
        region = self._config.signing_region
        # Amazon wants it told everywhere but where it began; other stores know no such places.
        told = self._config.at.is_amazon and region != "us-east-1"
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}} if told else {}
        async with self._translated(self._config.first_byte_s):
            try:
                await self._client.create_bucket(Bucket=bucket, **where)
            except boto.ClientError as error:
                if error.response.get("Error", {}).get("Code") != "BucketAlreadyOwnedByYou":
                    raise

    async def create_upload(self, bucket: str, key: str, write: str) -> str:
        async with self._translated(self._config.first_byte_s):
            answer = await self._client.create_multipart_upload(Bucket=bucket, Key=key, Metadata={WRITE_KEY: write})
        return str(answer["UploadId"])

    async def complete(self, bucket: str, key: str, upload: str, etags: Sequence[str]) -> None:
        """Put the parts together, never over another object where the store can tell.

        However long it takes, as long as the store says something: stores send blanks meanwhile. After Unavailable it
        may have happened or not, or happen still.
        """
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
        async with self._translated(None):
            await self._client.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )

    async def abort(self, bucket: str, key: str, upload: str) -> None:
        """One that is gone, or was completed, is no error."""
        with suppress(DataNotFound):
            async with self._translated(self._config.first_byte_s):
                try:
                    await self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
                except boto.ClientError as error:
                    if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
                        raise

    async def uploads(self, bucket: str, key: str) -> list[str]:
        """Ids of the multipart uploads of this key that were neither completed nor aborted."""
        found: list[str] = []
        marks: dict[str, str] = {}
        while True:
            async with self._translated(self._config.first_byte_s):
                page = await self._client.list_multipart_uploads(Bucket=bucket, Prefix=key, **marks)
            found += [one["UploadId"] for one in page.get("Uploads", ()) if one["Key"] == key]
            marks = {"KeyMarker": page.get("NextKeyMarker", ""), "UploadIdMarker": page.get("NextUploadIdMarker", "")}
            if not page.get("IsTruncated") or not marks["KeyMarker"]:
                return found

    @asynccontextmanager
    async def _translated(self, answer_s: float | None) -> AsyncIterator[None]:
        """One call, answered within this time and that for connecting. Foreign errors quote URLs: none passes.

        Without a time it is the client's own, between two bytes.
        """
        try:
            async with asyncio.timeout(None if answer_s is None else self._config.connect_s + answer_s):
                yield
        except boto.ClientError as error:
            told = error.response.get("ResponseMetadata", {})
            raise refusal(
                self._id,
                int(told.get("HTTPStatusCode", 0)),
                str(error.response.get("Error", {}).get("Code", "")),
                {name.title(): value for name, value in told.get("HTTPHeaders", {}).items()},
                datetime.now(UTC),
            ) from error
        except (TimeoutError, boto.ReadTimeoutError, boto.ConnectTimeoutError) as error:
            raise Unavailable(self._id, "no answer in time") from error
        except boto.SSLError as error:
            raise Unavailable(self._id, "its TLS certificate or handshake was refused") from error
        except boto.EndpointConnectionError as error:
            raise Unavailable(self._id, "it cannot be connected to") from error
        except boto.HTTPClientError as error:
            raise Unavailable(self._id, f"the connection failed ({type(error).__name__})") from error
        except (boto.ParamValidationError, boto.InvalidEndpointConfigurationError) as error:
            raise Invalid(f"{self._id} cannot be asked for an object of such a name") from error
        except boto.BotoCoreError as error:
            raise Unavailable(self._id, f"its answer cannot be used ({type(error).__name__})") from error


def _authorities(config: S3StoreConfig) -> str | bool:
    """Whose certificates count: by a file, as botocore takes the system's for a bundle of its own. Looks for files."""
    if not config.verify_tls or config.ca_file is not None:
        return str(config.ca_file) if config.verify_tls else False
    found = ssl.get_default_verify_paths()
    names = (found.cafile, f"{found.capath}/ca-certificates.crt")  # the second one is Debian's
    return next((name for name in names if name is not None and Path(name).is_file()), True)


@cache
def _loader() -> Any:
    """Of what S3 looks like: read once for all stores of a process."""
    return create_loader()


@asynccontextmanager
async def open_client(config: S3StoreConfig, resolver: AbstractResolver | None = None) -> AsyncIterator[Any]:
    session = AioSession(session_vars=_OF_ITS_OWN)
    session.register_component("data_loader", _loader())
    options = AioConfig(
        connect_timeout=config.connect_s,
        read_timeout=max(config.first_byte_s, config.complete_s),  # between bytes; `Control` has a time for whole calls
        max_pool_connections=_CONNECTIONS_MAX,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "virtual" if config.is_virtual else "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        proxies={},
        connector_args={} if resolver is None else {"resolver": resolver},
        warm_up_loader_caches=True,  # in a thread: it reads files for 0.1 s
        user_agent="glint",
    )
    verify = await asyncio.to_thread(_authorities, config)
    async with session.create_client(
        "s3",
        endpoint_url=config.at.url,
        region_name=config.signing_region,
        aws_access_key_id=config.access_key.get_secret_value(),
        aws_secret_access_key=config.secret_key.get_secret_value(),
        verify=verify,
        config=options,
    ) as client:
        yield client
