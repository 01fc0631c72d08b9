"""What the `auth:` section accepts, and what it says when it does not."""

from typing import Any

import pytest
from pydantic import ValidationError

from upstream.identity import AuthConfig

COMPLETE = {"auth_url": "http://keystone:5000", "username": "glint", "password": "very-secret"}


def problems(section: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        AuthConfig.model_validate(section)
    assert "very-secret" not in str(caught.value)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def test_without_a_section_everybody_is_let_in() -> None:
    assert AuthConfig().kind == "none"


def test_the_password_is_not_printed() -> None:
    config = AuthConfig.model_validate({"kind": "keystone", "keystone": COMPLETE})
    assert "very-secret" not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"


@pytest.mark.parametrize("section", [{"kind": "keystone"}, {"kind": "keystone", "keystone": {}}])
def test_keystone_needs_a_url_a_user_and_a_password(section: dict[str, Any]) -> None:
    assert set(problems(section)) == {"keystone.auth_url", "keystone.username", "keystone.password"}


def test_all_problems_are_told_at_once() -> None:
    section = {
        "auth_url": "keystone:5000",
        "password": "",
        "interface": "outer",
        "user": "x",
        "http_connect_timeout_s": 0,
    }
    found = problems({"kind": "keystone", "keystone": section})
    assert set(found) == {
        "keystone.auth_url",
        "keystone.username",
        "keystone.password",
        "keystone.interface",
        "keystone.user",
        "keystone.http_connect_timeout_s",
    }
    assert "https://keystone.example.org:5000/v3" in found["keystone.auth_url"]


def test_a_url_with_credentials_is_refused_and_not_repeated() -> None:
    found = problems({"kind": "keystone", "keystone": COMPLETE | {"auth_url": "http://a:very-secret@keystone/v3"}})
    assert found == {"keystone.auth_url": "Value error, expected a URL without credentials, query and fragment"}


def test_an_unused_keystone_section_may_be_incomplete() -> None:
    assert AuthConfig.model_validate({"kind": "none", "keystone": {"auth_url": None}}).keystone.auth_url is None
