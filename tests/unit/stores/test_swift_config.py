"""Accounts and habits of a Swift store: what is refused, what is said at a login, whose URLs are whose."""

from typing import Any

import pytest
from pydantic import ValidationError

from upstream.stores.locations import infer_store
from upstream.stores.swift import Reference, SwiftStoreConfig
from upstream.stores.swift.login import login_body, storage_url, use_s

USER = {"auth_address": "https://keystone:5000/v3", "user": "service:glance", "key": "hunter2"}
APPLICATION = {"application_credential_id": "42", "application_credential_secret": "hunter2"}


def config(**keys: Any) -> SwiftStoreConfig:
    return SwiftStoreConfig.model_validate({"kind": "swift", "references": {"ref1": USER}, **keys})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"key": None}, "user and key together"),
        ({"user": None, "key": None}, "either user and key, or an application credential"),
        (APPLICATION, "either user and key, or an application credential"),
        ({"application_credential_id": "42"}, "application_credential_secret together"),
        ({"user": None, "key": None, "auth_version": 1, **APPLICATION}, "knows user and key only"),
        ({"user": "glance"}, "project:user"),
        ({"user": "a:b:c"}, "project:user"),
        ({"auth_version": 2}, "1 or 3"),
        ({"key": ""}, "empty"),
        ({"auth_address": "keystone:5000"}, "expected a URL"),
    ],
)
def test_an_account_that_cannot_log_in_is_refused_without_its_key(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Reference.model_validate(USER | wrong)
    assert told in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_the_default_reference_has_to_be_there() -> None:
    with pytest.raises(ValidationError, match="expected one of ref1, got 'ref2'"):
        config(default_reference="ref2")


def test_a_user_logs_in_by_the_default_domain_or_by_what_is_named() -> None:
    identity = login_body(Reference.model_validate(USER))["auth"]
    assert identity["identity"]["password"]["user"] == {
        "name": "glance",
        "domain": {"id": "default"},
        "password": "hunter2",
    }
    assert identity["scope"]["project"] == {"name": "service", "domain": {"id": "default"}}
    named = Reference.model_validate(USER | {"user_domain_name": "Users", "project_domain_id": "7"})
    assert login_body(named)["auth"]["identity"]["password"]["user"]["domain"] == {"name": "Users"}
    assert login_body(named)["auth"]["scope"]["project"]["domain"] == {"id": "7"}


def test_an_application_credential_brings_its_scope_along() -> None:
    reference = Reference.model_validate({"auth_address": USER["auth_address"], **APPLICATION})
    identity = {"methods": ["application_credential"], "application_credential": {"id": "42", "secret": "hunter2"}}
    assert login_body(reference) == {"auth": {"identity": identity}}


def test_the_endpoint_is_that_of_type_interface_and_region() -> None:
    endpoints = [
        {"interface": "internal", "region_id": "one", "url": "http://inner"},
        {"interface": "public", "region_id": "one", "url": "http://one"},
        {"interface": "public", "region": "two", "url": "http://two"},
    ]
    others = {"type": "image", "endpoints": [{"interface": "public", "region_id": "one", "url": "http://image"}]}
    document = {"token": {"catalog": [others, {"type": "object-store", "endpoints": endpoints}]}}
    assert storage_url(document, config()) == "http://one"
    assert storage_url(document, config(region="two")) == "http://two"
    assert storage_url(document, config(endpoint_type="internal")) == "http://inner"
    assert storage_url(document, config(region="three")) is None
    assert storage_url({"token": {}}, config()) is None


def test_a_token_is_renewed_before_its_end_and_a_short_lived_one_at_half_time() -> None:
    assert use_s(3600, 60) == 3540
    assert use_s(100, 60) == 50
    assert use_s(3, 60) == 1.5


def test_urls_are_of_the_store_that_writes_them_and_others_can_be_read() -> None:
    stores = {
        "one": config(container="images"),
        "two": config(container="images", references={"far": USER | {"user": "a:b"}}, default_reference="far"),
        "many": config(container="many", multiple_containers_seed=2, credentials_in_locations=True),
    }
    owned = [(prefix, store) for store, one in stores.items() for prefix in one.own_prefixes()]
    further = [(prefix, store) for store, one in stores.items() for prefix in one.further_prefixes()]
    for store, one in stores.items():
        for form in (one, one.model_copy(update={"credentials_in_locations": not one.credentials_in_locations})):
            container = "many_8f" if store == "many" else "images"
            assert infer_store(form.url(container, "id"), owned) == store
    assert infer_store("swift+config://far/elsewhere/id", owned) is None
    assert infer_store("swift+config://far/elsewhere/id", further) == "two"
    assert infer_store("swift://u:k@host/c/o", further) == "one"


def test_details_are_glances() -> None:
    assert config().properties() == {
        "container": "glance",
        "large_object_size": 5120 * 1024 * 1024,
        "large_object_chunk_size": 200 * 1024 * 1024,
    }
