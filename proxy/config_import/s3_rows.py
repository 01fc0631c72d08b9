"""An S3 store's options, and what becomes of them. Pure."""

from collections.abc import Callable, Iterator
from typing import Any

from proxy.config_import.options import BOOLEAN, INTEGER, BadValue, Option
from proxy.config_import.outcomes import Dropped, Failing, Mapped, Outcome
from proxy.config_import.rows import Import, choice, mapped
from proxy.config_import.store_places import Place, option

HOST = option("s3_store_host")
REGION = option("s3_store_region_name")
ACCESS_KEY = option("s3_store_access_key")
SECRET_KEY = option("s3_store_secret_key")
BUCKET = option("s3_store_bucket")
CREATE = option("s3_store_create_bucket_on_put", BOOLEAN)
FORMAT = option("s3_store_bucket_url_format")
LARGE = option("s3_store_large_object_size", INTEGER)
CHUNK = option("s3_store_large_object_chunk_size", INTEGER)
THREADS = option("s3_store_thread_pools", INTEGER)
CA_FILE = option("s3_store_cacert")
UNUSED = (
    option("s3_store_enable_data_integrity_protection"),
    option("s3_store_request_checksum_calculation"),
    option("s3_store_response_checksum_validation"),
)
_FORMATS = {"auto": "auto", "path": "path", "virtual": "virtual", "subdomain": "virtual"}


def decide(work: Import, place: Place) -> Iterator[Outcome]:
    source, key = work.source, place.key
    for needed, name, is_secret in (
        (HOST, "endpoint", False),
        (ACCESS_KEY, "access_key", True),
        (SECRET_KEY, "secret_key", True),
        (BUCKET, "bucket", False),
    ):
        given = source.get(place.at(needed))
        if given and given.value:
            value = _endpoint(given.value) if needed is HOST else given.value
            yield Mapped((*key, name), value, given.said, secret=is_secret)
        else:
            yield Failing((), f"{place.at(needed)} is not given, and an S3 store needs it")
    for asked, name, convert in _KEYS:
        if (given := source.get(place.at(asked))) and given.value != "":
            yield from mapped(source, place.at(asked), (*key, name), convert)
        elif given:
            yield Dropped(given.said, "it says nothing: so it is by default")
    for unused in UNUSED:
        if given := source.get(place.at(unused)):
            yield Dropped(
                given.said,
                "Glint compares the MD5 of all that it writes, and digests what it reads",
            )


def _endpoint(host: str) -> str:
    """Without a scheme Glance takes plain http."""
    return host.rstrip("/") if host.startswith(("http://", "https://")) else f"http://{host.rstrip('/')}"


def _mib(number: int) -> str:
    if number < 0:
        raise BadValue("expected a number of megabytes; left out")
    return f"{number} MiB"


def _part_mib(number: int) -> str:
    if number < 5:  # Glance does not start with it
        raise BadValue("expected 5 megabytes or more, the least that S3 takes; left out")
    return _mib(number)


def _parts(number: int) -> int:
    if number < 1:
        raise BadValue("expected 1 or more; left out")
    return number


_KEYS: tuple[tuple[Option, str, Callable[[Any], Any]], ...] = (
    (REGION, "region", str),
    (CREATE, "create_bucket", bool),
    (FORMAT, "addressing", choice(_FORMATS)),
    (LARGE, "large_object_size", _mib),
    (CHUNK, "large_object_chunk_size", _part_mib),
    (THREADS, "parts_max", _parts),
    (CA_FILE, "ca_file", str),
)
OPTIONS = (HOST, ACCESS_KEY, SECRET_KEY, BUCKET, *(one for one, _, _ in _KEYS), *UNUSED)
