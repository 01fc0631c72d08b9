"""A Swift store: its account, or the accounts of its file, and its habits."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.config_import.imported import imported
from upstream.stores import SwiftStoreConfig

SWIFT = """\
swift_store_auth_address = https://keystone:5000/v2.0/
swift_store_user = service:glance
swift_store_key = hunter2
"""
MORE_SWIFT = """\
swift_store_container = images
swift_store_create_container_on_put = true
swift_store_multiple_containers_seed = 2
swift_store_large_object_size = 100
swift_store_large_object_chunk_size = 50
swift_store_region = north
swift_store_endpoint = https://swift/v1/AUTH_x
swift_store_endpoint_type = internalURL
swift_store_service_type = objects
swift_store_expire_soon_interval = 0
swift_store_cacert = /ca.pem
swift_store_auth_insecure = true
default_swift_reference = one
swift_store_retry_get_count = 5
"""


def at(found: Mapping[tuple[str, ...], object], store: str) -> dict[str, object]:
    """What became of one store, by its own keys."""
    return {".".join(key[3:]): value for key, value in found.items() if key[:3] == ("stores", "backends", store)}


@pytest.mark.parametrize(
    ("text", "store"),
    [
        (f"[glance_store]\nstores = file,swift\ndefault_store = swift\n{SWIFT}{MORE_SWIFT}", "swift"),
        (f"[DEFAULT]\nenabled_backends = far:swift\n[far]\n{SWIFT}{MORE_SWIFT}", "far"),
    ],
)
def test_a_swift_store_keeps_its_account_and_its_habits(text: str, store: str) -> None:
    found = at({one.key: one.value for one in imported(text).imported.mapped}, store)
    assert found == {
        "kind": "swift",
        "default_reference": "one",
        "references.one.auth_address": "https://keystone:5000/v3",
        "references.one.user": "service:glance",
        "references.one.key": "hunter2",
        "credentials_in_locations": True,
        "container": "images",
        "create_container": True,
        "multiple_containers_seed": 2,
        "large_object_size": "100 MiB",
        "large_object_chunk_size": "50 MiB",
        "region": "north",
        "endpoint": "https://swift/v1/AUTH_x",
        "endpoint_type": "internal",
        "service_type": "objects",
        "renew_before_s": 1,
        "ca_file": "/ca.pem",
        "verify_tls": False,
    }
    assert imported(text).reasons("swift_store_retry_get_count")
    shown = [one for one in imported(text).imported.mapped if one.value == "hunter2"]
    assert [one.secret for one in shown] == [True]
    accepted(found)


def accepted(found: Mapping[str, object]) -> SwiftStoreConfig:
    """As the store itself reads it."""
    document: dict[str, Any] = {}
    for dotted, value in found.items():
        *folders, name = dotted.split(".")
        place = document
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return SwiftStoreConfig.model_validate(document)


def test_the_accounts_of_a_swift_store_are_those_of_their_file() -> None:
    text = f"[glance_store]\nstores = file,swift\n{SWIFT}swift_store_config_file = swift.conf\n"
    accounts = """
[ref1]
user = "service:glance"
key = 'hunter2'
auth_address = keystone:5000/v3
user_domain_name = Users
auth_version = 3
[old]
user = test:tester
key = testing
auth_address = http://swift/auth/v1.0
auth_version = 1
[app]
application_credential_id = 42
application_credential_secret = hunter3
auth_address = https://keystone/v3
project_name = service
[broken]
user = a:b
"""
    outcome = imported(text, beside={"swift.conf": accounts})
    found = at({one.key: one.value for one in outcome.imported.mapped}, "swift")
    assert found == {
        "kind": "swift",
        "credentials_in_locations": False,
        "references.ref1.auth_address": "https://keystone:5000/v3",
        "references.ref1.user": "service:glance",
        "references.ref1.key": "hunter2",
        "references.ref1.user_domain_name": "Users",
        "references.old.auth_address": "http://swift/auth/v1.0",
        "references.old.user": "test:tester",
        "references.old.key": "testing",
        "references.old.auth_version": 1,
        "references.app.auth_address": "https://keystone/v3",
        "references.app.application_credential_id": "42",
        "references.app.application_credential_secret": "hunter3",
    }
    assert {one.secret for one in outcome.imported.mapped if str(one.value).startswith("hunter")} == {True}
    assert outcome.reasons("swift_store_key") == ["[glance_store] swift_store_config_file is given, and counts"]
    assert any("auth_address of [broken]" in reason for reason in outcome.failing)
    accepted(found)
    missing = imported(text)
    assert "the file of Swift's accounts cannot be read: fill in references" in missing.failing


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("swift_store_multi_tenant = true", "Glint writes to one account"),
        ("swift_store_user =", "needs [glance_store] swift_store_auth_address, user and key"),
        ("swift_store_multiple_containers_seed = 33", "expected a number from 0 to 32"),
        ("swift_store_large_object_chunk_size = 0", "expected a number of megabytes"),
        ("swift_store_endpoint_type = any", "expected one of publicurl"),
    ],
)
def test_what_a_swift_store_would_do_otherwise_fails_the_import(line: str, reason: str) -> None:
    outcome = imported(f"[glance_store]\nstores = file,swift\n{SWIFT}{line}\n")
    assert any(reason in each for each in outcome.failing)
