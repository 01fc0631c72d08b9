"""Rows as releases of years ago have left them, written past both services."""

import asyncio
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.content import KIB, Noise
from tests.takeover.places import Pair
from tests.takeover.service import Made
from upstream.registry import RegistryConfig
from upstream.registry.sql import open_registry
from upstream.registry.sql.tables import image_locations, image_members, image_properties, image_tags, images

_LONG_AGO = datetime.fromisoformat("2016-04-07T12:30:01")
_TIMES = {"created_at": _LONG_AGO, "updated_at": _LONG_AGO, "deleted": False}
_GONE = {"deleted": True, "deleted_at": datetime.fromisoformat("2017-01-01")}

# What the location says of its store: before several stores there were, by the older key, and a store of another name.
_METADATA: Mapping[str, Any] = {
    "no store": {},
    "backend": {"backend": "file"},
    "ancient store": {"store": "ancient"},
    "elsewhere": {"store": "file"},
}


_WITHOUT_DATA: Mapping[str, Mapping[str, Any]] = {
    "killed": {"status": "killed"},
    "nobody's": {"status": "queued", "owner": None},
    "deleted": {"status": "deleted"} | _GONE,
    "waiting for the scrubber": {"status": "pending_delete"} | _GONE,
}


def insert_old_rows(pair: Pair) -> Made:
    """Images of Mitaka's time, whose data lie in the stores' folders."""
    made = Made()
    rows: list[tuple[Any, Mapping[str, Any]]] = []
    for number, (kind, metadata) in enumerate(_METADATA.items()):
        image_id = made.images[kind] = str(uuid.uuid4())
        data = made.data[image_id] = Noise(3 * KIB + number, seed=300 + number).read()
        path = pair.glance.image_dirs[kind == "elsewhere"] / image_id
        path.write_bytes(data)
        size = {"size": len(data), "checksum": hashlib.md5(data).hexdigest(), "status": "active"}
        rows.append((images, _image(pair, image_id, kind, **size)))
        gone = {"value": f"{path.as_uri()}-gone", "meta_data": {}, "status": "deleted"} | _GONE
        rows.append((image_locations, _of(image_id, **gone)))
        rows.append((image_locations, _of(image_id, value=path.as_uri(), meta_data=metadata, status="active")))
    rows += _marked(pair, made.images["no store"])
    for kind, fields in _WITHOUT_DATA.items():
        image_id = made.images[kind] = str(uuid.uuid4())
        rows.append((images, _image(pair, image_id, kind, **fields)))
    asyncio.run(_insert(pair.database_url, rows))
    return made


def _marked(pair: Pair, image_id: str) -> list[tuple[Any, Mapping[str, Any]]]:
    """A tag that is there twice, a property without a value, one that was removed, and a member who may share."""
    member = {"member": pair.identity.projects["alt"], "can_share": True, "status": "accepted"}
    return [
        (image_tags, _of(image_id, value="twice")),
        (image_tags, _of(image_id, value="twice")),
        (image_properties, _of(image_id, name="kernel_id", value=None)),
        (image_properties, _of(image_id, name="removed", value="x", **_GONE)),
        (image_members, _of(image_id, **member)),
    ]


def _image(pair: Pair, image_id: str, name: str, **fields: Any) -> Mapping[str, Any]:
    usual = {
        "id": image_id,
        "name": name,
        "disk_format": "qcow2",
        "container_format": "bare",
        "owner": pair.identity.projects["demo"],
        "min_disk": 0,
        "min_ram": 0,
        "visibility": "shared",
        "protected": False,
        "os_hidden": False,
    }
    return usual | _TIMES | fields


def _of(image_id: str, **fields: Any) -> Mapping[str, Any]:
    return {"image_id": image_id} | _TIMES | fields


async def _insert(url: str, rows: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
    async with open_registry(RegistryConfig(url=url)) as registry, registry.database.write() as connection:
        for table, values in rows:
            await connection.execute(table.insert(), [values])
