"""image_decompression: what arrives as gzip or zip is stored as what is in it.

An image whose container_format is `compressed` is meant to stay so. Source: glance/async_/flows/plugins/
image_decompression.py, also for the signs by which archives are known.
"""

import asyncio
import os

import structlog

from proxy.imports.plugins.archives import HEAD_BYTES, Unpacking, kind_of
from proxy.imports.plugins.base import Subject
from proxy.tasks import TaskFailed
from upstream.registry import ImageChanges

log = structlog.get_logger(__name__)


async def decompress(subject: Subject) -> ImageChanges:
    image_id = subject.image.id
    if subject.image.container_format == "compressed":
        return ImageChanges()
    async with subject.staging.reworked(image_id) as rework:
        kind = kind_of(await asyncio.to_thread(rework.head, HEAD_BYTES))
        if kind is None:
            return ImageChanges()
        with Unpacking(kind, rework.source, rework.target, subject.limit_bytes) as unpacking:
            try:
                await asyncio.to_thread(unpacking.open)
                # A piece at a time: threads are few, and many imports may go on at once.
                while await asyncio.to_thread(unpacking.step):
                    pass
            except OSError as error:
                raise TaskFailed(f"The image could not be decompressed: {os.strerror(error.errno or 5)}") from error
        rework.is_wanted = True
    log.info("import.decompressed", image=image_id, kind=kind, size_bytes=unpacking.size_bytes)
    return ImageChanges()
