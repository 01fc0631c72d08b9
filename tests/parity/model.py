"""A parity case: a sequence of requests that means the same to any server of the Images API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Persona = Literal[
    "admin", "demo", "viewer", "alt", "service", "nova", "system", "domain", "unscoped", "anonymous", "stranger"
]
Variant = Literal[
    "default",
    "locations",
    "nocache",
    "edge",
    "remote",
    "roles",
    "policies",
    "required",
    "quotas",
    "limits",
    "unhashed",
    "plugins",
    "conversion",
]

OCTETS: Mapping[str, str] = {"Content-Type": "application/octet-stream"}
JSON: Mapping[str, str] = {"Content-Type": "application/json"}
PATCH_V21: Mapping[str, str] = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
PATCH_V20: Mapping[str, str] = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
ACCEPT_JSON: Mapping[str, str] = {"Accept": "application/json"}
NOBODY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request. `{name}` in path, headers and body stands for a value captured before, or for one of the run's own.

    The run's own: `{uniq}` (fresh for every case), `{uuid}`, `{UUID}` and `{hex}` (a fresh id in three forms),
    `{origin}` (base URL of the HTTP origin), `{admin}`, `{demo}`, `{alt}`, `{nova}` (project ids), `{url}` (base URL of
    the server asked).
    The persona `stranger` sends a token that no Keystone issued, `anonymous` none; the others are in keystone.py.
    """

    persona: Persona
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    chunked: bool = False
    captures: Mapping[str, str] = field(default_factory=dict)
    """Name to the key of the JSON answer that holds the value; dotted if it lies deeper, as in `tasks.0.id`."""
    until: Mapping[str, Any] = field(default_factory=dict)
    """Ask again until the JSON answer has had these values twice: for what a server finishes in the background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Steps on one server, independent of all other cases."""

    name: str
    steps: tuple[Step, ...]
    variants: frozenset[Variant] = frozenset({"default"})


def case(name: str, *steps: Step, variants: frozenset[Variant] = frozenset({"default"})) -> Case:
    """A case from its steps in order."""
    return Case(name=name, steps=steps, variants=variants)


def request(
    method: str,
    path: str,
    *,
    by: Persona = "demo",
    headers: Mapping[str, str] | None = None,
    json_body: Any = None,
    body: bytes | None = None,
    chunked: bool = False,
    captures: Mapping[str, str] | None = None,
) -> Step:
    """Any request; `json_body` is sent as JSON with its content type unless `headers` name another."""
    named = dict(headers or {})
    if json_body is not None:
        named = {**JSON, **named}
        body = json.dumps(json_body).encode()
    return Step(
        persona=by, method=method, path=path, headers=named, body=body, chunked=chunked, captures=captures or {}
    )


def get(path: str, *, by: Persona = "demo", headers: Mapping[str, str] | None = None) -> Step:
    """A GET without a body."""
    return request("GET", path, by=by, headers=headers)


def create(*, by: Persona = "demo", as_: str = "id", **attributes: Any) -> Step:
    """Make an image and capture its id as `{as_}`. Its name is unique to the case unless one is given."""
    document = {"name": "{uniq}", **attributes}
    return request("POST", "/v2/images", by=by, json_body=document, captures={as_: "id"})


def create_raw(*, by: Persona = "demo", as_: str = "id", **attributes: Any) -> Step:
    """As `create`, with the formats an upload needs."""
    return create(by=by, as_=as_, **{"disk_format": "raw", "container_format": "bare", **attributes})


def show(*, by: Persona = "demo", of: str = "id") -> Step:
    """Show the image captured as `of`."""
    return get(f"/v2/images/{{{of}}}", by=by)


def show_when(*, by: Persona = "demo", of: str = "id", **values: Any) -> Step:
    """Show the image, asking again until it has these values and nothing works on it in the background."""
    return replace(show(by=by, of=of), until={**values, "os_glance_import_task": None})


def upload(
    data: bytes = b"0123456789abcdef",
    *,
    by: Persona = "demo",
    of: str = "id",
    headers: Mapping[str, str] | None = None,
    chunked: bool = False,
) -> Step:
    """Send image data; `headers` replace those named in them."""
    return request(
        "PUT",
        f"/v2/images/{{{of}}}/file",
        by=by,
        headers={**OCTETS, **(headers or {})},
        body=data,
        chunked=chunked,
    )


def download(*, by: Persona = "demo", of: str = "id", headers: Mapping[str, str] | None = None) -> Step:
    """Ask for the image data."""
    return get(f"/v2/images/{{{of}}}/file", by=by, headers=headers)


def patch(*operations: Any, by: Persona = "demo", of: str = "id", headers: Mapping[str, str] = PATCH_V21) -> Step:
    """Change the image by a JSON patch of media type 2.1, or the one in `headers`."""
    return request("PATCH", f"/v2/images/{{{of}}}", by=by, headers=headers, json_body=list(operations))


def add(path: str, value: Any) -> dict[str, Any]:
    """A JSON patch operation."""
    return {"op": "add", "path": path, "value": value}


def put(path: str, value: Any) -> dict[str, Any]:
    """A JSON patch operation: replace."""
    return {"op": "replace", "path": path, "value": value}


def remove(path: str) -> dict[str, Any]:
    """A JSON patch operation."""
    return {"op": "remove", "path": path}


def delete(*, by: Persona = "demo", of: str = "id") -> Step:
    """Delete the image captured as `of`."""
    return request("DELETE", f"/v2/images/{{{of}}}", by=by)
