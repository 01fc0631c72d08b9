"""Bodies made of the served schemas, whole and spoiled: each is taken or refused, none is an error of Glint's."""

import json
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.api.patch import MEDIA_TYPES
from tests.api.client import Client

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def made_once(make: Callable[..., st.SearchStrategy[Any]]) -> Callable[..., st.SearchStrategy[Any]]:
    """The same of the same documents: hypothesis examines each new strategy, which takes longer than a request."""
    made: dict[str, st.SearchStrategy[Any]] = {}

    @wraps(make)
    def of(*documents: Any) -> st.SearchStrategy[Any]:
        text = json.dumps(documents)
        if text not in made:
            made[text] = make(*documents)
        return made[text]

    return of


@made_once
def fitting(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema of this API allows, as far as its simpler rules go."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema.get("type", "string")
    if isinstance(kinds, list):
        return st.one_of(*(fitting({**schema, "type": kind}) for kind in kinds))
    if kinds == "string" and "pattern" in schema:
        return st.from_regex(schema["pattern"])
    return {
        "string": st.text(max_size=schema.get("maxLength", 300)),
        "integer": st.integers(min_value=-1, max_value=2**31),
        "boolean": st.booleans(),
        "null": st.none(),
        "array": st.lists(st.deferred(lambda: fitting(schema.get("items", {}))), max_size=3),
        "object": objects(schema.get("properties", {})),
    }[kinds]


@made_once
def objects(properties: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the properties, most of them fitting, and some that the schema does not name."""
    optional = {name: fitting(schema) | JSON_VALUES for name, schema in properties.items()}
    return st.builds(
        dict.__or__,
        st.fixed_dictionaries({}, optional=optional),
        st.dictionaries(st.text(max_size=6), st.text(max_size=6) | JSON_VALUES, max_size=2),
    )


@made_once
def operations(properties: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Operations of both media types on attributes, on places of locations, and on whatever else."""
    names = st.sampled_from([*properties, "locations/-", "locations/0", "tags/0"]) | st.text(max_size=4)

    @cache
    def on(name: str) -> st.SearchStrategy[Any]:
        value = fitting(properties.get(name.partition("/")[0], {})) | JSON_VALUES
        verbs, path = st.sampled_from(["add", "replace", "remove"]), st.just(f"/{name}")
        new = st.fixed_dictionaries({"op": verbs, "path": path}, optional={"value": value})
        old = st.builds(lambda verb, value: {verb: f"/{name}", "value": value}, verbs, value)
        return new | old

    return st.lists(names.flatmap(on) | JSON_VALUES, max_size=3)


def spoiled(body: bytes) -> st.SearchStrategy[bytes]:
    """The body with a piece of it replaced."""
    places = st.integers(min_value=0, max_value=len(body))
    pieces = st.binary(max_size=3) | st.sampled_from([b"\\ud800", b"\\u0000", b"1e999", b"[", b"}", b'"', b"-"])
    return st.builds(lambda at, until, piece: body[:at] + piece + body[max(at, until) :], places, places, pieces)


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_no_body_made_of_the_schemas_is_an_error_of_the_server(client: Client, data: st.DataObject) -> None:
    properties = (await client.ask("GET", "/v2/schemas/image")).json["properties"]
    path = await client.create()
    for method, target, kind, bodies in [
        ("POST", "/v2/images", "application/json", objects(properties)),
        ("PATCH", path, data.draw(st.sampled_from(MEDIA_TYPES)), operations(properties)),
        ("POST", f"{path}/locations", "application/json", fitting(properties["locations"]["items"])),
    ]:
        whole = json.dumps(data.draw(bodies)).encode()
        for body in (whole, data.draw(spoiled(whole))):
            answer = await client.ask(method, target, data=body, headers={"Content-Type": kind})
            assert answer.status < 500, (method, body, answer.text)
