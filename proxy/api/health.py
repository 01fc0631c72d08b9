"""Whether this Glint should get requests, for load balancers. An operator takes it out by creating a file.

Source: oslo_middleware/healthcheck.
"""

import asyncio
import gc
import html
import platform
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from proxy.api.accept import preferred
from proxy.api.call import DeliveryCall, json_response

_KINDS = ("text/plain", "text/html", "application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What the only check found."""

    status: HTTPStatus
    reason: str
    details: str


async def show(call: DeliveryCall) -> web.StreamResponse:
    check = await _check(call)
    kind = preferred(call.request.headers.get(hdrs.ACCEPT, ""), _KINDS)
    details = await asyncio.to_thread(_details, check) if call.services.config.api.healthcheck_detailed else None
    if kind == "application/json":
        return json_response(details or {"detailed": False, "reasons": [check.reason]}, check.status)
    if kind == "text/html":
        return web.Response(text=_page(check, details), status=check.status, content_type="text/html")
    return web.Response(text=check.reason, status=check.status)


async def probe(call: DeliveryCall) -> web.StreamResponse:
    status = (await _check(call)).status
    return web.Response(status=HTTPStatus.NO_CONTENT if status is HTTPStatus.OK else status)


async def _check(call: DeliveryCall) -> Check:
    """A Glint that stops is out before any file says so."""
    if call.services.departure.is_announced:
        return Check(status=HTTPStatus.SERVICE_UNAVAILABLE, reason="DRAINING", details="This Glint was told to stop")
    file = call.services.config.api.healthcheck_disable_file
    if file is None:
        return Check(status=HTTPStatus.OK, reason="OK", details="No api.healthcheck_disable_file is set")
    if await asyncio.to_thread(file.exists):
        reason, details = "DISABLED BY FILE", f"Path '{file}' was found"
        return Check(status=HTTPStatus.SERVICE_UNAVAILABLE, reason=reason, details=details)
    return Check(status=HTTPStatus.OK, reason="OK", details=f"Path '{file}' was not found")


def _details(check: Check) -> dict[str, Any]:
    """What only operators should see: what this process runs on, and what its threads do."""
    return {
        "detailed": True,
        "reasons": [{"reason": check.reason, "details": check.details, "class": "HealthcheckResult"}],
        "now": str(datetime.now(UTC).replace(tzinfo=None)),
        "platform": platform.platform(),
        "python_version": sys.version,
        "gc": {"counts": gc.get_count(), "threshold": gc.get_threshold()},
        "greenthreads": [],
        "threads": ["".join(traceback.format_stack(frame)) for frame in sys._current_frames().values()],  # noqa: SLF001 - documented, and the only way
    }


def _page(check: Check, details: Mapping[str, Any] | None) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td><pre>{html.escape(str(value))}</pre></td></tr>"
        for name, value in (details or {"reason": check.reason}).items()
    )
    return f"<html><head><title>Healthcheck Status</title></head><body><table>{rows}</table></body></html>"
