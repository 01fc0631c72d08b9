"""What clients send about metadata definitions, taken apart; and how it is shown."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proxy.api.config import ApiConfig
from proxy.api.metadefs import bodies, queries, views
from proxy.api.metadefs.property_types import kept, shown
from proxy.errors import BadRequest, Forbidden
from upstream.registry import (
    Association,
    Definitions,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    Namespace,
    NamespaceQuery,
    TagQuery,
)

PROPERTY: dict[str, Any] = {"title": "t", "type": "string"}
T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "is_kept"),
    [
        ("default", 7, "7"),
        ("default", 7.5, "7.5"),
        ("default", True, "True"),
        ("default", "x", "x"),
        ("default", None, None),
        ("default", [1], None),
        ("default", {"a": 1}, None),
        ("minimum", 1.9, 1),
        ("minimum", -1.9, -1),
        ("maximum", 10**30, 10**30),
        ("maxLength", 5.0, 5),
        ("enum", ["a", None], ["a", None]),
        ("confidential", "yes", True),
        ("confidential", 0, False),
        ("items", {"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
    ],
)
def test_attributes_of_a_property_are_kept_in_the_types_of_glance(name: str, value: object, is_kept: object) -> None:
    assert kept({**PROPERTY, name: value}, "p") == {**PROPERTY, name: is_kept}
    assert shown({**PROPERTY, name: is_kept})[name] == is_kept


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("default", "é", "p.default must have ASCII characters only"),
        ("minimum", math.inf, "p.minimum must be a finite number"),
        ("minimum", math.nan, "p.minimum must be a finite number"),
        ("enum", [1], "p.enum must be a string"),
        ("confidential", "maybe", "p.confidential must be true or false"),
        ("items", {"enum": ["a"]}, "p.items must be an object with a type"),
        ("items", {"type": "string", "colour": "x"}, "p.items has no colour"),
        ("colour", "x", "p: a property has no colour"),
        ("required", ["x"], "p: a property has no required"),
    ],
)
def test_an_attribute_that_no_property_can_have_is_named(name: str, value: object, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        kept({**PROPERTY, name: value}, "p")


def test_what_a_file_has_brought_is_shown_as_far_as_it_can_be() -> None:
    odd = {"default": "é", "minimum": "x", "items": "x", "colour": 1, "enum": [1], "title": 5}
    assert shown(odd) == odd


def test_a_new_namespace_is_taken_apart_and_repeated_as_it_was_given() -> None:
    body = {
        "namespace": "ns",
        "resource_type_associations": [{"name": "T", "prefix": "p:"}],
        "properties": {"p": {**PROPERTY, "default": 1}},
        "objects": [{"name": "o", "self": "/left/out", "created_at": "now"}, {"name": "r", "required": ["a"]}],
        "tags": [{"name": "t"}],
    }
    new = bodies.new_namespace(body, owner="me")
    assert new.definitions == Definitions(
        namespace=Namespace(name="ns", owner="me"),
        associations=(Association(name="T", prefix="p:"),),
        properties=(MetadefProperty(name="p", schema={**PROPERTY, "default": "1"}),),
        objects=(MetadefObject(name="o"), MetadefObject(name="r", required=("a",))),
        tags=(MetadefTag(name="t"),),
    )
    assert new.given["objects"] == [{"name": "o"}, {"name": "r", "required": ["a"]}]
    assert bodies.new_namespace({"namespace": "ns"}, owner="me").given == {}


@pytest.mark.parametrize("body", [[], [1], ["self"], "x", 7, None])
def test_a_body_that_is_no_object_is_bad(body: object) -> None:
    for take in (bodies.association, bodies.metadef_property, bodies.tag, bodies.tag_names):
        with pytest.raises(BadRequest):
            take(body)
    with pytest.raises(BadRequest):
        bodies.new_namespace(body, owner="me")


@pytest.mark.parametrize("name", ["self", "schema", "created_at", "updated_at"])
def test_what_only_glint_writes_is_forbidden_before_anything_is_checked(name: str) -> None:
    with pytest.raises(Forbidden, match=name):
        bodies.namespace({name: "x"}, owner="me")
    with pytest.raises(Forbidden, match=name):
        bodies.metadef_object({name: "x"}, is_new=True)


def test_a_message_about_a_long_body_is_short() -> None:
    with pytest.raises(BadRequest) as caught:
        bodies.namespace({"namespace": "ns", "visibility": "x" * 100_000}, owner="me")
    assert len(str(caught.value)) < 1000


def test_prefixes_go_before_every_name_of_a_property() -> None:
    whole = Definitions(
        namespace=Namespace(name="ns", owner="me"),
        associations=(Association(name="T", prefix="p:"), Association(name="U")),
        properties=(MetadefProperty(name="a", schema=PROPERTY),),
        objects=(MetadefObject(name="o", required=("b",), properties={"b": PROPERTY}),),
    )
    view = views.definitions_view(whole.prefixed("T"))
    assert list(view["properties"]) == ["p:a"]
    assert (view["objects"][0]["required"], list(view["objects"][0]["properties"])) == (["p:b"], ["p:b"])
    assert whole.prefixed("U") == whole.prefixed("V") == whole


def test_the_newest_tags_come_first_and_of_one_second_the_last() -> None:
    later = T0 + timedelta(seconds=1)
    made = [("a", T0), ("b", later), ("c", T0), ("d", None)]
    tags = [MetadefTag(name=name, created_at=moment) for name, moment in made]
    assert [each.name for each in views.newest_first(tags)] == ["b", "c", "a", "d"]


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({}, NamespaceQuery(limit=25)),
        ({"limit": "0"}, NamespaceQuery(limit=0)),
        ({"limit": "1000"}, NamespaceQuery(limit=1000)),
        ({"limit": "1001"}, NamespaceQuery(limit=1000)),
        ({"sort_dir": "asc", "sort_key": "x"}, NamespaceQuery(limit=25, descending=False, sort_key="x")),
        ({"visibility": "", "resource_types": ""}, NamespaceQuery(limit=25, visibility="", resource_types=("",))),
        ({"resource_types": "a,b"}, NamespaceQuery(limit=25, resource_types=("a", "b"))),
    ],
)
def test_a_query_of_namespaces_is_read(parameters: dict[str, str], query: NamespaceQuery) -> None:
    assert queries.namespaces(list(parameters.items()), ApiConfig()) == query


def test_of_what_is_repeated_the_first_value_counts() -> None:
    repeated = [("limit", "1"), ("limit", "2"), ("visibility", "public"), ("visibility", "private")]
    assert queries.namespaces(repeated, ApiConfig()) == NamespaceQuery(limit=1, visibility="public")


def test_a_query_of_tags_is_read() -> None:
    assert queries.tags([("limit", ""), ("marker", "")]) == TagQuery()
    assert queries.tags([("limit", "9" * 30), ("marker", "m")]) == TagQuery(limit=2**31 - 1, marker="m")


@pytest.mark.parametrize("bad", [("limit", "-1"), ("limit", "x"), ("sort_dir", "up"), ("visibility", "secret")])
def test_a_query_that_cannot_be_is_bad(bad: tuple[str, str]) -> None:
    with pytest.raises(BadRequest):
        queries.namespaces([bad], ApiConfig())
    with pytest.raises(BadRequest):
        queries.tags([bad])
    with pytest.raises(BadRequest):
        queries.check_objects([bad])


def test_objects_want_a_limit_above_nothing() -> None:
    queries.check_objects([("limit", "1"), ("marker", "any"), ("sort_key", "any")])
    with pytest.raises(BadRequest):
        queries.check_objects([("limit", "0")])
