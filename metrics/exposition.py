"""/metrics and /healthz on a port of their own, so that no client of the API can reach them."""

import asyncio
from collections.abc import Callable
from importlib.metadata import version

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Info, generate_latest

VERSION = version("glint")  # reads files, which may take a while where a loop waits for it


def build_metrics_app(registry: CollectorRegistry, is_serving: Callable[[], bool] = lambda: True) -> web.Application:
    """Once for a registry, to which it adds the version."""
    Info("glint_build", "The version of Glint that runs.", registry=registry).info({"version": VERSION})

    async def numbers(request: web.Request) -> web.Response:
        body = await asyncio.to_thread(generate_latest, registry)  # of several workers: files are read
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if is_serving() else web.Response(text="no worker\n", status=503)

    app = web.Application()
    app.router.add_get("/metrics", numbers)
    app.router.add_get("/healthz", health)
    return app
