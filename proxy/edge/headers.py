"""Which headers pass a gateway, and what it adds. Pure.

Source: RFC 9110, sections 7.6.1 and 7.6.3; keystonemiddleware/auth_token/_request.py;
oslo_middleware/http_proxy_to_wsgi.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.api.forwarding import Entrance
from proxy.errors import BadRequest

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What keystonemiddleware tells Glance of a caller whose token it has validated: nobody else may say it.
_IDENTITY = re.compile(
    r"x-(service-)?(identity-status|(user|project|tenant|domain|role|roles)(-[a-z-]+)?)"
    r"|x-(service-catalog|is-admin|is-admin-project|system-scope)|openstack-system-scope"
)
_FORWARDING = re.compile(r"forwarded|x-forwarded-[a-z-]+|x-real-ip")
_OURS = frozenset({"host", "content-length", "expect", "via", "x-openstack-request-id"})
_CREDENTIALS = ("X-Auth-Token", "X-Storage-Token", "X-Service-Token", "Authorization")
_VIA = "1.1 glint"
_LOOPS_MAX = 5
REQUEST_ID = "X-Openstack-Request-Id"


def to_glance(
    headers: CIMultiDictProxy[str], entrance: Entrance, peer: str | None, *, believes: bool, keeps_host: bool
) -> CIMultiDict[str]:
    """The headers of a client's request as they go on, without those that frame its body.

    `believes`: what a proxy before us says of the client is passed on, else we say it ourselves. A name with an
    underscore is dropped, as by nginx: Glance's server could not tell it from its twin with dashes.
    Raises BadRequest for a request that was here before, and for bytes that are no text.
    """
    sent = CIMultiDict[str]()
    dropped = _named_by_connection(headers) | _OURS
    for name, value in headers.items():
        low = name.lower()
        if low in dropped or "_" in low or _IDENTITY.fullmatch(low) or (not believes and _FORWARDING.fullmatch(low)):
            continue
        sent.add(name, _checked(name, value))
    if keeps_host and "Host" in headers:
        sent["Host"] = _checked("Host", headers["Host"])
    via = [*headers.getall("Via", ()), _VIA]
    if sum(line.count(_VIA) for line in via) > _LOOPS_MAX:
        raise BadRequest("This request went through Glint several times: registry.glance.url leads back to it.")
    sent["Via"] = _checked("Via", ", ".join(via))
    if peer:
        sent["X-Forwarded-For"] = ", ".join([*sent.popall("X-Forwarded-For", ()), peer])
    sent.setdefault("X-Forwarded-Proto", entrance.scheme)
    sent.setdefault("X-Forwarded-Host", entrance.host)
    return sent


def to_client(headers: CIMultiDictProxy[str], entrance: Entrance, glance_url: str) -> CIMultiDict[str]:
    """The headers of Glance's answer as they come back: all but those between it and us.

    A Location at Glance's own address would lead past Glint, to where the client perhaps cannot go.
    """
    back = CIMultiDict[str]()
    dropped = _named_by_connection(headers)
    for name, value in headers.items():
        if name.lower() in dropped:
            continue
        text = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        back.add(name, led_back(text, entrance, glance_url) if name.lower() == "location" else text)
    return back


def led_back(location: str, entrance: Entrance, glance_url: str) -> str:
    """The same place as the client reaches it, if it is one of Glance's."""
    if location.startswith(f"{glance_url}/"):
        return entrance.url + location.removeprefix(glance_url)
    parts = urlsplit(location)
    if parts.netloc == entrance.host and parts.scheme in {"http", "https"}:
        # Glance does not know who speaks TLS before it. What follows stays as it is: put together anew it may differ.
        return entrance.scheme + location[len(parts.scheme) :]
    return location


def credentials(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """What the caller shows of himself, for requests that are made for him."""
    return {name: _checked(name, headers[name]) for name in _CREDENTIALS if name in headers}


def without_range(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """For a request that asks for another part, or for none."""
    left = CIMultiDict(headers)
    for name in ("Range", "If-Range", "Content-Range", "If-Match", "If-None-Match", "If-Modified-Since"):
        left.popall(name, None)
    return left


def _named_by_connection(headers: CIMultiDictProxy[str]) -> frozenset[str]:
    return _HOP_BY_HOP | frozenset(_tokens(headers.getall("Connection", ())))


def _tokens(lines: Iterable[str]) -> Iterable[str]:
    return (token.strip().lower() for line in lines for token in line.split(","))


def _checked(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeError:
        raise BadRequest(f"The header {name} has bytes that are not UTF-8.") from None
    return value
