from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.api import image_fields
from proxy.api.config import ApiConfig
from proxy.api.schemas import Schemas
from proxy.errors import BadRequest, Forbidden, TooLarge
from upstream.types import Image, Status, Visibility

CONFIG = ApiConfig()
SCHEMAS = Schemas(CONFIG)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
MADE_UP = "11111111-1111-4111-8111-111111111111"


def new(body: Any, config: ApiConfig = CONFIG) -> Image:
    return image_fields.new_image(body, image_id=MADE_UP, owner="me", now=NOW, schemas=Schemas(config), config=config)


def test_an_empty_body_is_a_queued_shared_image_of_the_caller() -> None:
    assert new({}) == Image(
        id=MADE_UP, created_at=NOW, updated_at=NOW, owner="me", status=Status.QUEUED, visibility=Visibility.SHARED
    )


def test_known_names_become_attributes_and_others_properties() -> None:
    image = new({"id": MADE_UP.replace("1", "2"), "min_disk": 3, "owner": None, "color": "red", "tags": ["a", "a"]})
    assert image.id == MADE_UP.replace("1", "2")
    assert (image.min_disk_gib, image.owner, image.tags) == (3, None, ("a",))
    assert image.properties == {"color": "red"}


def test_a_hash_that_a_client_sends_is_passed_over() -> None:
    assert new({"os_hash_algo": "sha512", "os_hash_value": "ab"}).os_hash_value is None


@pytest.mark.parametrize(
    "name",
    [
        "direct_url",
        "self",
        "file",
        "schema",
        "stores",
        "created_at",
        "updated_at",
        "checksum",
        "location",
        "deleted",
        "deleted_at",
        "os_glance_stage_host",
    ],
)
def test_names_that_are_not_the_clients_are_forbidden(name: str) -> None:
    with pytest.raises(Forbidden):
        new({name: "x"})


@pytest.mark.parametrize(
    "body",
    [{"size": 7}, {"status": "active"}, {"locations": []}, {"virtual_size": None}],
    ids=repr,
)
def test_what_only_data_can_set_is_forbidden(body: dict[str, Any]) -> None:
    with pytest.raises(Forbidden):
        new(body)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"id": "x"},
        {"id": MADE_UP + "\n"},
        {"name": "x" * 256},
        {"name": 7},
        {"disk_format": "floppy"},
        {"min_disk": -1},
        {"min_ram": 2**31},
        {"min_ram": "1"},
        {"protected": "true"},
        {"tags": "a"},
        {"tags": ["x" * 256]},
        {"visibility": "secret"},
        {"color": 7},
        {"color": None},
        {"k" * 256: "x"},
        {"color": "x" * 65536},
        {"name": "\U0001f600"},
    ],
    ids=lambda body: repr(body)[:40],
)
def test_a_body_that_is_no_image_is_refused(body: Any) -> None:
    with pytest.raises(BadRequest):
        new(body)


def test_quotas_hold_and_a_negative_one_is_none() -> None:
    many = {f"p{n}": "x" for n in range(129)}
    with pytest.raises(TooLarge, match="Attempted: 129, Maximum: 128"):
        new(many)
    with pytest.raises(TooLarge):
        new({"tags": [str(n) for n in range(129)]})
    assert new(many, ApiConfig(image_property_quota=-1)).properties == many


def test_custom_properties_may_be_switched_off() -> None:
    with pytest.raises(BadRequest):
        new({"color": "red"}, ApiConfig(allow_additional_image_properties=False))


def test_the_served_schema_is_the_one_that_checks() -> None:
    schemas = Schemas(ApiConfig(disk_formats=("raw",)))
    assert schemas.image["properties"]["disk_format"]["enum"] == [None, "raw"]
    with pytest.raises(BadRequest):
        schemas.check_image({"disk_format": "qcow2"})
