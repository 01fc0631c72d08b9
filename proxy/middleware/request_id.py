"""The name of a request in logs, answers and tasks: the client's own if it sent one."""

import os
import re

from aiohttp import web

from proxy.logs import log_with
from proxy.middleware.state import STATE, State

HEADER = "X-Openstack-Request-Id"
_PREFIX = "req-"
_PRINTABLE = re.compile(r"[\x20-\x7e]+")


def name_request(request: web.Request, state: State, longest: int) -> None:
    """A name that is too long or not printable is replaced: it goes into logs and headers.

    Source: glance/api/middleware/context.py.
    """
    sent = request.headers.get(HEADER, "").strip()
    if not _PRINTABLE.fullmatch(sent) or 0 < longest < len(sent):
        sent = _new_name()
    state.request_id = sent if sent.startswith(_PREFIX) else f"{_PREFIX}{sent}"
    log_with({"request_id": state.request_id})


def _new_name() -> str:
    """As with `uuid.uuid4`, which costs five times as much: of RFC 9562's version 4, and of variant 10 always `a`."""
    digits = os.urandom(15).hex()
    return f"{_PREFIX}{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:]}"


def name_response(request: web.Request, response: web.StreamResponse) -> None:
    """A signal, so that streamed answers bear the name too. Answers to those who are nobody bear none, as in Glance."""
    state = request.get(STATE)
    if state is None:
        return
    state.started = response
    if state.context is not None and state.request_id:
        response.headers["x-openstack-request-id"] = state.request_id
