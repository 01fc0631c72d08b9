"""Tokens of the personas from a seeded Keystone."""

import functools
import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

_DEFAULT = {"id": "default"}


def _in_project(name: str) -> dict[str, Any]:
    return {"project": {"name": name, "domain": _DEFAULT}}


ACCOUNTS: Mapping[str, tuple[str, Any]] = {
    "admin": ("admin", _in_project("admin")),
    "demo": ("demo", _in_project("demo")),
    "viewer": ("viewer", _in_project("demo")),
    "alt": ("alt", _in_project("alt")),
    "service": ("service", _in_project("service")),
    "nova": ("nova", _in_project("service")),
    "system": ("admin", {"system": {"all": True}}),
    "domain": ("demo", {"domain": _DEFAULT}),
    "unscoped": ("demo", "unscoped"),
}
"""Persona to user and scope. `nova` is an admin who is a service, `service` is a service alone."""


def tokens_from(auth_url: str, password: str = "secret") -> Callable[[str], str | None]:
    """A look-up of one token for each persona; None for a persona without an account."""

    @functools.cache
    def token(persona: str) -> str | None:
        return _issue(auth_url, *ACCOUNTS[persona], password) if persona in ACCOUNTS else None

    return token


def _issue(auth_url: str, user: str, scope: Any, password: str) -> str:
    document = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": user, "domain": _DEFAULT, "password": password}},
            },
            "scope": scope,
        },
    }
    request = urllib.request.Request(
        f"{auth_url}/auth/tokens", json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.headers["X-Subject-Token"])
