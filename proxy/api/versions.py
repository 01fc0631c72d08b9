"""The list of versions. It is open to everybody: clients read it before they have a token."""

from http import HTTPStatus

from aiohttp import web

from proxy.api.call import Call, json_response
from proxy.api.negotiation import version_list


async def index(call: Call) -> web.StreamResponse:
    return json_response(version_list(_endpoint(call)))


async def choices(call: Call) -> web.StreamResponse:
    """The answer to a path without a version that we speak."""
    return json_response(version_list(_endpoint(call)), HTTPStatus.MULTIPLE_CHOICES)


async def with_slash(call: Call) -> web.StreamResponse:
    """`/v2` means `/v2/`, where there is nothing either; clients that follow redirects rely on it being one."""
    return web.Response(status=HTTPStatus.FOUND, headers={"Location": f"{call.origin}/v2/"})


def _endpoint(call: Call) -> str:
    return call.services.config.server.public_endpoint or call.origin
