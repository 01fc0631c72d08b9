"""How much a project may have: by the configuration, or by Keystone's unified limits, which overrule it.

Whose project counts is the caller's, as in Glance, also where an admin changes an image of another one. What is asked
here in time spares a client its work; what decides is the `Ceiling`, which the registry compares in the transaction
of the change itself. Source: glance/api/common.py, check_quota; glance/quota/keystone.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from proxy.api.config import ApiConfig
from upstream.errors import LimitExceeded
from upstream.registry import Ceiling, ProjectUsage, Usage
from upstream.types import Context

SIZE_TOTAL = "image_size_total"  # MiB
STAGE_TOTAL = "image_stage_total"  # MiB
COUNT_TOTAL = "image_count_total"
COUNT_UPLOADING = "image_count_uploading"

_MIB = 1024 * 1024


class Limits(Protocol):
    """Keystone's unified limits."""

    async def of(self, project_id: str | None) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class StorageLimit:
    """How much image data a project may have: `units_max` units, where no part of one counts."""

    project_id: str | None
    units_max: int
    unit_bytes: int

    def room_bytes(self, others_bytes: int) -> int:
        """The most that an image may have beside so much else; below zero if not even an empty one fits."""
        return (self.units_max - others_bytes // self.unit_bytes + 1) * self.unit_bytes - 1

    def ceiling(self, size_bytes: int) -> Ceiling:
        """Beside how much else an image of this size fits."""
        others_max = (self.units_max - size_bytes // self.unit_bytes + 1) * self.unit_bytes - 1
        return Ceiling(project_id=self.project_id, other_bytes_max=others_max)


class Quotas:
    """Without a quota nothing is asked of anybody. All methods raise LimitExceeded, and Unavailable."""

    def __init__(self, config: ApiConfig, usage: Usage, limits: Limits | None) -> None:
        self._config, self._usage, self._limits = config, usage, limits

    async def new_image(self, context: Context) -> Ceiling | None:
        """For the creation of an image (image_count_total)."""
        most = await self._limit(context, COUNT_TOTAL)
        return None if most is None else Ceiling(project_id=context.project_id, images_max=most)

    async def uploading(self, context: Context) -> Ceiling | None:
        """For the change that makes an image `saving`, `uploading` or `importing` (image_count_uploading)."""
        most = await self._limit(context, COUNT_UPLOADING)
        return None if most is None else Ceiling(project_id=context.project_id, uploading_max=most)

    async def check_size(self, context: Context, size_bytes: int = 0) -> None:
        """Whether so many bytes more may be stored (image_size_total): before anything else of an upload or import."""
        most = await self._limit(context, SIZE_TOTAL)
        if most is not None:
            usage = await self._usage.of(context.project_id)
            _check(SIZE_TOTAL, most, usage.stored_bytes // _MIB + size_bytes // _MIB)

    async def check_staging(self, context: Context, size_bytes: int = 0) -> None:
        """Whether so many bytes more may be staged (image_stage_total): before anything else of a stage or import."""
        most = await self._limit(context, STAGE_TOTAL)
        if most is not None:
            usage = await self._usage.of(context.project_id)
            _check(STAGE_TOTAL, most, usage.staged_bytes // _MIB + size_bytes // _MIB)

    async def storage(self, context: Context) -> StorageLimit | None:
        """What the project may store in all; None for no limit."""
        if self._limits is not None:
            most = await self._limit(context, SIZE_TOTAL)
            return None if most is None else StorageLimit(context.project_id, most, _MIB)
        return self.registering(context)

    def registering(self, context: Context) -> StorageLimit | None:
        """As `storage`, for data that lie elsewhere already: of those no unified limit speaks."""
        if self._limits is not None:
            return None
        quota = self._config.user_storage_quota
        return StorageLimit(context.project_id, quota, 1) if quota > 0 else None

    async def room_bytes(self, limit: StorageLimit, image_id: str, size_bytes: int | None) -> int:
        """How large the data of an image may become that is announced with this size, or with none."""
        usage = await self._usage.of(limit.project_id, without_image=image_id)
        room = limit.room_bytes(usage.stored_bytes)
        # Data of no announced size may yet be none, but with no room at all nobody waits for that.
        if room < (size_bytes or 0) or (room <= 0 and size_bytes is None):
            raise LimitExceeded(f"The image does not fit: {max(room, 0)} bytes are left of what the project may store.")
        return room

    async def report(self, context: Context) -> Mapping[str, Any]:
        """Usage and limit of each resource, as GET /v2/info/usage shows them; nothing without unified limits."""
        if self._limits is None:
            return {}
        limits, usage = await self._limits.of(context.project_id), await self._usage.of(context.project_id)
        return {name: {"usage": used, "limit": limits.get(name, 0)} for name, used in _counted(usage).items()}

    async def _limit(self, context: Context, name: str) -> int | None:
        """A limit that is not registered is zero."""
        if self._limits is None:
            return None
        most = (await self._limits.of(context.project_id)).get(name, 0)
        return None if most < 0 else most


def _counted(usage: ProjectUsage) -> Mapping[str, int]:
    return {
        SIZE_TOTAL: usage.stored_bytes // _MIB,
        STAGE_TOTAL: usage.staged_bytes // _MIB,
        COUNT_TOTAL: usage.images,
        COUNT_UPLOADING: usage.uploading,
    }


def _check(name: str, most: int, wanted: int) -> None:
    if wanted > most:
        raise LimitExceeded(f"The project's limit {name} would be passed: {wanted} of {most}.")
