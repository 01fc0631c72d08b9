"""Tokens of the personas from a seeded Keystone, for recording."""

import json
import urllib.request
from collections.abc import Callable, Mapping

PROJECTS: Mapping[str, str] = {"admin": "admin", "demo": "demo", "viewer": "demo", "alt": "alt"}
"""Persona (which is the user's name) to project."""


def tokens_from(auth_url: str, password: str = "secret") -> Callable[[str], str | None]:
    """A look-up of one scoped token for each persona; None for a persona without an account."""
    issued = {user: _issue(auth_url, user, project, password) for user, project in PROJECTS.items()}
    return issued.get


def _issue(auth_url: str, user: str, project: str, password: str) -> str:
    default = {"id": "default"}
    document = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": user, "domain": default, "password": password}},
            },
            "scope": {"project": {"name": project, "domain": default}},
        },
    }
    request = urllib.request.Request(
        f"{auth_url}/auth/tokens", json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.headers["X-Subject-Token"])
