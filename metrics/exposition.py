"""/metrics and /healthz on a port of their own, so that no client of the API can reach them."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from metrics.instruments import Instruments


def build_metrics_app(instruments: Instruments) -> web.Application:
    async def numbers(request: web.Request) -> web.Response:
        body = generate_latest(instruments.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    app.router.add_get("/metrics", numbers)
    app.router.add_get("/healthz", health)
    return app
