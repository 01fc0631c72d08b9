"""Each option of the table by itself: what it becomes, or why it becomes nothing."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from proxy.config_import.masking import MASK, is_secret, masked
from proxy.config_import.outcomes import Outcome
from proxy.config_import.table import OPTIONS, row_of
from tests.config_import.cases import BESIDE, CASES, OLDER
from tests.config_import.imported import imported

AUTHENTICATED = "[paste_deploy]\nflavor = keystone\n"
IDS = [f"{section}.{name}={value}"[:60] for section, name, value, _ in CASES]


@pytest.mark.parametrize(("section", "name", "value", "expected"), CASES, ids=IDS)
def test_an_option_becomes_what_its_row_says(
    section: str, name: str, value: str, expected: Mapping[str, Any] | str
) -> None:
    around = "" if section == "paste_deploy" else AUTHENTICATED
    outcome = imported(f"[{section}]\n{name} = {value}\n{around}", beside=BESIDE)
    if isinstance(expected, str):
        reasons = outcome.reasons(name)
        assert reasons
        assert all(expected in reason for reason in reasons)
    else:
        assert expected.items() <= outcome.values.items()
        assert set(outcome.values) <= set(expected) | {"auth.kind", "stores.default"}


def test_every_option_of_the_table_has_a_row_here_by_each_of_its_names() -> None:
    shown = {(section if section == "DEFAULT" else section.lower(), name) for section, name, _, _ in CASES}
    assert set(OPTIONS) == shown & set(OPTIONS)


def test_whatever_stands_in_a_file_is_told_of_once_at_least() -> None:
    """All rows in one file, so that each option is given many times."""
    text = "".join(f"[{section}]\n{name} = {value}\n" for section, name, value, _ in CASES)
    outcome = imported(text, beside=BESIDE).imported
    outcomes: list[Outcome] = [*outcome.mapped, *outcome.dropped, *outcome.failing]
    told = {said for one in outcomes for said in one.said}
    assert {said.line for said in told if said.file == "glance-api.conf"} == set(range(2, 2 * len(CASES) + 1, 2))


def test_every_option_that_holds_a_secret_is_known_as_one() -> None:
    """By its name alone, since options that no row knows are shown as well."""
    names = [
        *("password", "admin_password", "memcache_secret_key", "metadata_encryption_key", "swift_store_key"),
        *("s3_store_secret_key", "s3_store_access_key", "hmac_keys", "rabbit_password", "admin_token"),
        "http_proxy_information",
    ]
    assert all(map(is_secret, names))
    assert not any(map(is_secret, ("key_file", "token_cache_time", "keyfile", "bind_port", "ssl_key_file")))


@pytest.mark.parametrize("section", sorted(OLDER))
def test_options_of_older_glances_are_known_too(section: str) -> None:
    assert [name for name in OLDER[section].split() if row_of(section, name) is None] == []


@pytest.mark.parametrize(
    "text",
    ["mysql://glance:p/a:s@s w@db/glance", "rabbit://a:hunter2@mq,b:hunter2@mq2//", "http://h/?secret_key=hunter2"],
)
def test_passwords_within_urls_are_masked_whatever_is_in_them(text: str) -> None:
    assert not {"p/a", "s w", "hunter2"} & set(re.split(r"[:@?=&]", masked(text)))
    assert MASK in masked(text)
