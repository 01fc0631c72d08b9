"""Unified limits: how much of each resource a project may have, as Keystone says it.

Source: oslo_limit, limit.py, whose model `flat` this is.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import structlog

from upstream.errors import Unavailable
from upstream.identity.config import LimitsConfig
from upstream.identity.keystone import Keystone

log = structlog.get_logger(__name__)

_PROJECTS_MAX = 10_000


class KeystoneLimits:
    """Asks once for each project in `cache_s`, however many want to know. While Keystone is away, old numbers do."""

    def __init__(self, config: LimitsConfig, keystone: Keystone, *, region: str | None) -> None:
        self._config, self._keystone, self._region = config, keystone, region
        self._known: dict[str | None, tuple[float, Mapping[str, int]]] = {}  # in the order they were asked for
        self._asking: dict[str | None, asyncio.Lock] = {}

    async def of(self, project_id: str | None) -> Mapping[str, int]:
        """The project's own limits over the registered ones, by resource name; below zero is no limit.

        Raises Unavailable if Keystone does not answer and never did for this project, or names no image service.
        """
        if (fresh := self._fresh(project_id)) is not None:
            return fresh
        async with self._asking.setdefault(project_id, asyncio.Lock()):
            if (fresh := self._fresh(project_id)) is not None:
                return fresh
            try:
                limits = await self._ask(project_id)
            except Unavailable:
                if project_id not in self._known:
                    raise
                log.warning("limits.stale", project=project_id)
                return self._known[project_id][1]
            self._remember(project_id, limits)
            return limits

    def _fresh(self, project_id: str | None) -> Mapping[str, int] | None:
        asked_at, limits = self._known.get(project_id, (float("-inf"), {}))
        return limits if time.monotonic() - asked_at < self._config.cache_s else None

    def _remember(self, project_id: str | None, limits: Mapping[str, int]) -> None:
        self._known.pop(project_id, None)
        self._known[project_id] = (time.monotonic(), limits)
        if len(self._known) > _PROJECTS_MAX:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._asking.pop(oldest, None)

    async def _ask(self, project_id: str | None) -> Mapping[str, int]:
        catalog = await self._keystone.resource("/auth/catalog", {})
        service_id, region_id = service_of(catalog, self._config, self._region)
        where = {"service_id": service_id} | ({"region_id": region_id} if region_id else {})
        registered = await self._keystone.resource("/registered_limits", where)
        own = await self._keystone.resource("/limits", {**where, "project_id": project_id}) if project_id else {}
        return _numbers(registered, "registered_limits", "default_limit") | _numbers(own, "limits", "resource_limit")


def service_of(catalog: Mapping[str, Any], config: LimitsConfig, region: str | None) -> tuple[str, str | None]:
    """Id and region of the service whose limits count. Raises Unavailable if the catalog does not name exactly one."""
    try:
        found = {
            (str(service["id"]), endpoint.get("region_id"))
            for service in catalog["catalog"]
            if service.get("type") == config.service_type and config.service_name in {None, service.get("name")}
            for endpoint in service.get("endpoints", ())
            if endpoint.get("interface") == config.interface and region in {None, endpoint.get("region_id")}
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise Unavailable("Keystone", "its catalog cannot be read") from error
    if len(found) != 1:
        raise Unavailable(
            "Keystone",
            f"its catalog has {len(found)} {config.interface} endpoints of type {config.service_type!r}, not one: see "
            "auth.keystone.limits and auth.keystone.region_name",
        )
    return found.pop()


def _numbers(document: Mapping[str, Any], collection: str, value: str) -> dict[str, int]:
    try:
        return {str(row["resource_name"]): int(row[value]) for row in document.get(collection, ())}
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable("Keystone", f"its {collection} cannot be read") from error
