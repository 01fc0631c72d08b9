"""Which pages of other origins may read our answers: Cross-Origin Resource Sharing. Pure.

Source: oslo_middleware/cors.py, with the defaults of glance/common/config.py.
"""

from collections.abc import Mapping

from aiohttp import hdrs
from pydantic import BaseModel, Field

# Those that a browser may always send, as oslo.middleware sees it.
_SIMPLE_HEADERS = frozenset(
    {
        "ACCEPT",
        "ACCEPT-LANGUAGE",
        "CONTENT-TYPE",
        "CACHE-CONTROL",
        "CONTENT-LANGUAGE",
        "EXPIRES",
        "LAST-MODIFIED",
        "PRAGMA",
    }
)


class CorsConfig(BaseModel, frozen=True, extra="forbid"):
    """The `cors:` section. Without an origin nothing is said to any page. `max_age` is in seconds."""

    allowed_origin: tuple[str, ...] = ()
    allow_credentials: bool = True
    max_age: int = Field(default=3600, ge=0)
    allow_methods: tuple[str, ...] = ("GET", "PUT", "POST", "DELETE", "PATCH")
    allow_headers: tuple[str, ...] = (
        "Content-MD5",
        "X-Image-Meta-Checksum",
        "X-Storage-Token",
        "Accept-Encoding",
        "X-Auth-Token",
        "X-Identity-Status",
        "X-Roles",
        "X-Service-Catalog",
        "X-User-Id",
        "X-Tenant-Id",
        "X-OpenStack-Request-ID",
    )
    expose_headers: tuple[str, ...] = (
        "X-Image-Meta-Checksum",
        "X-Auth-Token",
        "X-Subject-Token",
        "X-Service-Token",
        "X-OpenStack-Request-ID",
    )


def response_headers(config: CorsConfig, method: str, headers: Mapping[str, str]) -> dict[str, str]:
    """What an answer says to the page that the request came from; nothing to one that is not allowed."""
    origin = _allowed(config, headers.get(hdrs.ORIGIN))
    if origin is None:
        return {}
    said: dict[str, str] = {hdrs.VARY: "Origin", hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin}
    if config.allow_credentials:
        said[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
    if method == hdrs.METH_OPTIONS:
        preflight = _preflight(config, headers)
        return {} if preflight is None else said | preflight
    if config.expose_headers:
        said[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ",".join(config.expose_headers)
    return said


def _allowed(config: CorsConfig, origin: str | None) -> str | None:
    """The origin as it is to be named; None if it may not read."""
    if origin is None or origin in config.allowed_origin:
        return origin
    return "*" if "*" in config.allowed_origin else None


def _preflight(config: CorsConfig, headers: Mapping[str, str]) -> dict[str, str] | None:
    """What it says of the request that is to follow; None if that may not come."""
    method = headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
    if method is None or method not in config.allow_methods:
        return None
    asked = [name.strip() for name in headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "").split(",") if name.strip()]
    permitted = _SIMPLE_HEADERS | {name.upper() for name in config.allow_headers}
    if any(name.upper() not in permitted for name in asked):
        return None
    said: dict[str, str] = {hdrs.ACCESS_CONTROL_ALLOW_METHODS: method}
    if config.max_age:
        said[hdrs.ACCESS_CONTROL_MAX_AGE] = str(config.max_age)
    if asked:
        said[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ",".join(asked)
    return said
