"""Which version of the API a request speaks, and the path it then means. Pure.

Source: glance/api/versions.py; glance/api/middleware/version_negotiation.py. Glint always has several stores, so
everything that Glance offers with `enabled_backends` is offered; what it offers with `image_cache_dir` only
`with_cache`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_OLD = ("2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0")
_STORES = ("2.13", "2.12", "2.11", "2.10", "2.9", "2.8")
# Newest first. Without a cache the current one stands in the midst of the list, as in Glance.
VERSIONS: Sequence[str] = ("2.18", "2.17", "2.16", "2.15", "2.14", *_STORES, *_OLD)
VERSIONS_WITHOUT_CACHE: Sequence[str] = ("2.15", *_STORES, "2.17", *_OLD)
_PREFIXES = {
    True: frozenset({"v2", *(f"v{version}" for version in VERSIONS)}),
    False: frozenset({"v2", *(f"v{version}" for version in VERSIONS_WITHOUT_CACHE)}),
}
_SLASHES = re.compile("//+")
_MEDIA_TYPE = "application/vnd.openstack.images-"
OPEN_PATHS = frozenset({"/versions", "/healthcheck"})


def api_path(path: str, accept: str, *, with_cache: bool = True) -> str:
    """The path in the route table: under `/v2`, one of `OPEN_PATHS`, or `/` for what names no version we speak.

    Doubled slashes count as one, as by clients that join an endpoint with a path.
    """
    path = _SLASHES.sub("/", path)
    head, slash, rest = path.lstrip("/").partition("/")
    if f"/{head}" in OPEN_PATHS:
        return f"/{head}"
    accepted = _PREFIXES[with_cache]
    if accept.startswith(_MEDIA_TYPE):
        return f"/v2/{path.lstrip('/')}" if accept.removeprefix(_MEDIA_TYPE) in accepted else "/"
    return f"/v2{slash}{rest}" if head in accepted else "/"


def resolved(path: str) -> str:
    """`path` without the segments `.` and `..`, as uWSGI and Apache hand it on to a Glance.

    To be asked before `%2E` is decoded: that belongs to a name.
    """
    if not path.startswith("/") or "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    end = "/" if kept and segments[-1] in {"", ".", ".."} else ""
    return f"/{'/'.join(kept)}{end}"


def version_list(endpoint: str, *, with_cache: bool = True) -> dict[str, Any]:
    """`endpoint` is the URL under which clients reach the API."""
    href = f"{endpoint.rstrip('/')}/v2/"
    offered, current = (VERSIONS, "2.18") if with_cache else (VERSIONS_WITHOUT_CACHE, "2.17")
    return {"versions": [_version(version, href, is_current=version == current) for version in offered]}


def _version(version: str, href: str, *, is_current: bool) -> Mapping[str, Any]:
    return {
        "id": f"v{version}",
        "status": "CURRENT" if is_current else "SUPPORTED",
        "links": [{"rel": "self", "href": href}],
    }
