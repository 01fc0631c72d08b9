"""Metadata definitions, where no recorded Glance says what is right: names, policy files, loaded files."""

import asyncio
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from proxy.commands.metadef_files import parse
from proxy.policy import Policy
from tests.api.client import Client, served_with
from upstream.registry import Merge

NAMESPACES = "/v2/metadefs/namespaces"
NAMESPACE = f"{NAMESPACES}/ns"


@pytest.fixture
async def namespace(client: Client) -> str:
    """The path of a public namespace with one of everything."""
    body = {
        "namespace": "ns",
        "visibility": "public",
        "resource_type_associations": [{"name": "OS::Nova::Server", "prefix": "hw:"}],
        "properties": {"p": {"title": "P", "type": "string"}},
        "objects": [{"name": "o"}],
        "tags": [{"name": "t"}],
    }
    answer = await client.ask("POST", NAMESPACES, json=body)
    assert answer.status == 201, answer.text
    return NAMESPACE


@pytest.mark.parametrize("name", ["é ü::x", "a%2Fb", "?q=1#f", '"<>', "line\nfeed", "..", "%00"])
async def test_a_namespace_of_any_name_is_found_where_location_says(client: Client, name: str) -> None:
    made = await client.ask("POST", NAMESPACES, json={"namespace": name, "tags": [{"name": name}]})
    assert made.status == 201, made.text
    location = made.headers["Location"].removeprefix(client.served.url)
    assert location == f"{NAMESPACES}/{quote(name, safe=':')}"
    if name != "..":  # clients take that out of a path
        assert (await client.show(location))["namespace"] == name
        tag = await client.ask("GET", f"{location}/tags/{quote(name, safe='')}")
        assert tag.json["name"] == name


async def test_a_list_is_served_with_all_resource_types_once_they_are_there(client: Client, namespace: str) -> None:
    listed = (await client.show("/v2/metadefs/resource_types"))["resource_types"]
    assert [each["name"] for each in listed] == ["OS::Nova::Server"]
    assert set(listed[0]) == {"name", "created_at", "updated_at"}


async def test_the_limit_of_a_page_of_namespaces_is_that_of_the_configuration(client: Client) -> None:
    limits = {"limit_param_default": 2, "api_limit_max": 3}
    for number in range(5):
        assert (await client.ask("POST", NAMESPACES, json={"namespace": f"n{number}"})).status == 201
    config = client.served.services.config
    changed = config.model_copy(update={"api": config.api.model_copy(update=limits)})
    async with served_with(client.served, config=changed) as limited:
        for query, count in (("", 2), ("?limit=1", 1), ("?limit=3", 3), ("?limit=4", 3)):
            page = await limited.show(NAMESPACES + query)
            assert len(page["namespaces"]) == count, query
        seen: list[str] = []
        url: str | None = NAMESPACES
        while url is not None:
            page = await limited.show(url)
            seen += [each["namespace"] for each in page["namespaces"]]
            url = page.get("next")
    assert seen == [f"n{number}" for number in (4, 3, 2, 1, 0)]


RULES = {
    "add_metadef_namespace": ("POST", NAMESPACES, {"namespace": "other"}),
    "add_metadef_object": ("POST", NAMESPACES, {"namespace": "other", "objects": [{"name": "o"}]}),
    "add_metadef_tag": ("POST", NAMESPACES, {"namespace": "other", "tags": [{"name": "o"}]}),
    "add_metadef_property": (
        "POST",
        NAMESPACES,
        {"namespace": "other", "properties": {"p": {"title": "t", "type": "string"}}},
    ),
    "add_metadef_resource_type_association": (
        "POST",
        NAMESPACES,
        {"namespace": "other", "resource_type_associations": [{"name": "T"}]},
    ),
    "get_metadef_namespaces": ("GET", NAMESPACES, None),
    "list_metadef_resource_types": ("GET", NAMESPACE, None),
    "get_metadef_objects": ("GET", NAMESPACE, None),
    "get_metadef_properties": ("GET", NAMESPACE, None),
    "get_metadef_tags": ("GET", NAMESPACE, None),
    "get_metadef_resource_type": ("GET", f"{NAMESPACE}/properties/hw:p?resource_type=OS::Nova::Server", None),
    "get_metadef_property": ("GET", f"{NAMESPACE}/properties/p", None),
    "get_metadef_object": ("GET", f"{NAMESPACE}/objects/o", None),
    "get_metadef_tag": ("GET", f"{NAMESPACE}/tags/t", None),
    "modify_metadef_namespace": ("PUT", NAMESPACE, {"namespace": "ns"}),
    "modify_metadef_object": ("PUT", f"{NAMESPACE}/objects/o", {"name": "o"}),
    "modify_metadef_tag": ("PUT", f"{NAMESPACE}/tags/t", {"name": "t"}),
    "modify_metadef_property": ("PUT", f"{NAMESPACE}/properties/p", {"name": "p", "title": "t", "type": "string"}),
    "add_metadef_tags": ("POST", f"{NAMESPACE}/tags", {"tags": []}),
    "remove_metadef_property": ("DELETE", f"{NAMESPACE}/properties/p", None),
    "delete_metadef_object": ("DELETE", f"{NAMESPACE}/objects/o", None),
    "delete_metadef_tag": ("DELETE", f"{NAMESPACE}/tags/t", None),
    "delete_metadef_tags": ("DELETE", f"{NAMESPACE}/tags", None),
    "remove_metadef_resource_type_association": ("DELETE", f"{NAMESPACE}/resource_types/OS::Nova::Server", None),
    "delete_metadef_namespace": ("DELETE", f"{NAMESPACE}/objects", None),
}


