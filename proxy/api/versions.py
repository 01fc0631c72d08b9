"""The list of versions. It is open to everybody: clients read it before they have a token."""

from http import HTTPStatus
from typing import Any

from aiohttp import web

from proxy.api.call import Call, json_response
from proxy.api.negotiation import version_list


async def index(call: Call) -> web.StreamResponse:
    return json_response(_list(call))


async def choices(call: Call) -> web.StreamResponse:
    """The answer to a path without a version that we speak."""
    return json_response(_list(call), HTTPStatus.MULTIPLE_CHOICES)


async def with_slash(call: Call) -> web.StreamResponse:
    """`/v2` means `/v2/`, where there is nothing either; clients that follow redirects rely on it being one."""
    return web.Response(status=HTTPStatus.FOUND, headers={"Location": f"{call.entrance.url}/v2/"})


def _list(call: Call) -> dict[str, Any]:
    config = call.services.config
    return version_list(config.server.public_endpoint or call.entrance.url, with_cache=config.api.cache_api)
