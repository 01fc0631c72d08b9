"""Bodies made of the served schemas of metadata definitions, whole and spoiled: none is an error of Glint's."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.client import Client
from tests.api.test_generated_bodies import JSON_VALUES, made_once, spoiled

NAMESPACES = "/v2/metadefs/namespaces"
NAMESPACE = f"{NAMESPACES}/ns"
KIND = {"Content-Type": "application/json"}
NUMBERS = st.integers(-1, 2**70) | st.floats() | st.sampled_from([0, 1, 80, 81])
TEXTS = st.text(max_size=6) | st.sampled_from(["n" * 80, "n" * 81, "a,b", "a/b", "\U0001f600", "ns", ""])


@made_once
def fitting(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows, as far as its simpler rules go, and here and there others."""
    if "$ref" in schema:
        return fitting(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "allOf" in schema:
        return fitting(schema["allOf"][0], definitions)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "properties" in schema or schema.get("type") == "object":
        return _object(schema, definitions)
    return {
        "string": TEXTS,
        "integer": NUMBERS,
        "number": NUMBERS,
        "boolean": st.booleans(),
        "array": st.lists(st.deferred(lambda: fitting(schema.get("items", {}), definitions)), max_size=3),
    }.get(schema.get("type", ""), JSON_VALUES)


def _object(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Of its properties those that are required, mostly, and some of the others; those only Glint writes are rare."""
    properties = {name: fitting(each, definitions) for name, each in schema.get("properties", {}).items()}
    rare = {name for name, each in schema.get("properties", {}).items() if each.get("readOnly")}
    wanted = {*schema.get("required", ()), *({"name"} & properties.keys())}
    base = st.fixed_dictionaries(
        {name: properties[name] for name in sorted(wanted)},
        optional={name: each for name, each in properties.items() if name not in wanted | rare},
    )
    if isinstance(schema.get("additionalProperties"), Mapping):
        base = st.dictionaries(TEXTS, fitting(schema["additionalProperties"], definitions), max_size=2)
    odd = st.dictionaries(st.sampled_from([*properties, "x"]), JSON_VALUES, max_size=1)
    return st.builds(lambda usual, other, is_odd: usual | other if is_odd else usual, base, odd, st.sampled_from(ODDS))


ODDS = [False, False, False, True]


@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_no_body_made_of_the_metadef_schemas_is_an_error_of_the_server(
    client: Client, data: st.DataObject
) -> None:
    """And what was taken can be shown, and made again of what is shown."""

    async def bodies(schema: str) -> st.SearchStrategy[Any]:
        document = (await client.ask("GET", f"/v2/schemas/metadefs/{schema}")).json
        return fitting(document, document.get("definitions", {}))

    await client.ask("POST", NAMESPACES, json={"namespace": "ns"})
    tags = await bodies("tags")
    for method, target, made in [
        ("POST", f"{NAMESPACE}/properties", await bodies("property")),
        ("PUT", f"{NAMESPACE}/properties/p", await bodies("property")),
        ("POST", f"{NAMESPACE}/objects", await bodies("object")),
        ("POST", f"{NAMESPACE}/resource_types", await bodies("resource_type")),
        ("PUT", f"{NAMESPACE}/tags/t", await bodies("tag")),
        ("POST", f"{NAMESPACE}/tags", tags),
        ("POST", NAMESPACES, await bodies("namespace")),
        ("PUT", NAMESPACE, await bodies("namespace")),
    ]:
        whole = json.dumps(data.draw(made)).encode()
        for body in (whole, data.draw(spoiled(whole))):
            answer = await client.ask(method, target, data=body, headers=KIND)
            assert answer.status < 500, (method, target, body, answer.text)
    for path in (NAMESPACES, f"{NAMESPACES}?limit=1000", "/v2/metadefs/resource_types"):
        assert (await client.ask("GET", path)).status == 200
    await client.served.services.registry.metadefs.catalogue.clear()
