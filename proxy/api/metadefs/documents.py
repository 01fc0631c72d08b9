"""The schemas of metadata definitions, served."""

from aiohttp import web

from proxy.api.call import Call, Handler, json_response
from proxy.api.metadefs.schemas import DOCUMENTS

NAMES = tuple(DOCUMENTS)


def serve(name: str) -> Handler:
    """The handler that answers with one schema."""

    async def show(call: Call) -> web.StreamResponse:
        return json_response(DOCUMENTS[name])

    return show