@pytest.mark.parametrize("rule", RULES)
async def test_each_rule_of_a_policy_file_forbids_its_operation_and_only_that(
    client: Client, namespace: str, tmp_path: Path, rule: str
) -> None:
    """A namespace that cannot be seen either is not found."""
    method, path, body = RULES[rule]
    for hidden, status in (({}, 403), ({"get_metadef_namespace": "!"}, 404)):
        file = tmp_path / "policy.yaml"
        file.write_text(json.dumps({rule: "!", **hidden}))
        async with served_with(client.served, policy=await asyncio.to_thread(Policy, file)) as refused:
            assert (await refused.ask(method, path, json=body)).status == status
    assert (await client.ask(method, path, json=body)).status < 300


@pytest.mark.parametrize(
    ("rule", "path", "key"),
    [
        ("get_metadef_namespace", NAMESPACES, "namespaces"),
        ("get_metadef_object", f"{NAMESPACE}/objects", "objects"),
        ("get_metadef_resource_type", f"{NAMESPACE}/resource_types", "resource_type_associations"),
    ],
)
async def test_what_may_not_be_got_one_by_one_is_left_out_of_lists(
    client: Client, namespace: str, tmp_path: Path, rule: str, path: str, key: str
) -> None:
    assert len((await client.show(path))[key]) == 1
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps({rule: "!"}))
    async with served_with(client.served, policy=await asyncio.to_thread(Policy, file)) as refused:
        assert (await refused.show(path))[key] == []


async def test_what_was_loaded_from_a_file_is_shown_in_the_types_of_the_api(client: Client) -> None:
    """Numbers as defaults, and what no property has: a file may say anything, and is not refused afterwards."""
    schema = {"title": "P", "type": "integer", "default": 80, "minimum": 1.0, "colour": "blue", "confidential": "yes"}
    text = json.dumps({"namespace": "ns", "properties": {"p": schema, "é": {**schema, "default": "é"}}})
    await client.served.services.registry.metadefs.catalogue.load(parse(text), Merge.SKIP)
    shown = (await client.show(NAMESPACE))["properties"]
    assert shown["p"] == {**schema, "default": "80", "minimum": 1, "confidential": True}
    assert shown["é"]["default"] == "é"
    assert (await client.show(f"{NAMESPACE}/properties/p"))["name"] == "p"
    exported = await client.served.services.registry.metadefs.catalogue.export()
    assert exported[0].properties[0].schema == schema


@pytest.mark.parametrize(
    "number", ["Infinity", "-Infinity", "NaN", "1e999", "1e308", "-1.5", "99999999999999999999999999"]
)
async def test_a_number_of_any_size_is_kept_or_refused(client: Client, number: str) -> None:
    head = '{"namespace": "ns", "properties": {"p": {"title": "t", "type": "number", "minimum": '
    body = f"{head}{number}}}}}}}"
    answer = await client.ask("POST", NAMESPACES, data=body, headers={"Content-Type": "application/json"})
    is_finite = number not in {"Infinity", "-Infinity", "NaN", "1e999"}
    assert answer.status == (201 if is_finite else 400), answer.text
    if is_finite:
        assert (await client.show(NAMESPACE))["properties"]["p"]["minimum"] == int(json.loads(number))


async def test_a_refusal_of_very_many_names_is_short(client: Client, namespace: str) -> None:
    tags = [{"name": f"tag {number}"} for number in range(20_000)]
    answer = await client.ask("POST", f"{NAMESPACE}/tags", json={"tags": [*tags, tags[-1]]})
    assert answer.status == 409
    assert len(answer.body) < 1000
    assert (await client.show(f"{NAMESPACE}/tags"))["tags"] == [{"name": "t"}]
    assert (await client.ask("POST", f"{NAMESPACE}/tags", json={"tags": tags})).status == 201
    assert len((await client.show(f"{NAMESPACE}/tags"))["tags"]) == 20_000
