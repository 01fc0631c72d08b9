from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.api import patch
from proxy.api.config import ApiConfig
from proxy.api.patch import V20, V21, Draft, Operation, Verb
from proxy.api.schemas import Schemas
from proxy.errors import BadRequest, Forbidden, StateConflict, TooLarge, UnsupportedMediaType
from proxy.policy import Action
from upstream.registry import ImageChanges
from upstream.types import Image, Status

CONFIG = ApiConfig()
SCHEMAS = Schemas(CONFIG)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
IMAGE = Image(id="i", created_at=NOW, updated_at=NOW, name="old", properties={"color": "red"}, tags=("a",))


def anything(action: Action, name: str) -> bool:
    return True


def changed(
    *operations: dict[str, Any], image: Image = IMAGE, media_type: str = V21, admin: bool = False
) -> ImageChanges:
    draft = Draft(image, anything)
    for operation in patch.parse(media_type, list(operations), SCHEMAS):
        draft.apply(operation, is_admin=admin)
    return draft.changes(CONFIG)


def test_attributes_and_properties_become_differences() -> None:
    changes = changed(
        {"op": "replace", "path": "/name", "value": "new"},
        {"op": "add", "path": "/size_class", "value": "big"},
        {"op": "replace", "path": "/tags", "value": ["x", "x", "y"]},
        {"op": "remove", "path": "/color"},
    )
    assert changes == ImageChanges(
        columns={"name": "new"},
        set_properties={"size_class": "big"},
        removed_properties=frozenset({"color"}),
        tags=("x", "y"),
    )


def test_operations_see_what_came_before_them() -> None:
    changes = changed(
        {"op": "remove", "path": "/color"},
        {"op": "add", "path": "/color", "value": "blue"},
        {"op": "add", "path": "/shade", "value": "dark"},
        {"op": "replace", "path": "/shade", "value": "light"},
        {"op": "remove", "path": "/shade"},
    )
    assert changes == ImageChanges(set_properties={"color": "blue"}, removed_properties=frozenset())


def test_the_older_media_type_names_the_verb_by_a_key() -> None:
    changes = changed({"replace": "/name", "value": "new"}, {"add": "/x", "value": "1"}, media_type=V20)
    assert (changes.columns, changes.set_properties) == ({"name": "new"}, {"x": "1"})


@pytest.mark.parametrize("path", ["/color", "/name"])
def test_the_older_media_type_adds_only_what_is_not_there(path: str) -> None:
    with pytest.raises(StateConflict):
        changed({"add": path, "value": "1"}, media_type=V20)
    assert changed({"op": "add", "path": path, "value": "1"})


@pytest.mark.parametrize(
    ("path", "name"), [("/", ""), ("/ ", ""), ("//color", "color"), ("/a~1b~0c", "a/b~c"), ("/ a ", "a")]
)
def test_a_pointer_names_one_property(path: str, name: str) -> None:
    assert changed({"op": "add", "path": path, "value": "1"}).set_properties == {name: "1"}


MALFORMED: list[Any] = [
    7,
    {},
    {"op": "move", "path": "/name", "value": "x"},
    {"op": ["add"], "path": "/name", "value": "x"},
    {"op": "add", "value": "x"},
    {"op": "add", "path": "/name"},
    {"op": "add", "path": "name", "value": "x"},
    {"op": "add", "path": None, "value": "x"},
    {"op": "add", "path": "//", "value": "x"},
    {"op": "add", "path": "// ", "value": "x"},
    {"op": "add", "path": "///a", "value": "x"},
    {"op": "add", "path": "/locations/", "value": {"url": "http://x", "metadata": {}}},
    {"op": "add", "path": "/a//b", "value": "x"},
    {"op": "add", "path": "/a/", "value": "x"},
    {"op": "add", "path": "/a/b", "value": "x"},
    {"op": "add", "path": "/a~2", "value": "x"},
    {"op": "add", "path": "/a~", "value": "x"},
    {"op": "replace", "path": "/tags/0", "value": "x"},
    {"op": "add", "path": "/locations", "value": {}},
    {"op": "add", "path": "/locations/-", "value": {"url": "http://x"}},
    {"op": "replace", "path": "/name", "value": "x" * 256},
    {"op": "replace", "path": "/visibility", "value": "secret"},
    {"op": "replace", "path": "/min_disk", "value": "1"},
    {"op": "replace", "path": "/min_disk", "value": -1},
    {"op": "replace", "path": "/min_ram", "value": 2**31},
    {"op": "replace", "path": "/tags", "value": ["x" * 256]},
    {"op": "replace", "path": "/color", "value": 7},
    {"op": "add", "path": f"/{'k' * 256}", "value": "x"},
    {"op": "add", "path": "/long", "value": "x" * 65536},
    {"op": "replace", "path": "/name", "value": "\U0001f600"},
]


