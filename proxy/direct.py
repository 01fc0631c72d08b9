"""An application that hands every request to one handler.

aiohttp's own looks for a route first, by paths that know no version prefixes; that is a tenth of the code that a get of
an image runs through.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

Signal = Callable[[web.Request, web.StreamResponse], None]

_BODY_MAX_BYTES = 1024 * 1024


class DirectApp:
    """`signals` are called with each answer before its head is written, whether it is small or streamed.

    `body_max` is in bytes: `request.read` takes no more. What answers `Expect` is the handler's, too.
    """

    def __init__(self, handler: Handler, signals: Sequence[Signal] = (), body_max: int = _BODY_MAX_BYTES) -> None:
        self._handler, self._signals, self._body_max = handler, signals, body_max

    def server(self, watch: Callable[[], None], **options: Any) -> web.Server:
        """For a `web.ServerRunner`. `watch` is called in each request's task; `options` are those of connections."""
        signals = self._signals

        class Request(web.Request):
            async def _prepare_hook(self, response: web.StreamResponse) -> None:
                for signal in signals:
                    signal(self, response)

        def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.Request:
            return Request(message, payload, protocol, writer, task, loop, client_max_size=self._body_max)

        def answer(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            assert isinstance(request, web.Request)
            watch()
            return self._handler(request)

        loop = asyncio.get_running_loop()
        return web.Server(answer, request_factory=make, **options)
