"""What a token says: pure readings of the document Keystone answers a validation with."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from upstream.errors import Unauthenticated
from upstream.types import Context

Document = Mapping[str, Any]  # {"token": {"user": ..., "expires_at": ...}}

SERVICE_TYPE = "image"

_TOKEN_MAX_CHARS = 8192
_PATTERN_PART = re.compile(r"\{[^}]*\}|\*\*|\*|[^{*]+|\{")
_PRINTABLE = re.compile(r"[!-~]+")


def is_token(text: str) -> bool:
    """Whether `text` can be a token at all: anything else could not even be sent to Keystone."""
    return len(text) <= _TOKEN_MAX_CHARS and _PRINTABLE.fullmatch(text) is not None


def expires_at_s(document: Document) -> float:
    """End of the token's life in seconds since 1970. Raises Unauthenticated if the document does not say."""
    try:
        return _time_s(document["token"]["expires_at"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unauthenticated("The token's description cannot be read") from error


def _time_s(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.timestamp()


def roles_of(document: Document) -> frozenset[str]:
    """In lower case. Raises Unauthenticated if the document cannot be read."""
    try:
        return frozenset(role["name"].lower() for role in document["token"].get("roles") or ())
    except (KeyError, TypeError, AttributeError) as error:
        raise Unauthenticated("The token's description cannot be read") from error


def context_of(document: Document, service: Document | None, request_id: str, *, token: str | None = None) -> Context:
    """Who holds the token, with the roles of the service that calls on its behalf, if one does.

    `is_admin` is left to the policy. Raises Unauthenticated if a document cannot be read.
    """
    roles = roles_of(document)
    try:
        said = document["token"]
        user, project = said["user"], said.get("project") or {}
        return Context(
            user_id=_text(user["id"]),
            user_domain_id=_text((user.get("domain") or {}).get("id")),
            project_id=_text(project.get("id")),
            project_domain_id=_text((project.get("domain") or {}).get("id")),
            domain_id=_text((said.get("domain") or {}).get("id")),
            system_scope="all" if (said.get("system") or {}).get("all") else None,
            roles=roles,
            service_roles=roles_of(service) if service is not None else frozenset(),
            request_id=request_id,
            token=token,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Unauthenticated("The token's description cannot be read") from error


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("an id that is no string")
    return value


def is_bound(document: Document) -> bool:
    """Whether the token is good only beside a Kerberos login, which Glint does not offer. Other binds are ignored.

    Source: keystonemiddleware, enforce_token_bind = permissive.
    """
    bind = document["token"].get("bind")
    return isinstance(bind, dict) and "kerberos" in bind


def permits(document: Document, *, method: str, path: str) -> bool:
    """Whether the access rules of an application credential allow this request. Without rules all is allowed.

    Source: keystonemiddleware/auth_token, validate_allowed_request, with service_type = image.
    """
    credential = document["token"].get("application_credential")
    rules = credential.get("access_rules") if isinstance(credential, dict) else None
    if rules is None:
        return True
    return isinstance(rules, list) and any(
        rule.get("service") == SERVICE_TYPE
        and rule.get("method") == method
        and _path_pattern(str(rule.get("path"))).fullmatch(path) is not None
        for rule in rules
        if isinstance(rule, Mapping)
    )


@lru_cache(maxsize=1024)
def _path_pattern(text: str) -> re.Pattern[str]:
    """`{name}` and `*` stand for one part of a path, `**` for any number of them."""
    meaning = {"**": ".*", "*": "[^/]+"}
    parts = (
        "[^/]+" if part.startswith("{") and part.endswith("}") else meaning.get(part, re.escape(part))
        for part in _PATTERN_PART.findall(text)
    )
    return re.compile("".join(parts), re.DOTALL)
