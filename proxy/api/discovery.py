"""What this Glint offers: ways to import, stores, and how much of them a project has and may have."""

from typing import Any

from aiohttp import web

from proxy.api.call import Call, json_response
from upstream.stores import StoreInfo


async def import_methods(call: Call) -> web.StreamResponse:
    methods = list(call.services.config.api.import_methods)
    value = {"description": "Import methods available.", "type": "array", "value": methods}
    return json_response({"import-methods": value})


async def usage(call: Call) -> web.StreamResponse:
    return json_response({"usage": await call.services.quotas.report(call.context)})


async def stores(call: Call) -> web.StreamResponse:
    return json_response({"stores": [_store(info) for info in call.services.stores.infos()]})


async def stores_detail(call: Call) -> web.StreamResponse:
    """Source: glance/api/v2/policy.py, DiscoveryAPIPolicy: the target of the rule is empty."""
    call.services.policy.enforce("stores_info_detail", call.context, {})
    return json_response({"stores": [_detailed(info) for info in call.services.stores.infos()]})


def _store(info: StoreInfo) -> dict[str, str]:
    """Truths are strings here, and what is not true is left out. Source: glance/api/v2/discovery.py."""
    described = {"description": info.description} if info.description else {}
    default = {"default": "true"} if info.is_default else {}
    read_only = {"read-only": "true"} if info.is_read_only else {}
    return {"id": info.id, **described, **default, **read_only}


def _detailed(info: StoreInfo) -> dict[str, Any]:
    return {**_store(info), "type": info.kind, "properties": dict(info.properties), "weight": info.weight}
