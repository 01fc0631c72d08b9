"""Real stores that are 20 ms away, and bring no more by one connection than a window's worth in that time.

How much sooner an image is there is measured by `python -m bench.parallel_fill`.
"""

import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from metrics import Instruments
from tests.contract.stores.peers import arriving
from tests.origin import MIB, Noise
from tests.peers import Swift
from tests.relay import Relay
from upstream.stores import Stores, StoresConfig, open_stores

DISK = Noise(24 * MIB + 5, seed=13)
LATENCY_S, WINDOW_BYTES = 0.02, 80 * 1024
ONE_CONNECTION_S = DISK.size_bytes / (WINDOW_BYTES / LATENCY_S)
"""What one connection cannot do better."""


def swift_keys(swift: Swift, port: int) -> Mapping[str, Any]:
    account = {"auth_address": swift.auth_url, "user": swift.user, "key": swift.key, "auth_version": 1}
    endpoint = swift.storage_url.replace(f":{swift.port}/", f":{port}/")
    container = {"container": f"far-{uuid.uuid4().hex[:12]}", "create_container": True}
    segments = {"large_object_size": "2 MiB", "large_object_chunk_size": "5 MiB"}
    return {"kind": "swift", "references": {"ref1": account}, "endpoint": endpoint, **container, **segments}


def s3_keys(swift: Swift, port: int) -> Mapping[str, Any]:
    keys = {"access_key": swift.s3.access, "secret_key": swift.s3.secret}
    bucket = {"bucket": f"far-{uuid.uuid4().hex[:12]}", "create_bucket": True, "large_object_size": "2 MiB"}
    return {"kind": "s3", "endpoint": f"http://127.0.0.1:{port}", **keys, **bucket}


KINDS: Mapping[str, Callable[[Swift, int], Mapping[str, Any]]] = {"swift": swift_keys, "s3": s3_keys}


@asynccontextmanager
async def opened(keys: Mapping[str, Any]) -> AsyncIterator[Stores]:
    config = StoresConfig.model_validate({"default": "far", "backends": {"far": keys}})
    async with open_stores(config, Instruments()) as stores:
        yield stores


@pytest.mark.parametrize("kind", KINDS)
async def test_a_distant_store_brings_an_image_sooner_than_one_connection_could_and_each_byte_once(
    swift: Swift, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("upstream.stores.parallel.reading.PART_BYTES", 2 * MIB)
    name = str(uuid.uuid4())
    with Relay(swift.port) as relay:
        async with opened(KINDS[kind](swift, relay.port)) as stores:
            location = (await stores.write(name, arriving(DISK), DISK.size_bytes)).location
            relay.latency_s, relay.rate_bytes_s = LATENCY_S, int(WINDOW_BYTES / LATENCY_S)
            relay.forget()

            began_s = time.monotonic()
            async with stores.source([location], DISK.size_bytes)(0) as chunks:
                got = b"".join([chunk async for chunk in chunks])
            took_s = time.monotonic() - began_s

    assert got == DISK.read()
    # Where the machine itself brings less than one connection may: two were at work all the time.
    assert took_s < ONE_CONNECTION_S or took_s < relay.busy_s / 2
    assert sum(seen.sent_bytes for seen in relay.seen) == DISK.size_bytes
    assert relay.at_once_max >= 2