@pytest.mark.parametrize("operation", MALFORMED, ids=repr)
def test_a_malformed_operation_is_refused(operation: Any) -> None:
    with pytest.raises(BadRequest):
        changed(operation)


@pytest.mark.parametrize("body", [{}, "x", None])
def test_a_body_that_is_no_list_is_refused(body: Any) -> None:
    with pytest.raises(BadRequest):
        patch.parse(V21, body, SCHEMAS)


@pytest.mark.parametrize(
    "operation", [{}, {"add": "/a", "remove": "/b", "value": "x"}, {"op": "add", "path": "/a", "value": "x"}]
)
def test_the_older_media_type_wants_exactly_one_verb(operation: Any) -> None:
    with pytest.raises(BadRequest):
        changed(operation, media_type=V20)


@pytest.mark.parametrize(
    "name",
    [
        "id",
        "status",
        "size",
        "checksum",
        "created_at",
        "os_hash_value",
        "self",
        "file",
        "schema",
        "direct_url",
        "deleted",
        "deleted_at",
        "location",
        "os_glance_import_task",
    ],
)
@pytest.mark.parametrize("verb", ["add", "replace", "remove"])
def test_what_glint_computes_cannot_be_patched(name: str, verb: str) -> None:
    with pytest.raises(Forbidden):
        changed({"op": verb, "path": f"/{name}", "value": "x"})


@pytest.mark.parametrize("name", ["name", "tags", "visibility", "protected", "owner", "min_disk"])
def test_an_attribute_cannot_be_removed(name: str) -> None:
    with pytest.raises(Forbidden):
        changed({"op": "remove", "path": f"/{name}"}, admin=True)


@pytest.mark.parametrize("verb", ["replace", "remove"])
def test_a_property_that_is_not_there_cannot_be_changed(verb: str) -> None:
    with pytest.raises(StateConflict):
        changed({"op": verb, "path": "/nothing", "value": "x"})


@pytest.mark.parametrize("verb", ["replace", "add"])
def test_only_an_admin_gives_an_image_away(verb: str) -> None:
    operation = {"op": verb, "path": "/owner", "value": "other"}
    with pytest.raises(Forbidden):
        changed(operation)
    assert changed(operation, admin=True).columns == {"owner": "other"}


@pytest.mark.parametrize("name", ["disk_format", "container_format"])
def test_formats_are_fixed_once_there_are_data(name: str) -> None:
    operation = {"op": "replace", "path": f"/{name}", "value": "ami"}
    with pytest.raises(Forbidden):
        changed(operation, image=replace(IMAGE, status=Status.ACTIVE))
    assert changed(operation).columns == {name: "ami"}


def test_new_properties_count_against_the_quota_and_replaced_ones_do_not() -> None:
    full = replace(IMAGE, properties={f"p{n}": "x" for n in range(129)})
    assert changed({"op": "replace", "path": "/p0", "value": "y"}, image=full)
    with pytest.raises(TooLarge):
        changed({"op": "add", "path": "/q", "value": "y"}, image=full)


def test_tags_count_against_the_quota() -> None:
    with pytest.raises(TooLarge):
        changed({"op": "replace", "path": "/tags", "value": [str(n) for n in range(129)]})


@pytest.mark.parametrize("media_type", ["", "application/json", V21.upper()])
def test_other_media_types_are_refused_with_those_that_are_right(media_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        patch.check_media_type(media_type)
    assert caught.value.accepted == (V20, V21)


@given(st.lists(st.text(min_size=1).filter(lambda part: part == part.strip() and part), min_size=1, max_size=3))
def test_a_pointer_is_decoded_to_the_parts_it_was_made_of(parts: list[str]) -> None:
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
    assert patch.decode_pointer(pointer) == tuple(parts)


@given(st.text())
def test_no_pointer_breaks_the_decoder(pointer: str) -> None:
    try:
        parts = patch.decode_pointer(pointer)
    except BadRequest:
        return
    assert all(parts) or parts == ("",)


_VALUES = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=3)  # those of 4 bytes are refused


@given(st.lists(st.tuples(st.sampled_from(list(Verb)), st.sampled_from(["color", "b", "c"]), _VALUES)))
def test_a_draft_says_what_applying_to_a_dictionary_would(steps: list[tuple[Verb, str, str]]) -> None:
    """Against the model: a plain dictionary, on which steps that do not fit are left out."""
    draft, model = Draft(IMAGE, anything), dict(IMAGE.properties)
    for verb, name, value in steps:
        operation = Operation(verb=verb, path=(name,), value=value)
        if verb is not Verb.ADD and name not in model:
            with pytest.raises(StateConflict):
                draft.apply(operation, is_admin=False)
            continue
        draft.apply(operation, is_admin=False)
        if verb is Verb.REMOVE:
            del model[name]
        else:
            model[name] = value
    changes = draft.changes(CONFIG)
    kept = {name: value for name, value in IMAGE.properties.items() if name not in changes.removed_properties}
    assert {**kept, **changes.set_properties} == model
