"""image_conversion: every disk is stored in one format, `api.conversion.output_format`.

The data are a stranger's, and qemu-img follows what they name. So they are looked at first, by the inspector that looks
at uploads; they have to be what the image says, and name no other file. Source: glance/async_/flows/plugins/
image_conversion.py.
"""

import asyncio
from pathlib import Path

import structlog

from proxy.api.image_formats import FormatInspection
from proxy.imports.plugins import qemu
from proxy.imports.plugins.base import Subject
from proxy.tasks import TaskFailed
from upstream.registry import ImageChanges

log = structlog.get_logger(__name__)

_PIECE_BYTES = 256 * 1024


async def convert(subject: Subject) -> ImageChanges:
    claimed, wanted = subject.image.disk_format or "", subject.config.conversion.output_format
    async with subject.staging.reworked(subject.image.id) as rework:
        found = await _inspected(subject, rework.source, claimed)
        if found == claimed == "iso":
            return ImageChanges()
        if found == "iso":
            raise TaskFailed("Image has disallowed configuration")
        if found != claimed:
            raise TaskFailed(f"Image format mismatch: it is said to be {claimed or 'of none'}, and is {found}")
        virtual_size_bytes = await _virtual_size(subject, rework.source, claimed)
        if claimed == wanted:
            return ImageChanges()
        if virtual_size_bytes > subject.limit_bytes:
            raise TaskFailed(f"The disk has more than the {subject.limit_bytes} bytes that are allowed.")
        await qemu.convert(
            rework.source,
            rework.target,
            source_format=claimed,
            target_format=wanted,
            virtual_size_bytes=virtual_size_bytes,
            limit_bytes=subject.limit_bytes,
        )
        if await _inspected(subject, rework.target, wanted) != wanted:  # one format may hide in another
            raise TaskFailed("Converted image in unexpected format")
        rework.is_wanted = True
    log.info("import.converted", image=subject.image.id, source=claimed, target=wanted)
    return ImageChanges(columns={"disk_format": wanted, "container_format": "bare"})


async def _inspected(subject: Subject, path: Path, disk_format: str) -> str:
    """The format that the data have; a disk with partitions is raw. Raises UnsupportedMediaType, TaskFailed."""
    inspection = FormatInspection(disk_format=disk_format, container_format="bare", config=subject.config)
    at_bytes = 0
    while not inspection.is_decided and (piece := await asyncio.to_thread(_read, path, at_bytes)):
        await asyncio.to_thread(inspection.eat, piece)
        at_bytes += len(piece)
    found = await asyncio.to_thread(inspection.identify)
    return "raw" if found == "gpt" else found


def _read(path: Path, at_bytes: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(at_bytes)
        return file.read(_PIECE_BYTES) or b""


async def _virtual_size(subject: Subject, path: Path, disk_format: str) -> int:
    """In bytes. Raises TaskFailed, also for what the inspector should have refused already."""
    said = await qemu.info(path, disk_format)
    if "backing-filename" in said:
        raise TaskFailed("QCOW images with backing files are not allowed")
    specific = said.get("format-specific")
    data = specific.get("data") if isinstance(specific, dict) else None
    data = data if isinstance(data, dict) else {}
    if data.get("data-file") is not None:
        raise TaskFailed("QCOW images with data-file set are not allowed")
    if disk_format == "vmdk" and data.get("create-type") not in subject.config.vmdk_allowed_types:
        raise TaskFailed("Invalid VMDK create-type specified")
    virtual_size_bytes = said.get("virtual-size")
    if not isinstance(virtual_size_bytes, int):
        raise TaskFailed("Image metadata disagrees about format")
    return virtual_size_bytes
