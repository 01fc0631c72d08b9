"""Location URIs: what is read from them, and what never gets out of them."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstream.errors import Invalid
from upstream.stores.locations import (
    check_external,
    file_url,
    infer_store,
    kind_of,
    parse_file,
    parse_http,
    redacted,
    redirected,
)

SECRETS = [
    "http://user:hunter2@example.org/disk",
    "https://user:hunter2@example.org:8443/disk?sig=hunter2",
    "https://example.org/disk?X-Amz-Signature=hunter2",
    "https://example.org/disk#hunter2",
    "swift+https://tenant%3Auser:hunter2@auth.example.org/v3/container/object",
    "s3+https://access:hunter2/with/slashes@s3.example.org/bucket/key",
    "http://user:hunter2@host@example.org/disk",
    "http://user:hunter2@[::1/disk",
    "http://user:hunter2@example.org:port/disk",
    "http://hunter2@example.org/disk",
    "gopher://user:hunter2@example.org/disk",
    "hunter2",
]


@pytest.mark.parametrize("url", SECRETS)
def test_what_may_be_printed_holds_no_secret(url: str) -> None:
    assert "hunter2" not in redacted(url)


@pytest.mark.parametrize("url", SECRETS)
def test_errors_and_parsed_targets_print_no_secret(url: str) -> None:
    for parse in (kind_of, check_external, parse_http, parse_file):
        try:
            told = repr(parse(url))
        except Invalid as error:
            told = f"{error!r} {error.__cause__!r}"
        assert "hunter2" not in told


def test_what_may_be_printed_still_says_where() -> None:
    assert redacted("https://u:p@example.org:8443/a/b?c=d") == "https://***@example.org:8443/a/b?***"
    assert redacted("file:///images/disk") == "file:///images/disk"
    assert "\n" not in redacted("http://example.org/\nforged=line")


@given(st.text(), st.text(), st.sampled_from(["http", "s3+https", "swift"]))
def test_no_password_of_any_form_is_printed(before: str, after: str, scheme: str) -> None:
    assert "hunter2" not in redacted(f"{scheme}://user:{before}hunter2{after}@example.org/x")


@given(st.text(), st.text())
def test_no_query_of_any_form_is_printed(before: str, after: str) -> None:
    assert "hunter2" not in redacted(f"https://example.org/x?{before}hunter2{after}")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("file:///a", "file"),
        ("filesystem:///a", "file"),
        ("http://h/a", "http"),
        ("HTTPS://h/a", "http"),
        ("swift+config://ref1/c/o", "swift"),
        ("s3+https://a:b@h/b/k", "s3"),
        ("rbd://fsid/pool/image/snap", "rbd"),
        ("cinder://store/volume", "cinder"),
        ("vsphere://h/folder/x?dcPath=a&dsName=b", "vmware"),
    ],
)
def test_the_scheme_says_the_kind(url: str, kind: str) -> None:
    assert kind_of(url) == kind


@pytest.mark.parametrize("url", ["http://h/a", "https://u:p@h:8443/a?b=c"])
def test_users_may_add_http_locations(url: str) -> None:
    check_external(url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/shadow",
        "filesystem:///etc/shadow",
        "swift+config://r/c/o",
        "rbd://a/b/c/d",
        "ftp://h/a",
        "http:/h",
        "//h",
        "",
    ],
)
def test_users_may_add_no_other_locations(url: str) -> None:
    with pytest.raises(Invalid):
        check_external(url)


def test_a_file_location_is_read_as_it_was_written() -> None:
    url = file_url(PurePosixPath("/var/lib/glance/images"), "8f1f")

    assert url == "file:///var/lib/glance/images/8f1f"
    assert parse_file(url) == PurePosixPath("/var/lib/glance/images/8f1f")
    assert parse_file("filesystem:///a%20b?c#d") == PurePosixPath("/a%20b?c#d")


@pytest.mark.parametrize("url", ["file://relative/path", "file://", "file:///a/../b", "file:///a\0b"])
def test_a_file_location_without_a_plain_path_is_invalid(url: str) -> None:
    with pytest.raises(Invalid):
        parse_file(url)


def test_credentials_are_taken_out_of_an_http_location() -> None:
    target = parse_http("https://us%40er:p%40ss:word@Example.org/a%20b?c=d%26#part")

    assert (target.user, target.password) == ("us@er", "p@ss:word")
    assert target.url == "https://Example.org/a%20b?c=d%26"
    assert target.origin == ("https", "example.org", 443)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///path",
        "http://user@h/a",
        "http://:p@h/a",
        "http://u%3Av:p@h/a",
        "http://h:99999/a",
        "http://h:x/a",
        "http://[::1/a",
        "http://h/a b",
        "http://h/a\r\nX: y",
    ],
)
def test_an_http_location_that_cannot_be_asked_is_invalid(url: str) -> None:
    with pytest.raises(Invalid):
        parse_http(url)


def test_a_redirect_keeps_credentials_only_within_the_origin() -> None:
    target = parse_http("https://u:p@h/a/b")

    assert redirected(target, "../c").user == "u"
    assert redirected(target, "https://h:443/c").user == "u"
    assert redirected(target, "http://h/c").user is None
    assert redirected(target, "https://h:444/c").user is None
    assert redirected(target, "https://other/c").user is None
    assert redirected(target, "//other/c").user is None
    assert redirected(target, "https://v:q@other/c").user == "v"


@pytest.mark.parametrize("where", ["http://[", "//[::g]/x", "ftp://h/c", "http://", "http://h:x/"])
def test_a_redirect_to_nowhere_is_invalid(where: str) -> None:
    with pytest.raises(Invalid):
        redirected(parse_http("https://h/b"), where)


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("file:///images/fast/disk", "fast"),
        ("file:///images/fast", "local"),
        ("filesystem:///images/fast/disk", "fast"),
        ("file:///elsewhere/disk", "local"),
        ("https://h/disk", "web"),
        ("rbd://a", None),
        ("nonsense", None),
    ],
)
def test_old_rows_belong_to_the_store_with_the_longest_prefix(url: str, store: str | None) -> None:
    prefixes = [
        ("file:///images/", "local"),
        ("file://", "local"),
        ("file:///images/fast/", "fast"),
        ("http://", "web"),
        ("https://", "web"),
    ]

    assert infer_store(url, prefixes) == store


def test_an_encrypted_location_is_told_for_what_it_is() -> None:
    """As a Glance with `metadata_encryption_key` writes it: URL-safe base64 of blocks of AES."""
    with pytest.raises(Invalid, match="metadata_encryption_key"):
        kind_of("c29tZSBieXRlcyB0aGF0IGFyZSBub3QgdGV4dCBhdCBhbGw-MDEyMzQ1Njc4OWFi")
    with pytest.raises(Invalid, match="scheme"):
        kind_of("images/disk")
