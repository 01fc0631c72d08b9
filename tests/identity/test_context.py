"""What a token's document is read as."""

from typing import Any

import pytest

from tests.identity.fake_keystone import document
from upstream.errors import Unauthenticated
from upstream.identity import context_of, expires_at_s, is_bound, is_token, permits
from upstream.identity.keystone import versioned


def with_rules(*rules: dict[str, str]) -> dict[str, Any]:
    return document(application_credential={"id": "a", "access_rules": list(rules)})


def test_a_project_token_gives_user_project_and_roles_in_lower_case() -> None:
    service = document(user="nova", roles=("Service",))
    context = context_of(document(roles=("Member", "READER")), service, "req-1", token="t")
    assert (context.user_id, context.project_id, context.user_domain_id) == ("demo", "p1", "default")
    assert context.roles == {"member", "reader"}
    assert context.service_roles == {"service"}
    assert (context.domain_id, context.system_scope, context.is_admin) == (None, None, False)
    assert (context.request_id, context.token) == ("req-1", "t")


def test_a_system_token_and_a_domain_token_belong_to_no_project() -> None:
    system = context_of(document(project=None, system={"all": True}), None, "")
    domain = context_of(document(project=None, domain={"id": "d1"}), None, "")
    assert (system.project_id, system.system_scope) == (None, "all")
    assert (domain.project_id, domain.domain_id) == (None, "d1")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"token": None},
        {"token": {}},
        {"token": {"user": None}},
        {"token": {"user": {"id": 7}}},
        {"token": {"user": {"id": "u"}, "roles": ["member"]}},
        {"token": {"user": {"id": "u"}, "project": {"id": ["p"]}}},
    ],
)
def test_a_document_that_cannot_be_read_lets_nobody_in(broken: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        context_of(broken, None, "")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01T00:00:00", None, 7])
def test_a_token_whose_end_is_not_known_is_refused(text: Any) -> None:
    with pytest.raises(Unauthenticated):
        expires_at_s(document(expires_at=text))


def test_the_end_of_a_token_is_read_as_utc() -> None:
    assert expires_at_s(document(expires_at="2026-01-01T00:00:00.500000Z")) == 1767225600.5


def test_a_kerberos_token_is_bound_and_unknown_binds_are_ignored() -> None:
    assert is_bound(document(bind={"kerberos": "demo@EXAMPLE"}))
    assert not is_bound(document(bind={"x509": "f"}))
    assert not is_bound(document())


def test_a_credential_without_rules_may_do_all_and_one_with_an_empty_list_nothing() -> None:
    assert permits(document(application_credential={"id": "a"}), method="GET", path="/v2/images")
    assert not permits(with_rules(), method="GET", path="/v2/images")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/v2/images", "/v2/images", True),
        ("/v2/images", "/v2/images/1", False),
        ("/v2/images/*", "/v2/images/1", True),
        ("/v2/images/*", "/v2/images/1/file", False),
        ("/v2/images/*", "/v2/images/", False),
        ("/v2/images/{image_id}/file", "/v2/images/1/file", True),
        ("/v2/images/{image_id}/file", "/v2/images/1/2/file", False),
        ("/v2/**", "/v2/images/1/file", True),
        ("/v2/**/file", "/v2/images/1/file", True),
        ("/v2.images", "/v2/images", False),
        ("/v2/images", "/v2/images\n", False),
        ("/v2/{images", "/v2/{images", True),
    ],
)
def test_access_rules_match_paths_as_keystonemiddleware_does(pattern: str, path: str, matches: bool) -> None:
    rule = {"service": "image", "method": "GET", "path": pattern}
    assert permits(with_rules(rule), method="GET", path=path) is matches
    assert not permits(with_rules(rule), method="POST", path=path)
    assert not permits(with_rules(rule | {"service": "compute"}), method="GET", path=path)


@pytest.mark.parametrize("text", ["", " ", "a b", "a\r\nX-Evil: 1", "\udcff", "ü", "x" * 8193])
def test_what_cannot_be_sent_in_a_header_is_no_token(text: str) -> None:
    assert not is_token(text)


@pytest.mark.parametrize("url", ["http://k:5000", "http://k:5000/", "http://k:5000/v3", "http://k:5000/v3/"])
def test_the_auth_url_may_end_in_v3_or_not(url: str) -> None:
    assert versioned(url) == "http://k:5000/v3"
