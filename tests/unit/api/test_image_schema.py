"""schema-image.json: both of its forms, what is wrong with it, and what then may be sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.api.config import ApiConfig
from proxy.api.image_fields import property_value
from proxy.api.image_schema import CustomProperties, ImageSchemaBroken, load
from proxy.api.schemas import Schemas
from proxy.errors import BadRequest

CONFIG = ApiConfig()
DISTRO = {"os_distro": {"type": "string", "enum": ["debian"]}}


def read(folder: Path, document: Any) -> CustomProperties:
    file = folder / "schema-image.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return load(file, CONFIG)


def test_the_flat_form_and_the_extended_one_are_read(tmp_path: Path) -> None:
    flat = read(tmp_path, DISTRO)
    assert flat.properties == {"os_distro": {**DISTRO["os_distro"], "is_base": False}}
    assert flat.required == ()
    assert read(tmp_path, {"properties": DISTRO}) == flat
    assert read(tmp_path, {"properties": DISTRO, "required": []}) == flat
    assert read(tmp_path, {"properties": DISTRO, "required": ["os_distro"]}).required == ("os_distro",)
    assert load(None, CONFIG) == CustomProperties()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ([], "expected an object"),
        ({"properties": []}, "expected an object"),
        ({"name": {"type": "string"}}, "name: an attribute of every image"),
        ({"a": "string"}, "a: expected a JSON schema"),
        ({"a": {"type": "text"}}, "a: no JSON schema"),
        ({"properties": DISTRO, "required": "os_distro"}, "required: expected a list of names"),
        ({"properties": DISTRO, "required": [7]}, "required: expected a list of names"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_file_that_cannot_be_followed_says_where_it_is_wrong(tmp_path: Path, document: Any, problem: str) -> None:
    with pytest.raises(ImageSchemaBroken, match=problem):
        read(tmp_path, document)


def test_a_file_that_is_not_there_or_endless_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageSchemaBroken, match="cannot be read"):
        load(tmp_path / "none", CONFIG)
    with pytest.raises(ImageSchemaBroken, match="longer"):
        read(tmp_path, " " * (1024 * 1024 + 1))


def test_served_and_checked_are_the_same_document(tmp_path: Path) -> None:
    schemas = Schemas(CONFIG, read(tmp_path, {"properties": DISTRO, "required": ["os_distro"]}))
    assert schemas.image["properties"]["os_distro"]["is_base"] is False
    assert schemas.images["properties"]["images"]["items"] == schemas.image
    schemas.check_image({"os_distro": "debian", "other": "x"})
    schemas.check_attribute("os_distro", "debian")
    for body in ({}, {"os_distro": "suse"}, {"os_distro": "debian", "other": 7}):
        with pytest.raises(BadRequest):
            schemas.check_image(body)
    with pytest.raises(BadRequest):
        schemas.check_attribute("os_distro", "suse")


def test_where_additional_properties_are_off_only_described_ones_may_be_sent(tmp_path: Path) -> None:
    config = ApiConfig(allow_additional_image_properties=False)
    schemas = Schemas(config, read(tmp_path, DISTRO))
    assert schemas.image["additionalProperties"] is False
    schemas.check_image({"os_distro": "debian"})
    schemas.check_attribute("os_distro", "debian")
    with pytest.raises(BadRequest):
        schemas.check_image({"other": "x"})
    with pytest.raises(BadRequest):
        schemas.check_attribute("other", "x")


@pytest.mark.parametrize(
    ("value", "kept"),
    [(None, None), ("x", "x"), (7, "7"), (True, "1"), (False, "0"), (0.5, "0.5"), (1.0, "1"), (-2, "-2")],
)
def test_a_value_is_kept_as_text(value: object, kept: str | None) -> None:
    assert property_value("p", value) == kept


@pytest.mark.parametrize("value", [[], ["a"], {}, float("nan"), float("inf"), "x" * 65536])
def test_a_value_that_no_column_takes_is_refused(value: object) -> None:
    with pytest.raises(BadRequest):
        property_value("p", value)
