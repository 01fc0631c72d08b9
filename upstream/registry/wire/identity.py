"""Who asks, as headers: those that Glance sends to its registry (`send_identity_headers`), and what else we know. Pure.

The user's token stays behind: a registry decides by identity alone.
"""

from collections.abc import Mapping
from urllib.parse import quote, unquote

from upstream.registry.wire.codec import Unreadable
from upstream.types import Context

_TEXTS: Mapping[str, str] = {
    "user_id": "X-User-Id",
    "project_id": "X-Tenant-Id",
    "user_domain_id": "X-User-Domain-Id",
    "project_domain_id": "X-Project-Domain-Id",
    "domain_id": "X-Domain-Id",
    "system_scope": "X-System-Scope",
    "request_id": "X-Openstack-Request-Id",
}
_LISTS: Mapping[str, str] = {"roles": "X-Roles", "service_roles": "X-Service-Roles"}
_FLAGS: Mapping[str, str] = {"is_admin": "X-Is-Admin", "read_only": "X-Read-Only"}

HEADERS: tuple[str, ...] = (*_TEXTS.values(), *_LISTS.values(), *_FLAGS.values())


def to_headers(context: Context | None) -> dict[str, str]:
    """One for each thing that is known. Values are percent-encoded, so that they cross HTTP as they are."""
    if context is None:
        return {}
    found = {_TEXTS[name]: _quoted(held) for name in _TEXTS if (held := getattr(context, name)) is not None}
    found |= {_LISTS[name]: _listed(held) for name in _LISTS if (held := getattr(context, name))}
    return found | {_FLAGS[name]: "true" for name in _FLAGS if getattr(context, name)}


def from_headers(headers: Mapping[str, str]) -> Context:
    """Raises Unreadable for a flag that is none."""
    for header in _FLAGS.values():
        if headers.get(header, "true") != "true":
            raise Unreadable(f"{header} is true, or not there")
    return Context(
        user_id=_text(headers, "user_id"),
        project_id=_text(headers, "project_id"),
        user_domain_id=_text(headers, "user_domain_id"),
        project_domain_id=_text(headers, "project_domain_id"),
        domain_id=_text(headers, "domain_id"),
        system_scope=_text(headers, "system_scope"),
        roles=_list(headers, "roles"),
        service_roles=_list(headers, "service_roles"),
        is_admin=_FLAGS["is_admin"] in headers,
        read_only=_FLAGS["read_only"] in headers,
        request_id=_text(headers, "request_id") or "",
    )


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _listed(texts: frozenset[str]) -> str:
    return ",".join(_quoted(each) for each in sorted(texts))


def _text(headers: Mapping[str, str], name: str) -> str | None:
    held = headers.get(_TEXTS[name])
    return None if held is None else unquote(held, errors="surrogatepass")


def _list(headers: Mapping[str, str], name: str) -> frozenset[str]:
    held = headers.get(_LISTS[name], "")
    return frozenset(unquote(each, errors="surrogatepass") for each in held.split(",") if each)
