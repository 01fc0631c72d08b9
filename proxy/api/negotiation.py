"""Which version of the API a request speaks, and the path it then means. Pure.

Source: glance/api/versions.py; glance/api/middleware/version_negotiation.py. Glint always has several stores and a
cache, so everything that Glance offers with `enabled_backends` and `image_cache_dir` is offered.
"""

from collections.abc import Mapping, Sequence
from typing import Any

CURRENT = "2.18"
VERSIONS: Sequence[str] = (
    *("2.18", "2.17", "2.16", "2.15", "2.14", "2.13", "2.12", "2.11", "2.10"),
    *("2.9", "2.8", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0"),
)
_ACCEPTED = frozenset({"v2", *(f"v{version}" for version in VERSIONS)})
_MEDIA_TYPE = "application/vnd.openstack.images-"
OPEN_PATHS = frozenset({"/versions", "/healthcheck"})


def api_path(path: str, accept: str) -> str:
    """The path in the route table: under `/v2`, one of `OPEN_PATHS`, or `/` for what names no version we speak.

    Slashes around the version may be doubled, as by clients that join an endpoint with a path; those further on count.
    """
    head, slash, rest = path.lstrip("/").partition("/")
    if f"/{head}" in OPEN_PATHS:
        return f"/{head}"
    if accept.startswith(_MEDIA_TYPE):
        return f"/v2/{path.lstrip('/')}" if accept.removeprefix(_MEDIA_TYPE) in _ACCEPTED else "/"
    return f"/v2{slash}{rest.lstrip('/')}" if head in _ACCEPTED else "/"


def version_list(endpoint: str) -> dict[str, Any]:
    """`endpoint` is the URL under which clients reach the API."""
    href = f"{endpoint.rstrip('/')}/v2/"
    return {"versions": [_version(version, href) for version in VERSIONS]}


def _version(version: str, href: str) -> Mapping[str, Any]:
    return {
        "id": f"v{version}",
        "status": "CURRENT" if version == CURRENT else "SUPPORTED",
        "links": [{"rel": "self", "href": href}],
    }
