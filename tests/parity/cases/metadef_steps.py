"""Steps that the cases of metadata definitions share. A case's namespace is `{uniq}`, and goes at the case's end."""

from collections.abc import Mapping
from typing import Any

from tests.parity.model import Persona, Step, get, request

NAMESPACES = "/v2/metadefs/namespaces"
NAMESPACE = f"{NAMESPACES}/{{uniq}}"
EVERYBODY: tuple[Persona, ...] = ("admin", "demo", "viewer", "alt", "anonymous")
PRIVATE_OF_DEMO: Mapping[str, Any] = {"owner": "{demo}", "visibility": "private"}

PROPERTY: Mapping[str, Any] = {"title": "Cores", "type": "integer", "minimum": 1, "default": 2}
WHOLE: Mapping[str, Any] = {
    "display_name": "All at once",
    "description": "Everything that a namespace may hold.",
    "visibility": "public",
    "protected": False,
    "owner": "{demo}",
    "resource_type_associations": [
        {"name": "OS::Nova::Server", "prefix": "hw:", "properties_target": "metadata"},
        {"name": "OS::Glance::Image"},
    ],
    "properties": {
        "cores": dict(PROPERTY),
        "distro": {"title": "Distro", "type": "string", "enum": ["debian", "ubuntu"], "operators": ["<in>"]},
    },
    "objects": [
        {"name": "bare"},
        {
            "name": "disk",
            "description": "A disk",
            "required": ["bus"],
            "properties": {
                "bus": {"title": "Bus", "type": "string"},
                "sizes": {"title": "Sizes", "type": "array", "items": {"type": "integer"}, "minItems": 1},
            },
        },
    ],
    "tags": [{"name": "gold"}, {"name": "silver"}],
}


def make(*, by: Persona = "admin", name: str = "{uniq}", **attributes: Any) -> Step:
    """Create a namespace."""
    return request("POST", NAMESPACES, by=by, json_body={"namespace": name, **attributes})


def drop(*, by: Persona = "admin", name: str = "{uniq}") -> Step:
    """Delete a namespace."""
    return request("DELETE", f"{NAMESPACES}/{name}", by=by)


def show(path: str = "", *, by: Persona = "admin") -> Step:
    """Ask for the case's namespace, or for what lies below it."""
    return get(f"{NAMESPACE}{path}", by=by)


def send(method: str, path: str, document: Any = None, *, by: Persona = "admin", **headers: str) -> Step:
    """A request on what lies below the case's namespace."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(method, f"{NAMESPACE}{path}", by=by, json_body=document, headers=named)
