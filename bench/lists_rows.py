"""A registry of very many images as clouds have them, for `bench.lists`: what is rare, common, old or nobody's."""

import itertools
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, text

from tests.content import MIB
from upstream.registry.config import RegistryConfig
from upstream.registry.sql.registry import open_registry
from upstream.registry.sql.tables import image_members, image_properties, image_tags, images

BIG, SMALL = "project 0", "project 7"  # of three in ten images, and of one in 300
FIRST = datetime(2026, 1, 1)  # noqa: DTZ001 - as the columns have it
_TABLES = (images, image_properties, image_tags, image_members)
_ROWS_AT_ONCE, _FILL_S = 2000, 600
_STEP = 7919  # a prime: numbers times it, modulo how many there are, come in no order


async def fill(url: str, count: int) -> None:
    """Past the registry, which would take a transaction for each; statistics are as a database has them after a day."""
    config = RegistryConfig(url=url, statement_s=_FILL_S)
    async with open_registry(config) as registry, registry.database.write() as connection:
        for start in range(0, count, _ROWS_AT_ONCE):
            rows = [_rows(number, count) for number in range(start, min(count, start + _ROWS_AT_ONCE))]
            for table in _TABLES:
                values = list(itertools.chain.from_iterable(row[table] for row in rows))
                if values:
                    await connection.execute(table.insert(), values)
    async with open_registry(config) as registry, registry.database.write() as connection:
        for table in _TABLES:
            await connection.execute(text(f"ANALYZE {'TABLE ' if url.startswith('mysql') else ''}{table.name}"))


def _rows(number: int, count: int) -> Mapping[Table, Sequence[Mapping[str, Any]]]:
    at, shuffled = FIRST + timedelta(seconds=number), number * _STEP % count
    image_id = str(uuid.UUID(int=(shuffled * 31 % count << 64) + number))
    is_old = number < count // 20
    alive = {"created_at": at, "updated_at": at, "deleted": False}
    image = {
        **alive,
        "id": image_id,
        "name": "snapshot" if number % 5 == 0 else f"image {number // 2}",
        "status": "active" if number % 25 else ("queued", "deactivated", "saving", "importing")[number // 25 % 4],
        "visibility": _visibility(number),
        "owner": BIG if shuffled % 10 < 3 else f"project {shuffled % 300}",
        "size": shuffled * MIB if number % 100 else None,
        "disk_format": "vmdk" if is_old else ("qcow2", "raw", "qcow2", "iso", "qcow2")[number % 5],
        "container_format": "bare" if number % 50 else "docker",
        "checksum": f"{number // 2:032x}",
        "min_disk": shuffled % 50,
        "min_ram": 0,
        "protected": number % 40 == 0,
        "os_hidden": number % 60 == 7,
        "updated_at": FIRST + timedelta(seconds=shuffled),
    }
    return {
        images: [image],
        image_properties: [
            {"image_id": image_id, "name": name, "value": value, **alive}
            for name, value in _said(number, is_old=is_old)
        ],
        image_tags: [{"image_id": image_id, "value": tag, **alive} for tag in _tags(number, is_old=is_old)],
        image_members: [
            {"image_id": image_id, "member": member, "status": status, "can_share": False, **alive}
            for member, status in _members(number)
            if image["visibility"] == "shared"
        ],
    }


def _visibility(number: int) -> str:
    """Of 1,000 images one is open to all, four are the community's, a tenth is shared: the rest are snapshots."""
    kind = number * 37 % 1000
    return "public" if kind < 1 else "community" if kind < 5 else "shared" if kind < 105 else "private"


def _said(number: int, *, is_old: bool) -> Iterator[tuple[str, str]]:
    yield "os_distro", "centos" if is_old else ("debian", "ubuntu", "rocky")[number % 3]
    yield "architecture", "aarch64" if number % 20 == 3 else "x86_64"
    yield "build", str(number % 5000)
    if number % 4 == 0:
        yield "hw_disk_bus", "scsi" if number % 40 == 0 else "virtio"


def _tags(number: int, *, is_old: bool) -> Iterator[str]:
    if is_old:
        yield "legacy"
    if number % 2:
        yield "ci"
    if number % 50 == 0:
        yield "golden"


def _members(number: int) -> Iterator[tuple[str, str]]:
    yield BIG, ("accepted", "pending", "rejected")[number % 3]
    if number % 100 == 11:
        yield SMALL, "accepted"
    yield f"project {number % 300 + 300}", "pending"
