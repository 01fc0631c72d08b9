"""A store of kind s3 in `stores.backends`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ByteSize, Field, SecretStr

from upstream.stores.backend import PARALLEL_READS_MAX, ParallelConfig
from upstream.stores.s3.uris import Endpoint, own_prefixes

MIB = 1024 * 1024
PART_MIN_BYTES = 5 * MIB  # S3 refuses smaller parts, but for the last
PART_MAX_BYTES = 5 * 1024 * MIB
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_DNS_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def _endpoint(text: str) -> str:
    Endpoint.of(text)
    return text


def _bucket(text: str) -> str:
    if not _BUCKET.fullmatch(text):
        raise ValueError(f"expected the name of a bucket, such as glance-images, got {text!r}")
    return text


def _filled(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise ValueError("expected a key, got an empty one")
    return secret


Key = Annotated[SecretStr, AfterValidator(_filled)]


class S3StoreConfig(ParallelConfig, frozen=True, extra="forbid", hide_input_in_errors=True):
    """Images as objects of one bucket, named by image id, in Amazon's S3 or what speaks its protocol."""

    kind: Literal["s3"]
    endpoint: Annotated[str, AfterValidator(_endpoint)]  # as "https://s3.example.org" or "http://192.0.2.7:7480"
    region: str | None = Field(default=None, min_length=1)  # None: what Amazon's host names say, else us-east-1
    access_key: Key
    secret_key: Key
    bucket: Annotated[str, AfterValidator(_bucket)]
    create_bucket: bool = False  # by the first upload
    addressing: Literal["auto", "path", "virtual"] = "auto"  # auto: virtual at Amazon, path elsewhere
    large_object_size: ByteSize = Field(default=ByteSize(100 * MIB), ge=0)  # from here on, or unknown: in parts ...
    large_object_chunk_size: ByteSize = Field(
        default=ByteSize(10 * MIB), ge=PART_MIN_BYTES, le=PART_MAX_BYTES
    )  # ... so large, ...
    parts_max: int = Field(default=10, ge=1)  # ... so many at once, and never more than 64 MiB of memory
    checksums: bool = True  # MD5 of all that is written, compared with what the store says it got
    connect_s: float = Field(default=5.0, gt=0)
    first_byte_s: float = Field(default=30.0, gt=0)
    idle_s: float = Field(default=30.0, gt=0)
    parallel_reads_max: int = Field(default=PARALLEL_READS_MAX, ge=1)
    complete_s: float = Field(default=120.0, gt=0)  # the longest silence while the parts are put together
    ca_file: Path | None = None  # None: the system's
    verify_tls: bool = True

    @property
    def is_virtual(self) -> bool:
        """Whether the bucket stands in the host name."""
        is_name = bool(_DNS_LABEL.fullmatch(self.bucket))
        return self.addressing == "virtual" or (self.addressing == "auto" and is_name and self.at.is_amazon)

    @property
    def at(self) -> Endpoint:
        return Endpoint.of(self.endpoint)

    @property
    def signing_region(self) -> str:
        return self.region or self.at.region or "us-east-1"

    def own_prefixes(self) -> tuple[str, ...]:
        return own_prefixes(self.at, self.bucket)

    def further_prefixes(self) -> tuple[str, ...]:
        return own_prefixes(self.at, "")

    def properties(self) -> Mapping[str, Any]:
        """Source: glance/api/v2/discovery.py, which tells the sizes in bytes."""
        return {
            "s3_store_large_object_size": int(self.large_object_size),
            "s3_store_large_object_chunk_size": int(self.large_object_chunk_size),
            "s3_store_thread_pools": self.parts_max,
        }
