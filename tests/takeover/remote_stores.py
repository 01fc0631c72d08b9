"""Swift and S3 as the stores of a Glance and of a Glint beside it, by the same ids."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tests.content import MIB
from tests.contract.stores.peers.s3 import RgwBucket
from tests.parity.variants import glint_for
from tests.peers import Glance, GlanceOptions, Keystone, Memcached, Rgw, Swift
from tests.takeover.places import DATABASES
from tests.takeover.service import Identity, Service
from upstream.registry import RegistryConfig
from upstream.registry.sql import open_registry
from upstream.registry.sql.tables import image_locations

STORES = ("file", "swift", "reference", "s3")
"""`swift` writes credentials into its rows, `reference` the name of a section that holds them."""

_REFERENCE = "ref1"
_SEGMENT_MIB, _PART_MIB = 1, 5
LARGE_BYTES: Mapping[str, int] = {"file": 3 * MIB, "swift": 5 * MIB // 2, "reference": 2 * MIB + 1, "s3": 13 * MIB}
"""More than goes into one object. Of an image that fills segments to the last byte, Glance writes an empty one more."""

_GLANCE = """\
[DEFAULT]
show_multiple_locations = True
enabled_backends = file:file,swift:swift,reference:swift,s3:s3
[glance_store]
default_backend = file
[swift]
swift_store_auth_address = {keystone}
swift_store_auth_version = 3
swift_store_user = {user}
swift_store_key = {key}
swift_store_container = {name}-swift
swift_store_create_container_on_put = True
swift_store_large_object_size = {segment}
swift_store_large_object_chunk_size = {segment}
[reference]
swift_store_config_file = {directory}/swift.conf
default_swift_reference = ref1
swift_store_container = {name}-reference
swift_store_create_container_on_put = True
swift_store_large_object_size = {segment}
swift_store_large_object_chunk_size = {segment}
[s3]
s3_store_host = {s3}
s3_store_access_key = {access}
s3_store_secret_key = {secret}
s3_store_bucket = {name}-s3
s3_store_create_bucket_on_put = True
s3_store_bucket_url_format = path
s3_store_large_object_size = {part}
s3_store_large_object_chunk_size = {part}
"""
_REFERENCES = """\
[ref1]
user = {user}
key = {key}
auth_version = 3
auth_address = {keystone}
user_domain_id = default
project_domain_id = default
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3:
    """A server that speaks it. `names`: what lies in a bucket, with what belongs to it and S3 does not show."""

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    names: Callable[[str], list[str]]


def s3_of_swift(swift: Swift) -> S3:
    return S3(
        url=swift.url,
        access_key=swift.s3.access,
        secret_key=swift.s3.secret,
        names=lambda bucket: swift.api.names(bucket) + swift.api.names(f"{bucket}+segments"),
    )


def s3_of_rgw(rgw: Rgw) -> S3:
    return S3(
        url=rgw.url,
        access_key=rgw.access_key,
        secret_key=rgw.secret_key,
        names=lambda bucket: asyncio.run(RgwBucket(rgw, name=bucket).names()),
    )


@dataclass(frozen=True, slots=True)
class Both:
    """A running Glance and a running Glint on one database and the same stores."""

    services: Mapping[str, Service]
    database_url: str
    names: Mapping[str, Callable[[], list[str]]]
    """What lies in each store, parts too."""
    swift: Swift

    def rows(self, image_id: str) -> list[tuple[str, Any]]:
        """URL and metadata of the image's locations, as they stand in the database."""
        return asyncio.run(_rows(self.database_url, image_id))


@contextmanager
def both_on(
    swift: Swift, s3: S3, folder: Path, keystone: Keystone, memcached: Memcached, identity: Identity, name: str
) -> Iterator[Both]:
    """`name` begins the names of containers and bucket. The Swift is one of that Keystone's."""
    for each in ("glance", "glint"):
        (folder / each).mkdir()
    values = {
        "keystone": keystone.url,
        "user": swift.user,
        "key": swift.key,
        "directory": folder / "glance",
        "name": name,
        "s3": s3.url,
        "access": s3.access_key,
        "secret": s3.secret_key,
        "segment": _SEGMENT_MIB,
        "part": _PART_MIB,
    }
    options = GlanceOptions(
        settings=_GLANCE.format(**values),
        files={"swift.conf": _REFERENCES.format(**values)},
        processes=1,
        image_cache=False,
    )
    with DATABASES["postgresql"](folder) as url:
        glance = Glance(folder / "glance", keystone, memcached, options=options, database_url=url)
        glint = glint_for("default", folder / "glint", keystone, memcached)
        del glint.settings["stores.backends.second"], glint.settings["stores.backends.web"]
        glint.settings |= {"registry.url": url, "api.do_secure_hash": True}
        glint.settings |= _backends(swift, s3, keystone, glance.image_dirs[0], name)
        with glint:
            # Glint has made the tables, which takes it a tenth of the time that Glance needs.
            (glance.directory / "made").touch()
            with glance:
                services = {"glance": Service(glance.url, identity), "glint": Service(glint.url, identity)}
                yield Both(services, url, _names(swift, s3, glance.image_dirs[0], name), swift)


def _backends(swift: Swift, s3: S3, keystone: Keystone, images: Path, name: str) -> Mapping[str, Any]:
    reference = {
        "auth_address": keystone.url,
        "user": swift.user,
        "key": swift.key,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    of_swift = {
        "kind": "swift",
        "references": {_REFERENCE: reference},
        "create_container": True,
        "large_object_size": _SEGMENT_MIB * MIB,
        "large_object_chunk_size": _SEGMENT_MIB * MIB,
    }
    return {
        "stores.default": "file",
        "stores.backends.file": {"kind": "file", "dir": str(images)},
        "stores.backends.swift": of_swift | {"container": f"{name}-swift", "credentials_in_locations": True},
        "stores.backends.reference": of_swift | {"container": f"{name}-reference"},
        "stores.backends.s3": {
            "kind": "s3",
            "endpoint": s3.url,
            "access_key": s3.access_key,
            "secret_key": s3.secret_key,
            "bucket": f"{name}-s3",
            "create_bucket": True,
            "large_object_size": _PART_MIB * MIB,
            "large_object_chunk_size": _PART_MIB * MIB,
        },
    }


def _names(swift: Swift, s3: S3, images: Path, name: str) -> Mapping[str, Callable[[], list[str]]]:
    return {
        "file": lambda: sorted(path.name for path in images.iterdir()),
        "swift": lambda: swift.api.names(f"{name}-swift"),
        "reference": lambda: swift.api.names(f"{name}-reference"),
        "s3": lambda: s3.names(f"{name}-s3"),
    }


async def _rows(url: str, image_id: str) -> list[tuple[str, Any]]:
    async with open_registry(RegistryConfig(url=url)) as registry, registry.database.read() as connection:
        table = image_locations.c
        found = await connection.execute(select(table.value, table.meta_data).where(table.image_id == image_id))
        return [(value, metadata) for value, metadata in found]
