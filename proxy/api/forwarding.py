"""By which URL a client reached us, also through proxies that say so. Pure.

Source: oslo_middleware/http_proxy_to_wsgi.py; webob/request.py, host_url.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.errors import BadRequest

_HOST = re.compile(r"[A-Za-z0-9._~:\[\]%!$&'()*+,;=-]*")  # RFC 3986, section 3.2.2
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")  # RFC 3986, section 3.1
_PREFIX = re.compile(r"[\x21-\x7e]*")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Scheme and host of the URL, what stands before our paths in it, and the client's address."""

    scheme: str
    host: str
    prefix: str = ""
    client: str | None = None

    @property
    def origin(self) -> str:
        """Scheme and host, without a port that the scheme means anyway."""
        return f"{self.scheme}://{self.host.removesuffix(_DEFAULT_PORTS.get(self.scheme, ':'))}"

    @property
    def url(self) -> str:
        """The URL of our root."""
        return f"{self.origin}{self.prefix}"


def check_host(host: str) -> None:
    """Raises BadRequest for one that is none: answers name it."""
    if not _HOST.fullmatch(host):
        raise BadRequest("The header Host names no host.")


def forwarded(entrance: Entrance, headers: Mapping[str, str]) -> Entrance:
    """What the proxies say of the client's own request; the first of several speaks.

    With a header Forwarded (RFC 7239), X-Forwarded-Proto, -Host and -For say nothing. Raises BadRequest for what cannot
    stand in a URL.
    """
    if first := headers.get("Forwarded", ""):
        said = dict(_pair(part) for part in first.partition(",")[0].split(";"))
    else:
        said = {name: headers.get(f"X-Forwarded-{name}", "") for name in ("proto", "host", "for")}
    found = Entrance(
        scheme=said.get("proto") or entrance.scheme,
        host=said.get("host") or entrance.host,
        prefix=headers.get("X-Forwarded-Prefix", "") + entrance.prefix,
        client=said.get("for") or entrance.client,
    )
    if not _SCHEME.fullmatch(found.scheme) or not _HOST.fullmatch(found.host) or not _PREFIX.fullmatch(found.prefix):
        raise BadRequest("A proxy's header names no URL.")
    return found


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip().lower(), value.strip().strip('"')  # quoted, as it must be with a port
