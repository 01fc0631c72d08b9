"""Every row of the route table against what nobody should send: whatever comes, it is no error of Glint's.

A route with a JSON body needs a generator in `BODIES`; one that is not there fails the test.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proxy.api.patch import MEDIA_TYPES
from proxy.api.routes import ROUTES, Route
from tests.api.client import Client
from tests.api.raw import send
from tests.api.test_generated_bodies import JSON_VALUES, fitting, made_once, objects, operations, spoiled
from tests.api.test_generated_metadef_bodies import fitting as fitting_metadef

Document = Mapping[str, Any]
Generator = Callable[[Document], st.SearchStrategy[Any]]

_SMALL = settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # an example found is reported as it is: to make it smaller takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
_TEXT = st.text(max_size=12) | st.sampled_from(["", "x" * 300, "a/b", "\U0001f600", "..", "%00", "'; --"])
_STORES = st.lists(st.sampled_from(["local", "web", "none", ""]) | JSON_VALUES, max_size=3)
_URIS = st.sampled_from(["http://127.0.0.1:1/x", "file:///etc/passwd", "http://", "http://[::1", "ftp://a/b"]) | _TEXT


def _image(document: Document) -> st.SearchStrategy[Any]:
    return objects(document["properties"])


def _patch(document: Document) -> st.SearchStrategy[Any]:
    return operations(document["properties"])


def _location(document: Document) -> st.SearchStrategy[Any]:
    return fitting(document["properties"]["locations"]["items"])


def _metadef(document: Document) -> st.SearchStrategy[Any]:
    return fitting_metadef(document, document.get("definitions", {}))


@made_once
def _member(_: Document) -> st.SearchStrategy[Any]:
    values = _TEXT | st.sampled_from(["accepted", "rejected", "pending"]) | JSON_VALUES
    return st.dictionaries(st.sampled_from(["member", "status", "x"]), values, max_size=3)


@made_once
def _import(_: Document) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["glance-direct", "web-download", "copy-image", "glance-download", "none"])
    method = st.fixed_dictionaries(
        {},
        optional={
            "name": names | JSON_VALUES,
            "uri": _URIS | JSON_VALUES,
            "glance_image_id": _TEXT | JSON_VALUES,
            "glance_region": _TEXT | JSON_VALUES,
            "glance_service_interface": _TEXT | JSON_VALUES,
        },
    )
    return st.fixed_dictionaries(
        {"method": method | JSON_VALUES},
        optional={
            "stores": _STORES | JSON_VALUES,
            "all_stores": st.booleans() | JSON_VALUES,
            "all_stores_must_succeed": st.booleans() | JSON_VALUES,
        },
    )


@made_once
def _task(document: Document) -> st.SearchStrategy[Any]:
    kinds = st.sampled_from(["import", "api_image_import", "location_import", "none"])
    given_input = st.fixed_dictionaries(
        {}, optional={"import_from": _URIS, "import_from_format": _TEXT, "image_properties": JSON_VALUES}
    )
    usual = st.fixed_dictionaries({"type": kinds, "input": given_input | JSON_VALUES})
    return usual | objects(document["properties"])


_NAMESPACE = "/v2/metadefs/namespaces/{namespace}"
BODIES: Mapping[tuple[str, str], tuple[str, Generator]] = {
    ("POST", "/v2/images"): ("image", _image),
    ("PATCH", "/v2/images/{image_id}"): ("image", _patch),
    ("POST", "/v2/images/{image_id}/locations"): ("image", _location),
    ("POST", "/v2/images/{image_id}/members"): ("member", _member),
    ("PUT", "/v2/images/{image_id}/members/{member_id}"): ("member", _member),
    ("POST", "/v2/images/{image_id}/import"): ("image", _import),
    ("POST", "/v2/tasks"): ("task", _task),
    ("POST", "/v2/metadefs/namespaces"): ("metadefs/namespace", _metadef),
    ("PUT", _NAMESPACE): ("metadefs/namespace", _metadef),
    ("POST", f"{_NAMESPACE}/resource_types"): ("metadefs/resource_type", _metadef),
    ("POST", f"{_NAMESPACE}/properties"): ("metadefs/property", _metadef),
    ("PUT", f"{_NAMESPACE}/properties/{{property_name}}"): ("metadefs/property", _metadef),
    ("POST", f"{_NAMESPACE}/objects"): ("metadefs/object", _metadef),
    ("PUT", f"{_NAMESPACE}/objects/{{object_name}}"): ("metadefs/object", _metadef),
    ("POST", f"{_NAMESPACE}/tags"): ("metadefs/tags", _metadef),
    ("PUT", f"{_NAMESPACE}/tags/{{tag_name}}"): ("metadefs/tag", _metadef),
}
"""The schema that is served, and what is made of it, for every route with a JSON body."""

DATA = {("PUT", "/v2/images/{image_id}/file"), ("PUT", "/v2/images/{image_id}/stage")}
"""Routes whose body is image data."""


def _with_body() -> list[Route]:
    return [route for route in ROUTES if route.method in {"POST", "PUT", "PATCH"} and not route.no_body]


def test_every_route_with_a_body_has_a_generator() -> None:
    routes = {(route.method, route.path) for route in _with_body()} - DATA
    assert routes - BODIES.keys() == set(), "these routes have no generator in BODIES"


async def _places(client: Client) -> dict[str, str]:
    """What the names in paths may stand for, so that requests get as far as their bodies."""
    image = (await client.create(visibility="shared")).rpartition("/")[2]
    await client.ask("POST", f"/v2/images/{image}/members", json={"member": "m"})
    await client.ask("POST", "/v2/metadefs/namespaces", json={"namespace": "ns"})
    names = {"image_id": image, "member_id": "m", "namespace": "ns"}
    return {**names, "property_name": "p", "object_name": "o", "tag_name": "t"}


@_SMALL
@given(data=st.data())
async def test_no_body_is_an_error_of_the_server(client: Client, data: st.DataObject) -> None:
    places = await _places(client)
    for (method, path), (schema, generator) in BODIES.items():
        document = (await client.ask("GET", f"/v2/schemas/{schema}")).json
        whole = json.dumps(data.draw(generator(document))).encode()
        kind = data.draw(st.sampled_from(MEDIA_TYPES)) if method == "PATCH" else "application/json"
        for body in (whole, data.draw(spoiled(whole)), data.draw(st.binary(max_size=20)), b"[" * 3000):
            answer = await client.ask(method, path.format(**places), data=body, headers={"Content-Type": kind})
            assert answer.status < 500, (method, path, body, answer.text)


_BYTES = st.binary(max_size=8).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
_VALUES = _BYTES | st.sampled_from(
    [b"", b"a" * 7000, b"-1", b"99999999999999999999", b"nan", b"1e400", b"in:", b'in:"', b"gt:", b"desc:x", b"\xff"]
)
_NAMES = st.sampled_from(
    [
        *(
            "limit",
            "marker",
            "sort",
            "sort_key",
            "sort_dir",
            "name",
            "status",
            "visibility",
            "owner",
            "size_min",
            "tag",
        ),
        *("size_max", "created_at", "updated_at", "os_hidden", "protected", "id", "member_status", "changes-since"),
        *("resource_types", "resource_type", "type", "detail", "prefer", "x"),
    ]
)
_HEADERS = st.sampled_from(
    [
        *("Accept", "Accept-Encoding", "Range", "Content-Range", "If-Range", "Content-Type", "Cache-Control", "Origin"),
        *("Access-Control-Request-Method", "Access-Control-Request-Headers", "Forwarded", "X-Forwarded-Host"),
        *("X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Openstack-Request-Id", "X-Auth-Token", "X-Service-Token"),
        *("x-image-cache-clear-target", "X-Openstack-Append", "x-image-meta-store", "x-openstack-image-size", "Expect"),
        *("X-HTTP-Method-Override", "Transfer-Encoding", "Cookie", "X-Roles"),
    ]
)


@_SMALL
@given(data=st.data())
async def test_no_path_query_or_header_is_an_error_of_the_server(client: Client, data: st.DataObject) -> None:
    usual = await _places(client)
    odd = st.one_of(_TEXT.map(lambda text: quote(text, safe="")), st.sampled_from(["%ff", "%2f", "%", "%zz"]))
    for route in ROUTES:
        names = set(re.findall(r"\{(\w+)\}", route.path))
        places = {name: data.draw(odd) if data.draw(st.booleans()) else usual.get(name, "x") for name in sorted(names)}
        query = data.draw(st.lists(st.tuples(_NAMES, _VALUES), max_size=3))
        asked = "&".join(f"{name}={quote(value)}" for name, value in query)
        headers = data.draw(st.lists(st.tuples(_HEADERS.map(str.encode), _VALUES), max_size=4))
        method = "GET" if route.method == "*" else route.method
        target = f"{route.path.format(**places)}?{asked}".encode()
        body = data.draw(st.just(b"") | st.binary(max_size=9))
        status, rest = await send(client.served.url, method, target, headers, body)
        assert status < 500, (route, target, headers, rest)
